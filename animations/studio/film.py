"""What do all scenes of all films share? The runs they show, captions that stay long enough, a stamp, the frame."""

import json
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, ClassVar, TypeVar

import numpy as np
from manim import (
    DOWN,
    ORIGIN,
    RIGHT,
    UP,
    Animation,
    FadeIn,
    FadeOut,
    LaggedStart,
    Mobject,
    Rectangle,
    Scene,
    ShowPassingFlash,
    SurroundingRectangle,
    Text,
    VGroup,
    Wait,
    config,
)

from animations.studio import voice
from animations.studio.cache import folder as cache_folder
from animations.studio.captions import Caption
from animations.studio.entrances import entrances
from animations.studio.runs import film_run
from animations.studio.timeline import Timeline
from engine.errors import InputError
from engine.language.speaking import tr
from engine.measure import relative_norm
from engine.run.run import Run
from visualize.mobjects.text import clean, fitted, label, largest, lines_of, register_font, sit
from visualize.theme import PALETTES, Theme

Moment = TypeVar("Moment")
WORDS_A_SECOND = 3.0
MARGIN = 0.35  # units between anything and the frame's edge
HEADER_LINE, CAPTION_LINE = 3.42, -3.45  # where the middle of these lines lies, in units above the frame's middle
TALL_CAPTION = -4.6  # and of the first of a caption's lines where the frame stands upright
LARGE = 1.5  # square units: what is larger and changes at once is a swap
GESTURE = 1.6  # seconds that a light takes around what is spoken of


@cache
def run_in(folder: str) -> Run:
    return Run.open(folder)


def shown_run(name: str) -> Run:
    """The run that stands for `name` in a film: one named in GLASSTUNE_FILM_RUNS (JSON), or the project's own."""
    named = json.loads(os.environ.get("GLASSTUNE_FILM_RUNS", "{}"))
    return run_in(named[name]) if name in named else film_run(name)


def is_shown(name: str) -> bool:
    """Is there a run for this name, without one being made? Where runs were named, only those are shown."""
    named = os.environ.get("GLASSTUNE_FILM_RUNS")
    return not named or named == "{}" or name in json.loads(named)


class FilmScene(Scene):
    """A scene is one claim. `say` sets the caption, `wait_to_read` keeps it as long as reading or listening takes.

    shows: the name of the run that the scene is about; `self.run` is that Run. others: the names of those beside it.
    headed: whether the title stands above it. shapes: the frames that it is laid out for.
    """

    title = ""
    shows: ClassVar[str] = "lora"
    others: ClassVar[tuple[str, ...]] = ()
    headed: ClassVar[bool] = True
    shapes: ClassVar[tuple[str, ...]] = ("16x9",)
    on_beat: "Callable[[FilmScene], None] | None" = None  # told when a caption has been read: to look, and to test

    def setup(self) -> None:
        register_font()
        self.theme: Theme = "light" if os.environ.get("GLASSTUNE_THEME") == "light" else "dark"
        self.colours = PALETTES[self.theme]
        self.camera.background_color = self.colours.background
        self.tall = config.frame_height > config.frame_width
        if lacking := [name for name in self.others if not is_shown(name)]:
            raise InputError(f"scene {type(self).__name__} shows a run {lacking[0]!r} beside its own; give one")
        self.run = shown_run(self.shows)
        self.voice = voice.current(cache_folder() / "voice")
        self.captions: list[Caption] = []
        self.timeline = Timeline()
        self.poster: float | None = None
        self._caption: Mobject | None = None
        self._attended: Mobject | None = None
        self._text = self._spoken = self._sound = ""
        self._said_at = self._least = 0.0
        self._playing = self._replaying = False
        if self.headed:
            self._header = self.header()
            self.add(self._header)

    def header(self) -> Text:
        """The scene's title, as it stands above it."""
        return sit(
            label(self.title, 48, self.colours.foreground, bold=True), MARGIN - config.frame_width / 2, HEADER_LINE
        )

    def strips(self) -> VGroup:
        """Bands of the ground behind title and caption, over a picture that fills the frame."""
        shown = VGroup()
        for edge, height in ((UP, 1.15), (DOWN, 1.1 if not self.tall else 3.2)):
            strip = Rectangle(width=config.frame_width, height=height, stroke_width=0)
            shown.add(strip.set_fill(self.colours.background, 0.9).to_edge(edge, buff=0))
        return shown

    @classmethod
    def names_of_runs(cls) -> tuple[str, ...]:
        """Every run that the scene needs, the main one first."""
        return cls.shows, *cls.others

    @property
    def now(self) -> float:
        """Seconds since the scene began."""
        return float(self.renderer.time)

    # --- what is said -----------------------------------------------------------------------------------

    def say(self, text: str, spoken: str = "") -> None:
        """Change the caption, once the one before has been read. spoken: what a voice says, if it is more."""
        self.wait_to_read()
        text, spoken = clean(text), clean(spoken or text)  # it may quote what a model said
        new, gone = self._set_caption(text), [FadeOut(self._caption, run_time=0.2)] if self._caption else []
        self._close_caption()
        if gone:
            self._aside(*gone)
        self._caption, self._text, self._spoken, self._said_at = new, text, spoken, self.now
        heard = 0.0
        if self.voice:
            sound = self.voice.sound(self._recording(), self._spoken)
            self._sound, heard = str(sound.resolve()), voice.seconds_of(sound) + 0.3
        self._least = max(len(text.split()) / WORDS_A_SECOND + 0.5, heard)
        self._aside(FadeIn(new, run_time=0.2))

    def _set_caption(self, text: str) -> Mobject:
        width, colour = config.frame_width - 2 * MARGIN, self.colours.foreground
        if not self.tall:
            return sit(largest(text, width, (40, 36, 32), colour), 0, CAPTION_LINE, ORIGIN)
        return VGroup(
            sit(label(line, 40, colour), 0, TALL_CAPTION - 0.5 * number, ORIGIN)
            for number, line in enumerate(lines_of(text, width, 40, most=3))
        )

    def _recording(self) -> str:
        """What a recording of the present sentence is called: "lora-Onto-01", for other films may have such a scene."""
        film = type(self).__module__.rpartition(".")[2]
        return f"{film}-{type(self).__name__}-{len(self.captions) + 1:02d}"

    def _aside(self, *animations: Animation) -> None:
        """Play what is no part of the picture: captions come and go."""
        self._playing = True
        self._look_at_first()
        super().play(*animations)
        self._playing = False

    @property
    def to_read(self) -> float:
        """Seconds for which the caption has still to stay."""
        return self._least - (self.now - self._said_at) if self._caption else 0.0

    def wait_to_read(self, light: bool = True) -> None:
        """Stay until the caption has been read or heard; a light goes around what is spoken of meanwhile."""
        while light and self.to_read > 1.0 and (about := self._spoken_of()):
            self._attended = about
            self.gesture(min(GESTURE, self.to_read))
            self.hold(min(0.3, self.to_read))
        self.hold(self.to_read)

    def _spoken_of(self) -> Mobject | None:
        """What was attended to, if it is still there; or else the largest thing that does not fill the frame."""
        if self._attended in self.mobjects:
            return self._attended
        whole = 0.7 * config.frame_width * config.frame_height
        above = CAPTION_LINE + 0.3
        among = [one for one in self.mobjects if _in_picture(one) and one.get_bottom()[1] > above]
        among = [one for one in among if LARGE < _area(one) < whole]
        return max(among, key=_area, default=None)

    def _close_caption(self) -> None:
        if self._caption:
            if self.on_beat:
                self.on_beat(self)
            name = self._recording()
            self.captions.append(Caption(self._text, self._said_at, self.now, self._spoken, self._sound, name))
            self._caption = None

    def finish(self) -> None:
        """The last caption is read; the scene may end."""
        self.wait_to_read()
        self.hold(0.4)
        self._close_caption()

    def mark_poster(self) -> None:
        """The frame that stands here is the film's picture."""
        self.poster = self.now

    # --- what is drawn anew in every frame --------------------------------------------------------------

    def get_moving_and_static_mobjects(self, animations: Iterable[Animation]) -> tuple[list[Mobject], list[Mobject]]:
        """As Manim's, but what moves is told whole: Manim lists its parts, and a part that an animation replaces (a
        dial's hand) would stay in the picture as it was at the beginning."""
        moving, static = super().get_moving_and_static_mobjects(animations)
        parts = {id(part) for part in moving}
        whole = [one for one in self.mobjects if any(id(part) in parts for part in one.get_family())]
        drawn = {id(part) for one in whole for part in one.get_family()}
        return whole, [one for one in static if id(one) not in drawn]

    # --- time -------------------------------------------------------------------------------------------

    def play(self, *args: Any, **kwargs: Any) -> None:
        """As Manim's; the timeline keeps what moved."""
        began, self._playing = self.now, True
        self._look_at_first()
        super().play(*args, **kwargs)
        self._playing = False
        if not all(isinstance(one, Wait) for one in args):
            self.timeline.moves.append((began, self.now))

    def hold(self, seconds: float) -> None:
        """Stand still for whole frames: Manim's `wait` drops what is left of one."""
        frames = math.ceil(seconds * config.frame_rate - 1e-6)
        if frames > 0:
            super().wait((frames + 0.01) / config.frame_rate)

    def guess(self, seconds: float = 3.0) -> None:
        """The audience is asked: a pause that is meant."""
        began = self.now
        self.wait_to_read(light=False)
        self.hold(seconds)
        self.timeline.pauses.append((began, self.now))

    def _look_at_first(self) -> None:
        """Is there more in the first frame than its title?"""
        if self.now == 0:
            headed = [self._header] if self.headed else []
            self.timeline.blank = sum(_area(shown) for shown in self.mobjects if shown not in headed) < LARGE

    # --- what is in the frame ---------------------------------------------------------------------------

    def add(self, *mobjects: Mobject) -> "FilmScene":
        """As Manim's; what large things appear at once, outside of a replay, the timeline keeps."""
        self._note(mobjects, "appears")
        return super().add(*mobjects)

    def remove(self, *mobjects: Mobject) -> "FilmScene":
        """As Manim's; see `add`."""
        self._note(mobjects, "goes")
        return super().remove(*mobjects)

    def _note(self, mobjects: Sequence[Mobject], how: str) -> None:
        if self._playing or self._replaying or self.renderer is None or self.now == 0:
            return
        there = {id(part) for shown in self.mobjects for part in shown.get_family()}
        for one in mobjects:
            known = id(one) in there or any(id(part) in there for part in one.get_family())
            if known == (how == "goes") and _area(one) > LARGE and _in_picture(one):
                self.timeline.swaps.append((self.now, f"{type(one).__name__} {how}"))

    def attend(self, *mobjects: Mobject) -> None:
        """What is spoken of from now on: a light goes around it while one reads."""
        self._attended = mobjects[0] if len(mobjects) == 1 else None

    def gesture(self, seconds: float = GESTURE) -> None:
        """A light runs once around what is spoken of."""
        around = SurroundingRectangle(self._attended, buff=0.1, corner_radius=0.08)
        around.set_stroke(self.colours.foreground, 5)
        self.play(ShowPassingFlash(around, time_width=0.4, run_time=max(0.3, seconds)))

    def play_in(self, *mobjects: Mobject, run_time: float | None = None) -> None:
        """Bring things in, part by part, and by default as slowly as their sentence is read."""
        parts = [one for mobject in mobjects for one in entrances(mobject)]
        longest = run_time or min(max(0.6, 0.6 * self.to_read), 0.4 + 0.5 * len(parts))
        self.play(LaggedStart(*parts, lag_ratio=0.5, run_time=longest))
        self._playing = True
        super().add(*mobjects)  # whole again, not in the parts that came one by one
        self._playing = False
        self._attended = max(mobjects, key=_area)

    def swap(self, old: Mobject, new: Mobject) -> Mobject:
        """Put `new` where `old` was, at once: for a stamp, a counter, or the next step of a replay. Returns it."""
        self.remove(old)
        self.add(new)
        self._attended = new if self._attended is old else self._attended
        return new

    def change(self, old: Mobject, new: Mobject, run_time: float = 0.5) -> Mobject:
        """`old` leaves upwards and `new` follows it; returns it."""
        self.play(FadeOut(old, shift=0.25 * UP), FadeIn(new, shift=0.25 * UP), run_time=run_time)
        self._attended = new if self._attended is old else self._attended
        return new

    # --- whose data -------------------------------------------------------------------------------------

    def stamp(self, step: int | None = None, run: Run | None = None) -> Text:
        """Which run and step the data on screen is from, at the top right."""
        when = tr("before training") if step is None else tr("step {step}", step=step)
        return self.corner(f"{self.run_named(run)}, {when}")

    def run_named(self, run: Run | None = None) -> str:
        """ "run film-lora": as a stamp says it, cut where it is long."""
        return self.short(tr("run {name}", name=(run or self.run).name))

    def short(self, name: str, width: float = 3.0) -> str:
        """A name of somebody else's, as a stamp has room for it."""
        return str(fitted(name, width, 28, self.colours.muted).original_text)

    def corner(self, text: str) -> Text:
        """A stamp in other words, for what no single run and step is shown in: "computed: ..."."""
        stamp = label(text, 28, self.colours.muted)
        if self.tall:
            return sit(stamp, 0, -config.frame_height / 2 + 0.9, ORIGIN)
        return sit(stamp, config.frame_width / 2 - MARGIN, HEADER_LINE, RIGHT)

    def stamp_several(self, others: str, step: int, run: Run | None = None) -> Text:
        """The stamp of a frame with several runs in it: one by name, and how many besides ("two more")."""
        named = {"run": self.run_named(run), "others": others, "step": step}
        return self.corner(tr("{run} and {others}, step {step}", **named))

    # --- replays ----------------------------------------------------------------------------------------

    def replay(self, seconds: float, most: int | None = None, run: Run | None = None) -> Iterator[int]:
        """The captured steps in turn, each for its share of `seconds`; nothing between two of them is made up.

        most: of a run with more captures, so many; by default fifteen a second. A walk, which draws ends of beats only,
        takes three. run: whose steps, if not the scene's own.
        """
        steps, most = (run or self.run).steps, 3 if self.renderer.skip_animations else most or round(15 * seconds)
        if len(steps) > most:
            steps = [steps[index] for index in np.unique(np.linspace(0, len(steps) - 1, most).round().astype(int))]
        began, span = self.now, max(1, steps[-1] - steps[0])
        self._replaying = True
        try:
            for step, following in zip(steps, [*steps[1:], steps[-1]], strict=True):
                yield step
                self.hold(began + seconds * (following - steps[0]) / span - self.now)
        finally:
            self._replaying = False
        self.timeline.moves.append((began, self.now))

    def in_turn(self, moments: Sequence[Moment], each: float) -> Iterator[tuple[Moment, float]]:
        """Moments to show, and how long: `each` seconds. A walk, which draws ends of beats only, takes the last."""
        began, self._replaying = self.now, True
        if self.renderer.skip_animations:
            yield from ((moment, each * len(moments)) for moment in moments[-1:])
        else:
            yield from ((moment, each) for moment in moments)
        self._replaying = False
        if each <= 1.0:
            self.timeline.moves.append((began, self.now))


def _area(mobject: Mobject) -> float:
    return float(mobject.width * mobject.height)


def _in_picture(mobject: Mobject) -> bool:
    """Between title and caption."""
    return CAPTION_LINE + 0.3 < mobject.get_center()[1] < HEADER_LINE - 0.3


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
