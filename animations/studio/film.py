"""What do all scenes of all films share? The runs they show, captions that stay long enough, a stamp, the frame."""

import json
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, TypeVar

import numpy as np
from manim import ORIGIN, RIGHT, FadeIn, FadeOut, Mobject, Scene, Text, config

from animations.studio.runs import film_run
from engine.measure import relative_norm
from engine.run.run import Run
from visualize.mobjects.text import fitted, label, largest, register_font, sit
from visualize.theme import PALETTES, Theme

Moment = TypeVar("Moment")
WORDS_A_SECOND = 3.0
MARGIN = 0.35  # units between anything and the frame's edge
HEADER_LINE, CAPTION_LINE = 3.42, -3.45  # where the middle of these lines lies, in units above the frame's middle


@dataclass(frozen=True)
class Caption:
    """One line at the foot of the frame, from `start` to `end` in the scene's seconds."""

    text: str
    start: float
    end: float


@cache
def _load(path: str) -> Run:
    return Run.open(path)


def shown_run(name: str) -> Run:
    """The run that stands for `name` in a film: one named in GLASSTUNE_FILM_RUNS (JSON), or the project's own."""
    named = json.loads(os.environ.get("GLASSTUNE_FILM_RUNS", "{}"))
    return _load(named[name]) if name in named else film_run(name)


class FilmScene(Scene):
    """A scene is one claim. `say` sets the caption, `wait_to_read` keeps it as long as reading takes.

    shows: the name of the run that the scene is about; `self.run` is that Run. others: the names of those beside it.
    """

    title = ""
    shows: ClassVar[str] = "lora"
    others: ClassVar[tuple[str, ...]] = ()
    on_beat: "Callable[[FilmScene], None] | None" = None  # told when a caption has been read: to look, and to test

    def setup(self) -> None:
        register_font()
        self.theme: Theme = "light" if os.environ.get("GLASSTUNE_THEME") == "light" else "dark"
        self.colours = PALETTES[self.theme]
        self.camera.background_color = self.colours.background
        self.run = shown_run(self.shows)
        self.captions: list[Caption] = []
        self._caption: Text | None = None
        self._said_at = 0.0
        self._header = label(self.title, 48, self.colours.foreground, bold=True)
        sit(self._header, MARGIN - config.frame_width / 2, HEADER_LINE)
        self.add(self._header)

    @classmethod
    def names_of_runs(cls) -> tuple[str, ...]:
        """Every run that the scene needs, the main one first."""
        return cls.shows, *cls.others

    @property
    def now(self) -> float:
        """Seconds since the scene began."""
        return float(self.renderer.time)

    def say(self, text: str) -> None:
        """Change the caption, once the one before has been read."""
        self.wait_to_read()
        new = largest(text, config.frame_width - 2 * MARGIN, (40, 36, 32, 28), self.colours.foreground)
        sit(new, 0, CAPTION_LINE, ORIGIN)
        gone = [FadeOut(self._caption, run_time=0.2)] if self._caption else []
        self._close_caption()
        if gone:
            self.play(*gone)
        self._caption, self._text, self._said_at = new, text, self.now
        self.play(FadeIn(new, run_time=0.2))

    def wait_to_read(self) -> None:
        """Stand still until the caption has stayed as long as its words need."""
        if self._caption:
            self.hold(len(self._text.split()) / WORDS_A_SECOND + 0.5 - (self.now - self._said_at))

    def hold(self, seconds: float) -> None:
        """Stand still for whole frames: Manim's `wait` drops what is left of one."""
        frames = math.ceil(seconds * config.frame_rate - 1e-6)
        if frames > 0:
            self.wait((frames + 0.01) / config.frame_rate)

    def _close_caption(self) -> None:
        if self._caption:
            if self.on_beat:
                self.on_beat(self)
            self.captions.append(Caption(self._text, self._said_at, self.now))
            self._caption = None

    def finish(self) -> None:
        """The last caption is read; the scene may end."""
        self.wait_to_read()
        self.hold(0.4)
        self._close_caption()

    def stamp(self, step: int | None = None, run: Run | None = None) -> Text:
        """Which run and step the data on screen is from, at the top right."""
        when = "before training" if step is None else f"step {step}"
        name = fitted(f"run {(run or self.run).name}", 3.0, 28, self.colours.muted).original_text
        return self.corner(f"{name}, {when}")

    def corner(self, text: str) -> Text:
        """A stamp in other words, for what no single run and step is shown in: "computed: ..."."""
        return sit(label(text, 28, self.colours.muted), config.frame_width / 2 - MARGIN, HEADER_LINE, RIGHT)

    def stamp_several(self, others: str, step: int, run: Run | None = None) -> Text:
        """The stamp of a frame with several runs in it: one by name, and how many besides ("two more")."""
        name = fitted(f"run {(run or self.run).name}", 3.0, 28, self.colours.muted).original_text
        stamp = label(f"{name} and {others}, step {step}", 28, self.colours.muted)
        return sit(stamp, config.frame_width / 2 - MARGIN, HEADER_LINE, RIGHT)

    def play_in(self, *mobjects: Mobject, run_time: float = 0.6) -> None:
        self.play(*(FadeIn(mobject) for mobject in mobjects), run_time=run_time)

    def swap(self, old: Mobject, new: Mobject) -> Mobject:
        """Put `new` where `old` was, at once; returns it."""
        self.remove(old)
        self.add(new)
        return new

    def replay(self, seconds: float, most: int = 120, run: Run | None = None) -> Iterator[int]:
        """The captured steps in turn, each for its share of `seconds`; nothing between two of them is made up.

        most: of a run with more captures, so many. A walk, which draws ends of beats only, takes three. run: whose
        steps, if not the scene's own.
        """
        steps, most = (run or self.run).steps, 3 if self.renderer.skip_animations else most
        if len(steps) > most:
            steps = [steps[index] for index in np.unique(np.linspace(0, len(steps) - 1, most).round().astype(int))]
        began, span = self.now, max(1, steps[-1] - steps[0])
        for step, following in zip(steps, [*steps[1:], steps[-1]], strict=True):
            yield step
            self.hold(began + seconds * (following - steps[0]) / span - self.now)

    def in_turn(self, moments: Sequence[Moment], each: float) -> Iterator[tuple[Moment, float]]:
        """Moments to show, and how long: `each` seconds. A walk, which draws ends of beats only, takes the last."""
        if self.renderer.skip_animations:
            yield from ((moment, each * len(moments)) for moment in moments[-1:])
        else:
            yield from ((moment, each) for moment in moments)


@cache
def watched_module(run: Run) -> str:
    """The matrix that a film watches: of the square ones (if any), the one that moved furthest for its size."""
    square = [name for name in run.modules if run.shape(name)[0] == run.shape(name)[1]]
    try:
        return max(square or run.modules, key=lambda name: relative_norm(run, name))
    except ValueError:  # the base's weights are not at hand
        return (square or run.modules)[0]


def quiet() -> None:
    """Manim reports every file it writes; a film's own progress is enough."""
    config.verbosity = "ERROR"
    config.progress_bar = "none"
    # Pillow announces that a parameter which Manim uses will go; `pillow<13` keeps it.
    warnings.filterwarnings("ignore", "'mode' parameter is deprecated", DeprecationWarning)
