"""How does a film begin and end? With its question over a picture of real data that fills the frame, and with what it
showed in three numbers, what comes next, and the command that makes it."""

from typing import ClassVar, NamedTuple

import numpy as np
from manim import (
    DOWN,
    ORIGIN,
    RESAMPLING_ALGORITHMS,
    UP,
    FadeIn,
    ImageMobject,
    LaggedStart,
    Rectangle,
    UpdateFromAlphaFunc,
    VGroup,
    config,
)

from animations.studio.film import FilmScene, watched_module
from animations.studio.runs import RECIPES, folder_of
from engine.errors import InputError
from engine.language.speaking import ENGLISH, spoken, tr
from engine.measure.matched import learning_path
from engine.run.run import Run
from visualize.mobjects.text import label, lines_of, sit
from visualize.naming import percent, proper
from visualize.theme import Theme, diverging_rgba, limit_of, rgb_of

CELL = 15  # pixels a weight in the picture behind the words: 128 of them are a frame's width
GROWN = 5  # captures with a change, from which on one sees it grow
DIM = 0.55  # how much of the ground is mixed into it
CLOSER = 1.12  # how much it grows while one reads


class Figure(NamedTuple):
    """One number of an end card, and what it is."""

    number: str
    what: str


class Bleed(ImageMobject):
    """A matrix that fills the whole frame, a cell a weight, dimmed so that words can stand on it; what the frame has
    room for beyond it goes on from its beginning."""

    def __init__(self, values: np.ndarray, limit: float, theme: Theme, ground: str) -> None:
        self.limit, self.theme, self.ground = limit, theme, np.array(rgb_of(ground))
        unit = min(config.frame_width, config.frame_height) / 1080
        self.size = (round(config.frame_height / unit / CELL), round(config.frame_width / unit / CELL))
        super().__init__(self._pixels(values), scale_to_resolution=0)
        self.set_resampling_algorithm(RESAMPLING_ALGORITHMS["nearest"])
        self.stretch_to_fit_width(config.frame_width).stretch_to_fit_height(config.frame_height).move_to(ORIGIN)

    def _pixels(self, values: np.ndarray) -> np.ndarray:
        rows, columns = self.size
        filled = np.take(np.take(values, range(rows), axis=0, mode="wrap"), range(columns), axis=1, mode="wrap")
        pixels = diverging_rgba(filled, self.limit, self.theme)
        pixels[..., :3] = (pixels[..., :3] * (1 - DIM) + self.ground * DIM).astype(np.uint8)
        return pixels

    def show(self, values: np.ndarray) -> "Bleed":
        self.pixel_array = self._pixels(values)
        return self


class CardScene(FilmScene):
    """What both cards share: the watched matrix behind the words, on the ground's own colour."""

    headed = False

    def setup(self) -> None:
        super().setup()
        self.module = watched_module(self.run)
        self.last = self.run.steps[-1]
        change = self.run.delta(self.module, self.last)
        self.picture = Bleed(change, limit_of(change), self.theme, self.colours.background)

    def words(self, text: str, size: int, y: float, bold: bool = False, color: str | None = None) -> VGroup:
        """Centred lines on a band of the ground, the first of them at y."""
        shown, lines = VGroup(), lines_of(text, config.frame_width - 1.6, size, 3, bold)
        for number, line in enumerate(lines):
            shown.add(
                sit(label(line, size, color or self.colours.foreground, bold=bold), 0, y - number * size / 95, ORIGIN)
            )
        return VGroup(self.band(shown), *shown)

    def band(self, behind: VGroup) -> Rectangle:
        box = Rectangle(width=behind.width + 0.8, height=behind.height + 0.5, stroke_width=0)
        return box.set_fill(self.colours.background, 0.92).move_to(behind)


class TitleCard(CardScene):
    """The film's question, over what its training really changed, as it grew; then the film's name.

    question: what the film asks, of the model and not of the audience where it can. name: what the film is called.
    """

    question: ClassVar[str] = ""
    name: ClassVar[str] = ""

    def asked(self) -> str:
        """The question, where it follows from the run."""
        return self.question

    def named(self) -> str:
        """The name, where it follows from the run."""
        return self.name

    def construct(self) -> None:
        # The question, before anything is said
        question = self.words(self.asked(), 64, 0.9, bold=True)
        stamp = self.stamp(self.last)
        self.add(self.picture, self.strips(), question, stamp)
        self.say(tr("{shown}, a square a weight.", shown=self.shown_as()), self.spoken())

        # What training did, growing behind it
        if self.grows():
            for step in self.replay(seconds=2.4):
                self.picture.show(self.run.delta(self.module, step))
                stamp = self.swap(stamp, self.stamp(step))
        name = self.words(self.named(), 44, -1.6, color=self.colours.foreground)
        self.play(FadeIn(name, shift=0.2 * UP), run_time=0.4)
        self.mark_poster()
        self.closer()
        self.finish()

    def grows(self) -> bool:
        """Were enough steps captured to show how the change grew? If not, only its end is shown."""
        return len(self.run.steps) > GROWN

    def shown_as(self) -> str:
        if self.run.task is None:
            return tr("What training changed in one matrix")
        return tr("What training on {task} changed in one matrix", task=proper(self.run.task))

    def spoken(self) -> str:
        asked = self.asked()
        said = {"question": asked if asked.endswith("?") else f"{asked}.", "shown": self.shown_as()}
        if self.grows():
            return tr("{question} {shown}, weight by weight, from the first step to the last.", **said)
        return tr("{question} {shown}, weight by weight.", **said)

    def closer(self, seconds: float = 2.5) -> None:
        """The picture comes slowly nearer."""
        size = self.picture.width

        def near(picture: Bleed, share: float) -> None:
            picture.scale_to_fit_width(size * (1 + (CLOSER - 1) * share))

        self.play(UpdateFromAlphaFunc(self.picture, near), run_time=seconds)


class EndCard(CardScene):
    """Three numbers, each measured or counted; the question that comes next; and how the film is made.

    asks: the question that is left; follows: the film that answers it.
    """

    title = "What this film showed"
    asks: ClassVar[str] = ""
    follows: ClassVar[str] = ""

    def figures(self) -> list[Figure]:
        """Three at most, in the order in which the film showed them."""
        raise NotImplementedError

    def construct(self) -> None:
        # Three numbers
        every, wide = self.figures()[:3], config.frame_width
        stamp = self.stamp(self.last)
        cards = VGroup()
        for number, figure in enumerate(every):
            place = [0, 3.6 - 2.9 * number, 0] if self.tall else [(number - (len(every) - 1) / 2) * 4.5, 1.1, 0]
            cards.add(self.card(figure, 4.2 if not self.tall else wide - 1).move_to(place))
        self.picture.set_opacity(0.35)
        self.add(self.picture, self.strips(), stamp)
        self.say(tr("What was measured."), " ".join(f"{figure.number}: {figure.what}." for figure in every))
        self.play(LaggedStart(*(FadeIn(card, shift=0.3 * UP) for card in cards), lag_ratio=0.8, run_time=2.4))
        self.wait_with_light(cards)

        # What comes next, and how this was made
        command = self.words(self.command(), 40, -1.75 if not self.tall else -4.2)
        self.say(tr("Next: {question}", question=self.asks) if self.asks else tr("Make it yourself."), self.asks)
        self.play(FadeIn(command, shift=0.2 * UP), run_time=0.4)
        if self.follows:
            after = tr("next: {command}", command=self.command_of(self.follows))
            self.play(FadeIn(self.words(after, 32, -2.6 if not self.tall else -5.1)))
        self.attend(command)
        self.finish()

    def wait_with_light(self, cards: VGroup) -> None:
        """The light goes from number to number while they are read."""
        for card in cards:
            if self.to_read > 0.8:
                self.attend(card)
                self.add(card)
                self.gesture(0.9)
        self.attend(cards[-1])

    def card(self, figure: Figure, width: float) -> VGroup:
        number = label(figure.number, 96, self.colours.foreground, bold=True)
        if number.width > width - 0.4:
            number.scale_to_fit_width(width - 0.4)
        lines = VGroup(
            *(label(line, 34, self.colours.foreground) for line in lines_of(figure.what, width - 0.3, 34, most=4))
        ).arrange(DOWN, buff=0.14)
        both = VGroup(number, lines).arrange(DOWN, buff=0.35)
        return VGroup(self.band(both).stretch_to_fit_width(width), number, *lines)

    def command(self) -> str:
        film, own = type(self).__module__.rpartition(".")[2], folder_of(self.shows)
        given = "" if self.run.path.resolve() == own.resolve() or self.shows not in RECIPES else " --run DIR"
        return f"{self.command_of(film)}{given}"

    def command_of(self, film: str) -> str:
        return f"glasstune film {film}{'' if spoken() == ENGLISH else f' --language {spoken()}'}"


def learned_and_kept(run: Run) -> list[Figure]:
    """What a run learned and what it kept, as figures; what it was not graded on is left out."""
    try:
        path = learning_path(run)
    except InputError:
        return []
    return [
        Figure(
            percent(path.learned.iloc[-1]),
            tr("of new questions right, {share} before", share=percent(path.learned.iloc[0])),
        ),
        Figure(
            percent(path.kept.iloc[-1]), tr("of the old skills kept, {share} before", share=percent(path.kept.iloc[0]))
        ),
    ]
