"""What do all scenes of all films share? The run they show, captions that stay long enough, a stamp, the frame."""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from manim import DOWN, RIGHT, UL, UP, FadeIn, FadeOut, Mobject, Scene, Text, config

from animations.runs import film_run
from engine.measure import relative_norm
from engine.run import Run
from visualize.mobjects.text import label, register_font
from visualize.theme import PALETTES, Theme

WORDS_A_SECOND = 3.0
MARGIN = 0.35  # units between anything and the frame's edge


@dataclass(frozen=True)
class Caption:
    """One line at the foot of the frame, from `start` to `end` in the scene's seconds."""

    text: str
    start: float
    end: float


@cache
def shown_run(recipe: str) -> Run:
    """The run that GLASSTUNE_RUN names, or the films' own of that recipe, made when first needed."""
    if named := os.environ.get("GLASSTUNE_RUN"):
        return Run.load(named)
    return film_run(recipe)


class FilmScene(Scene):
    """A scene is one claim. `say` sets the caption, `wait_to_read` keeps it as long as reading takes."""

    title = ""
    recipe = "lora"  # of animations.runs: what is shown when no run is named
    on_beat: "Callable[[FilmScene], None] | None" = None  # told when a caption has been read; for looking and testing

    def setup(self) -> None:
        register_font()
        self.theme: Theme = "light" if os.environ.get("GLASSTUNE_THEME") == "light" else "dark"
        self.colours = PALETTES[self.theme]
        self.camera.background_color = self.colours.background
        self.data = shown_run(self.recipe)
        self.captions: list[Caption] = []
        self._caption: Text | None = None
        self._said_at = 0.0
        self._header = label(self.title, 58, self.colours.foreground, bold=True).to_corner(UL, buff=MARGIN)
        self.add(self._header)

    @property
    def now(self) -> float:
        """Seconds since the scene began."""
        return float(self.renderer.time)

    def say(self, text: str) -> None:
        """Change the caption, once the one before has been read."""
        self.wait_to_read()
        new = label(text, 50, self.colours.foreground).to_edge(DOWN, buff=MARGIN)
        gone = [FadeOut(self._caption, run_time=0.2)] if self._caption else []
        self._close_caption()
        if gone:
            self.play(*gone)
        self._caption, self._text, self._said_at = new, text, self.now
        self.play(FadeIn(new, run_time=0.2))

    def wait_to_read(self) -> None:
        """Stand still until the caption has stayed as long as its words need."""
        if self._caption:
            left = len(self._text.split()) / WORDS_A_SECOND + 0.5 - (self.now - self._said_at)
            if left > 0.05:
                self.wait(left)

    def _close_caption(self) -> None:
        if self._caption:
            if self.on_beat:
                self.on_beat(self)
            self.captions.append(Caption(self._text, self._said_at, self.now))
            self._caption = None

    def finish(self) -> None:
        """The last caption is read; the scene may end."""
        self.wait_to_read()
        self.wait(0.4)
        self._close_caption()

    def step_through(self, steps: Sequence[int], show: Callable[[int], None], seconds: float) -> None:
        """Show captured steps in turn, at an even pace in training steps. Nothing between two captures is made up.

        A picture that stands still is drawn once, however many frames it lasts.
        """
        total, last = round(seconds * config.frame_rate), max(1, steps[-1])
        begins = [round(total * step / last) for step in steps] + [total + 1]
        for step, begin, end in zip(steps, begins, begins[1:], strict=False):
            if end > begin:
                show(step)
                self.wait((end - begin) / config.frame_rate + 1e-6)

    def stamp(self, step: int | None = None, run: Run | None = None) -> Text:
        """Which run and step the data on screen is from, at the top right. `of` says it to whom checks the frame."""
        run = run or self.data
        text = f"run {run.name}" + (f", step {step}" if step is not None else ", before training")
        mobject = label(text, 34, self.colours.muted).to_edge(UP, buff=MARGIN).to_edge(RIGHT, buff=MARGIN)
        mobject.of = (str(run.path), step)
        return mobject

    def play_in(self, *mobjects: Mobject, run_time: float = 0.6) -> None:
        self.play(*(FadeIn(mobject) for mobject in mobjects), run_time=run_time)


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
