"""The film of full fine-tuning: the whole model on the screen, a pixel a weight, while all of it moves.

python -m animations.render full            the whole film
manim render animations/full.py Training    one scene, with stock Manim
"""

import re
from collections.abc import Callable, Iterable
from functools import cached_property
from itertools import pairwise

import numpy as np
import pandas as pd
from manim import (
    DOWN,
    ORIGIN,
    RIGHT,
    UP,
    FadeIn,
    FadeOut,
    LaggedStart,
    Mobject,
    Text,
    UpdateFromAlphaFunc,
    VGroup,
    config,
    linear,
    smooth,
)

from animations.studio.cards import EndCard, Figure, TitleCard, learned_and_kept
from animations.studio.film import FilmScene, watched_module
from animations.studio.zoom import Zoom
from engine.errors import InputError
from engine.measure import relative_norm
from engine.run.run import Run
from visualize.mobjects.answers import AnswerLine, answers_at, questions
from visualize.mobjects.bars import Bars, Row
from visualize.mobjects.curve import LossCurve
from visualize.mobjects.matrix import MatrixImage, Source, cell_pixels, units
from visualize.mobjects.model import GlowScale, Tile, What, WholeModel, lay_out
from visualize.mobjects.text import label, sit
from visualize.naming import layer_of, percent, proper, short
from visualize.theme import ink_on, limit_of

WIDEST, HIGHEST = 1710, 800  # pixels between the row's names and the frame's edge, and between title and band
BAND = -2.98  # where the line between the model and the caption lies
DELTA = "\N{GREEK CAPITAL LETTER DELTA}"


def check(run: Run) -> None:
    """Raises InputError for an adapter's run, or one without every weight's change, or a model larger than a frame."""
    if any(run.kind(name) != "delta" or run.is_sketched(name) for name in run.modules):
        raise InputError(f"run {run.name} did not keep the change of whole matrices; the film full shows every weight")
    if run.method not in ("full", "partial", "unknown"):
        raise InputError(f"run {run.name} is {run.method}, which keeps an adapter; the film full is of whole weights")
    if len(run.steps) < 2:
        raise InputError(f"run {run.name} holds one capture, so nothing moves in it; capture more steps, e.g. every=5")
    if run.losses.empty:
        raise InputError(f"run {run.name} logged no training loss; the film full draws it")
    tiles = lay_out(run)
    high, wide = max(tile.top + tile.rows for tile in tiles), max(tile.left + tile.columns for tile in tiles)
    if high > HIGHEST or wide > WIDEST:
        raise InputError(
            f"run {run.name}'s model takes {wide:,} x {high:,} pixels at one a weight, but a frame has room for "
            f"{WIDEST:,} x {HIGHEST}; draw its matrices with visualize.plots instead"
        )


def is_adam(run: Run) -> bool:
    """Is it known that a training's optimizer was AdamW? `finetune` takes it where it is not told another; of somebody
    else's Trainer nobody wrote it down."""
    settings = run.info.raw.get("settings")
    if not isinstance(settings, dict) or "trainer" not in settings:
        return False
    return re.match(r"(paged_)?adamw_", str((settings["trainer"] or {}).get("optim", "adamw_torch"))) is not None


class FullScene(FilmScene):
    """What the scenes share: the whole model in its place, and what stands beside it."""

    shows = "full"

    def setup(self) -> None:
        super().setup()
        self.first, self.last = self.run.steps[0], self.run.steps[-1]
        self.model = WholeModel(self.run, self.theme)
        self.model.move_to([-7.11 + units(190), 4 - units(112), 0], aligned_edge=UP - RIGHT).settle()

    def sweep(self, before: np.ndarray, after: np.ndarray, names: Iterable[str], seconds: float) -> None:
        """One picture of the model becomes another in these tiles, column by column."""
        tiles = [self.model.tiles[name] for name in names]
        edges = np.array([-1, 1]) * config.frame_width / 2 - self.model.image.get_left()[0]
        seen = edges * self.model.pixels[1] / self.model.image.width  # the frame's edges, in the picture's columns
        left = max(min(one.left for one in tiles), int(seen[0]))
        right = min(max(one.left + one.columns for one in tiles), int(seen[1]))

        def on(_: object, share: float) -> None:
            pixels = after.copy()
            at = round(left + share * (right - left))
            for one in tiles:
                place = np.s_[one.top : one.top + one.rows, max(one.left, at) : one.left + one.columns]
                pixels[place] = before[place]
            self.model.image.pixel_array = pixels

        self.play(UpdateFromAlphaFunc(self.model, on), run_time=seconds, rate_func=linear)
        self.model.image.pixel_array = after

    def uncover(
        self, what: What, step: int, limit: float, seconds: float,
        names: Iterable[str] | None = None, only: set[str] | None = None,
    ) -> None:  # fmt: skip
        """From what the model shows now to this, in these tiles (all), with no others shown than `only`."""
        before = self.model.image.pixel_array.copy()
        after = self.model.show(what, step, limit, only).image.pixel_array
        self.sweep(before, after, names or self.model.tiles, seconds)

    def row_names(self, only: list[int] | None = None) -> VGroup:
        """The layers' names, at the left of their rows."""
        names = VGroup()
        for row, modules in self.model.rows().items():
            layer = layer_of(modules[0])
            text = f"layer {layer}" if layer is not None else "tokens" if "embed" in modules[0] else ""
            if text and (only is None or row in only):
                left, y, _ = self.model.box(*modules).get_left()
                names.add(sit(label(text, 32, self.colours.muted), left - 0.1, y, RIGHT))
        return names

    def column_names(self) -> VGroup:
        """What the matrices of the last row are called, below them."""
        last = [self.model.tiles[name] for name in list(self.model.rows().values())[-1]]
        return VGroup(
            sit(
                label(tile.kind, 32, self.colours.foreground), self.model.box(tile.module).get_center()[0], BAND, ORIGIN
            )
            for tile in last
        )


class Named(TitleCard):
    """The film's question, over what training changed."""

    title = "Full fine-tuning"
    shows = "full"
    question = "How far does a weight move?"
    name = "the film of full fine-tuning"


class Whole(FullScene):
    """The model is a picture: a row a layer, a pixel a weight."""

    title = "A model, one pixel a weight"

    def construct(self) -> None:
        # The first row: what lies outside of the layers, where that was trained
        rows = self.model.rows()
        first, *others = rows
        limit = self.model.show("W").limit
        head = [tile for tile in self.model.tiles.values() if tile.row == first]
        shown = {tile.module for tile in head}
        self.model.show("W", limit=limit, only=shown)
        row = self.model.box(*shown, stroke_width=0)
        self.add(self.stamp(), self.model, self.row_names([first]), row)
        self.attend(row)
        self.say("Each pixel is one weight of a real language model.")
        self.say(self.first_row(head[0]))

        # The next one, matrix by matrix
        names = self.column_names()
        for at in others[:1]:
            self.say(self.a_row(rows[at]))
            for name, text in zip(rows[at], names, strict=False):
                shown.add(name)
                self.add(text)
                self.uncover("W", 0, limit, 0.45, [name], shown)
            shown |= {*rows[at]}

        # All the others
        self.say(f"{self.layers()}Orange is positive, blue is negative.")
        self.add(*self.row_names(others[:1]))
        for at in others[1:]:
            shown |= {tile.module for tile in self.model.tiles.values() if tile.row <= at}
            self.add(*self.row_names([at]))
            self.uncover("W", 0, limit, 0.9, rows[at], shown)
        self.attend(self.model)
        self.say(f"{self.how_many()}.")
        self.say("Long matrices lie on their side.")
        self.finish()

    def a_row(self, modules: list[str]) -> str:
        """What a row of matrices is, as far as it was captured."""
        whole = all(any(part in name for name in modules) for part in ("attn", "mlp"))
        return f"A row is one layer: {'attention, then feed-forward' if whole else 'what of it was trained'}."

    def layers(self) -> str:
        """How many layers were trained, and whether that is all of them."""
        count = sum(layer_of(modules[0]) is not None for modules in self.model.rows().values())
        every = "All " * (self.model.weights == self.run.info.model.parameters)
        return f"{every}{count} layer{'s'[: count > 1]}. " if count else ""

    def how_many(self) -> str:
        here, every = self.model.weights, self.run.info.model.parameters
        share = min(1.0, (config.pixel_height / 1080) ** 2)  # in a smaller frame not every weight has its pixel
        seen = "" if share == 1 else f", {percent(share)} of them drawn at this size"
        return f"This is all of it: {here:,} weights{seen}" if here == every else f"{here:,} of {every:,} weights{seen}"

    def first_row(self, tile: Tile) -> str:
        out, width = tile.shape
        if "embed" in tile.module:
            return f"First, a column of {width} weights for each of {out:,} tokens."
        return f"First, {tile.kind}: {out:,} rows of {width:,} weights."


class First(FullScene):
    """The first step, by sign: nearly every weight goes the same way up or down."""

    title = "The first step"
    headed = False

    def header(self) -> Text:
        if self.step > 1:  # the first was not captured, or moved nothing, as that of a warm-up from zero
            self.title = f"The first {self.step} steps"
        return super().header()

    @cached_property
    def step(self) -> int:
        """The first captured step at which anything has moved; where nothing ever does, the first."""
        later = self.run.steps[1:]
        moved = (step for step in later if any(self.run.delta(name, step).any() for name in self.run.info.modules))
        return next(moved, later[0])

    def construct(self) -> None:
        # The whole model, by sign
        step, module = self.step, watched_module(self.run)
        zoom = Zoom(self.run, module, self.theme, self.colours, "signed", step)
        zoom.model.show("signed", step, 1.5 * self.moves(step)[0])  # so that the usual move has a strong colour
        zoom.to(1.0)
        self.add(zoom.image, self.strips(), self.header(), self.stamp(step))
        self.say(f"Step {step}: up or down.", f"After step {step}, each pixel says whether its weight went up or down.")
        box = zoom.framed(self.colours.foreground)
        self.play(FadeIn(box, run_time=0.3))
        self.attend(box)
        self.wait_to_read()

        # Near enough to read a colour
        self.say(f"Nearer: {short(module)}. Orange went up, blue down.")
        self.remove(box)
        end = zoom.cells[1]
        self.play(UpdateFromAlphaFunc(zoom.image, lambda _, share: zoom.to(end**share)), run_time=2.4)
        self.say(self.alike(step), self.why(step))
        near = zoom.framed(self.colours.foreground)
        self.play(FadeIn(near, run_time=0.3))
        self.attend(near)
        self.finish()

    def moves(self, step: int) -> tuple[float, float, float]:
        """The usual distance, and the shares that moved by it (within a fiftieth) and not at all."""
        sizes = np.concatenate([np.abs(self.run.delta(name, step)).ravel() for name in self.model.tiles])
        usual = float(np.median(sizes[sizes > 0])) if sizes.any() else 0.0
        return usual, float(np.isclose(sizes, usual, rtol=0.02).mean()), float((sizes == 0).mean())

    def alike(self, step: int) -> str:
        usual, share, still = self.moves(step)
        if still == 1:
            return "No weight has moved yet."
        rest = f"; {percent(still)} not at all" if still > 0.005 else ""
        return f"{percent(share)} of all weights move by {usual:.2g}, up or down{rest}."

    def why(self, step: int) -> str:
        if step > 1 or not is_adam(self.run) or self.moves(step)[2] == 1:
            return self.alike(step)
        first = "The optimizer divides each gradient by its own size, so in the first step only its sign counts."
        return f"{self.alike(step)} {first}"


class Training(FullScene):
    """Training moves every weight a little; the loss falls, and an answer changes."""

    title = "Watch the weights move"
    headed = False

    def construct(self) -> None:
        # Nearer: single weights can be told apart
        self.prepare()
        names, scale = self.row_names(), self.scale()
        self.model.show("W")
        self.add(self.model, self.bands(), self.header(), names, *self.told())
        self.say(f"Nearer: {short(watched_module(self.run))}, among its neighbours.")
        self.play(FadeOut(names), self.flight(0.9, smooth), run_time=2.4)

        # Where each weight began is taken away: nothing has moved
        none = self.moved(self.first)
        self.say(f"Take away where each weight began: {none} moved, so far.", self.spoken(none))
        self.uncover("change", self.first, self.limit, 2.6)

        # The first steps
        early, late = self.parts()
        self.say(f"After step {early[0]}: {self.moved(early[0])} moved, a little.")
        self.follow([*early, late[0]], 1.0, 4.0)

        # All of them, back to the whole
        task = f" Trained on: {proper(self.run.task)}." if self.run.task else ""
        self.say(f"All on one scale.{task}")
        self.follow(late, 0.0, 8.0)
        self.play(FadeIn(names), FadeIn(scale), run_time=0.5)
        self.attend(self.answered if len(self.answered) else self.model)
        self.say(self.outcome())
        self.finish()

    def prepare(self) -> None:
        """What is shown beside the model, the one scale for all steps, and where the camera goes."""
        self.limit = self.model.show("change", self.last).limit
        loss = self.run.losses
        self.curve = LossCurve(
            loss.index.to_numpy(), loss.to_numpy(), 3.3, 0.34, self.colours, self.colours.full, bare=True
        ).upto(0)
        self.curve.move_to([self.model.get_right()[0] - 1.65, BAND - 0.05, 0])
        self.asked, self.left = self.first_asked(), self.model.get_left()[0]
        self.stamped, self.answered, self.number = (
            self.stamp(self.first),
            self.answer(self.first),
            self.loss(self.first),
        )
        module = watched_module(self.run)
        self.whole, self.home = self.model.image.points.copy(), self.model.box(module).get_center()
        self.nearest, self.share = max(2.0, 2 * (350 // self.model.tiles[module].rows)), 0.0

    def told(self) -> tuple[Mobject, ...]:
        return self.stamped, self.curve, self.answered, self.number

    def bands(self) -> VGroup:
        """The ground behind all that is written, for when the model is larger than its place."""
        shown = self.strips()
        shown[1].stretch_to_fit_height(1.32).to_edge(DOWN, buff=0)
        return shown.set_fill(opacity=1)

    def spoken(self, none: str) -> str:
        return f"Take away the number at which each weight began. What is left is how far it moved: {none}, so far."

    def parts(self) -> tuple[list[int], list[int]]:
        """The captured steps that are seen from near, a quarter of the training, and the others; each has one."""
        steps = self.run.steps[1:]
        early = [step for step in steps[:-1] if step <= self.last / 4] or steps[:1]
        return early, steps[len(early) :] or steps[-1:]

    def near(self, share: float) -> None:
        """The camera's place: 0 sees the whole model, 1 one matrix, with its neighbours."""
        self.share, middle = share, np.array([0.0, 0.1, 0.0])
        grown = (self.whole - self.home) * self.nearest**share
        self.model.image.points = grown + self.home + share * (middle - self.home)

    def flight(self, share: float, rate: Callable[[float], float] = linear) -> UpdateFromAlphaFunc:
        """From where it is to there."""
        began = self.share
        return UpdateFromAlphaFunc(self.model, lambda _, t: self.near(began + t * (share - began)), rate_func=rate)

    def follow(self, steps: list[int], share: float, seconds: float) -> None:
        """These captures in turn, each for its part of the time, while the camera goes there."""
        if self.renderer.skip_animations or steps[0] == steps[-1]:  # a walk draws ends of beats only
            self.show_step(steps[-1])
            self.play(self.flight(share), run_time=seconds)
            return
        began, span = self.share, steps[-1] - steps[0]
        for step, following in pairwise([*steps, steps[-1]]):
            self.show_step(step)
            if following > step:
                there = began + (following - steps[0]) / span * (share - began)
                self.play(self.flight(there), run_time=seconds * (following - step) / span)
        self.near(share)

    def moved(self, step: int) -> str:
        """How many of the weights are no longer what they were?"""
        count = sum(int(np.count_nonzero(self.run.delta(name, step))) for name in self.model.tiles)
        if count in (0, self.model.weights):
            return "every one has" if count else "none has"
        return f"{percent(count / self.model.weights, 1)} of them have"

    def first_asked(self) -> list[str]:
        """The first question of the task that it was asked while it learned, whatever it said."""
        return questions(self.run.answers, self.run.task, 1, 1)[:1]

    def show_step(self, step: int) -> None:
        self._replaying = True
        self.model.show("change", step, self.limit)
        self.curve.upto(step)
        self.stamped = self.swap(self.stamped, self.stamp(step))
        self.answered = self.swap(self.answered, self.answer(step))
        self.number = self.swap(self.number, self.loss(step))
        self._replaying = False

    def answer(self, step: int) -> AnswerLine:
        known = answers_at(self.run.answers, step, self.asked)
        return AnswerLine(known, 4.4, 2.7, self.colours).at(self.left, BAND)

    def loss(self, step: int) -> Text:
        known = self.run.losses.loc[: max(step, self.run.losses.index[0])]
        text = f"loss {known.iloc[-1]:.2f}" if step else "loss"  # before the first step none is known
        return sit(label(text, 32, self.colours.full), self.curve.get_left()[0] - 1.8, BAND)

    def scale(self) -> GlowScale:
        """In the place that is free at the right of the first row; where there is none, beyond it."""
        scale, rows = GlowScale("moved", self.limit, 140, self.theme), self.model.rows()
        first = self.model.box(rows[next(iter(rows))][-1])
        left, right = first.get_right()[0], self.model.get_right()[0]
        if right - left > scale.width:
            return scale.shift([(left + right) / 2, first.get_center()[1], 0])
        if right + 0.3 + scale.width < config.frame_width / 2:
            return scale.shift([right + 0.3 + scale.width / 2, first.get_center()[1], 0])
        return scale.shift([right - scale.width / 2, self.model.get_top()[1] + scale.height / 2 + 0.1, 0])

    def outcome(self) -> str:
        known = answers_at(self.run.answers, self.last, self.asked)
        if known.empty:
            return f"Step {self.last:,}: the loss is {self.run.losses.iloc[-1]:.2f}."
        row = known.iloc[0]
        verdict = "and that is right" if row.correct else f"but right is {row.expected}"
        return f"Step {self.last:,}: it says {row.answer}, {verdict}."


class Same(FullScene):
    """Before and after look alike: each weight moved by little beside its size."""

    title = "Before and after"

    def construct(self) -> None:
        # Before
        name = watched_module(self.run)
        before, change = self.run.weight(name), self.run.delta(name, self.last)
        cell, limit = cell_pixels(before.shape), limit_of(before)
        pictures = [
            MatrixImage(values, limit, cell, color, self.theme, Source(self.run, name, what, step))
            .move_to([x, 0.1, 0]).settle()
            for values, color, what, step, x in (
                (before, self.colours.W, "W", None, -4.6),
                (before + change, self.colours.W, "merged", self.last, 0.0),
                (change, self.colours.delta, "delta", self.last, 4.6),
            )
        ]  # fmt: skip
        names = [self.below(pictures[0], "before"), self.below(pictures[1], "after")]
        self.add(self.stamp(self.last), pictures[0], names[0])
        self.say(f"One matrix, {short(name)}, before training.")
        self.attend(pictures[0])

        # After
        self.say("And after. Do you see a difference?")
        self.play_in(pictures[1], names[1])
        self.guess(0.5)

        # Laid over each other, and taken off again
        self.say("Laid over each other: on, and off again.")
        apart, place = pictures[1].get_center(), names[1].get_center()
        over = names[1].animate.move_to(names[0])
        self.play(FadeOut(names[0]), over, pictures[1].animate.move_to(pictures[0]), run_time=0.9)
        for there in (False, True, False, True):
            gone, come = (names[0], names[1]) if there else (names[1], names[0])
            fade = UpdateFromAlphaFunc(pictures[1], self.faded(there))
            self.play(fade, FadeOut(gone), FadeIn(come), run_time=0.5)
        back = names[1].animate.move_to(place)
        self.play(FadeIn(names[0]), back, pictures[1].animate.move_to(apart), run_time=0.9)

        # The change, on a scale of its own
        self.say(f"The change is {percent(relative_norm(self.run, name), 1)} of its size. On the same scale:")
        text = self.below(pictures[2], f"{DELTA}W, same colours")
        self.play_in(pictures[2], text)
        own = limit_of(change)
        self.say(f"And with colours {limit / own:.0f} times as strong.")
        self.play(FadeOut(text), FadeIn(self.below(pictures[2], f"{DELTA}W, {limit / own:.0f} times as strong")))
        self.stronger(pictures[2], limit, own)
        self.attend(pictures[2])
        self.finish()

    def faded(self, there: bool) -> Callable[[MatrixImage, float], None]:
        """The picture comes, or goes, and what lies under it is seen: so astronomers find what moved between plates."""

        def fade(picture: MatrixImage, share: float) -> None:
            picture.image.set_opacity(share if there else 1 - share)
            picture.frame.set_stroke(opacity=share if there else 1 - share)

        return fade

    def stronger(self, picture: MatrixImage, limit: float, own: float) -> None:
        """Its colours grow from one scale to the other."""

        def grow(one: MatrixImage, share: float) -> None:
            one.show(one.values, limit * (own / limit) ** share)

        self.play(UpdateFromAlphaFunc(picture, grow), run_time=1.2)

    def below(self, picture: MatrixImage, text: str) -> Text:
        color = picture.frame.get_stroke_color().to_hex()
        return sit(label(text, 34, color), picture.get_center()[0], picture.get_bottom()[1] - 0.4, ORIGIN)


class Where(FullScene):
    """Matrix by matrix: how far it moved for its size."""

    title = "Where it moved most"

    def construct(self) -> None:
        # Every weight
        self.model.show("change", self.last)
        self.add(self.row_names(), self.stamp(self.last), self.model, self.column_names())
        self.say("Where did it move most, for its size?")
        self.attend(self.model)

        # Every matrix: one number
        share = pd.Series({name: relative_norm(self.run, name, self.last) for name in self.run.modules})
        self.say("Now a matrix is one colour: its change beside its weights.")
        self.model.show("moved", self.last)
        numbers = VGroup(self.number(name, value) for name, value in share.items())
        self.play(LaggedStart(*(FadeIn(one, scale=1.5) for one in numbers), lag_ratio=0.1, run_time=1.6))

        # The ends, and the rows
        most, least = share.idxmax(), share.idxmin()
        self.say(f"Most: {self.said(most)}, by {percent(share[most], 1)} of its norm.")
        self.mark(most)
        self.say(f"Least: {self.said(least)}, by {percent(share[least], 1)}.")
        self.mark(least)
        self.finish()

    def mark(self, name: str) -> None:
        box = self.model.box(name, color=self.colours.foreground, stroke_width=8)
        self.play(FadeIn(box, scale=1.3), run_time=0.5)
        self.attend(box)

    def said(self, name: str) -> str:
        """A matrix as it is called on screen: "layer 4 v", "embed tokens"."""
        layer, kind = layer_of(name), self.model.tiles[name].kind
        return kind if layer is None else f"layer {layer} {kind}"

    def number(self, name: str, value: float) -> Text:
        tile, place = self.model.tiles[name], self.model.box(name).get_center()
        color = self.model.image.pixel_array[tile.top + tile.rows // 2, tile.left + tile.columns // 2]
        return sit(label(percent(value, 1), 32, ink_on(color)), place[0], place[1], ORIGIN)


class Copies(FullScene):
    """A task's result is a whole model again."""

    title = "What one copy per task costs"

    def construct(self) -> None:
        # What is stored
        trained = self.run.info.model.trainable or self.model.weights
        self.add(self.stamp(self.last), sit(label(self.trained(), 40, self.colours.foreground), -6.4, 2.7))
        self.say("What is kept of it?", f"Trained were {trained:,} weights. What is kept of them?")
        size, title = self.stored()
        self.copies(title, size, 1e6, "MB", 1.9)
        self.say("The result is a whole model again: one copy a task.")

        # The same for a model of the size in use
        self.say("At 8 billion weights and 2 bytes each, computed:")
        self.copies("8 billion weights, 2 bytes each (computed)", 16e9, 1e9, "GB", -0.7)
        self.finish()

    def trained(self) -> str:
        here, every = self.run.info.model.trainable or self.model.weights, self.run.info.model.parameters
        return f"trained: {here:,} of {every:,} weights" if every else f"trained: {here:,} weights"

    def stored(self) -> tuple[float, str]:
        """Bytes of the model that the run holds, whatever part of it was trained; or of one, where it holds none."""
        weights = self.run.info.model.parameters or self.model.weights
        if size := sum(file.stat().st_size for file in self.run.path.glob("model/*.safetensors")):
            return size, f"stored, at {size / weights:.0f} bytes a weight"
        return 4 * weights, "at 4 bytes a weight (computed)"

    def copies(self, title: str, each: float, unit: float, name: str, top: float) -> None:
        rows = [
            Row(f"{tasks} task{'s' if tasks > 1 else ''}", tasks * each, f"{tasks * each / unit:,.1f} {name}", color)
            for tasks, color in ((1, self.colours.full), (10, self.colours.full), (50, self.colours.full))
        ]
        self.play_in(Bars(title, rows, 50 * each, 8.0, self.colours).at(-6.4, top))


class End(EndCard):
    """What the film showed, in numbers."""

    shows = "full"
    asks = "must all of them move?"
    follows = "lora"

    def figures(self) -> list[Figure]:
        change = [relative_norm(self.run, name) for name in self.run.modules]
        moved = Figure(percent(float(np.median(change)), 1), "of its own norm: so far the middle matrix moved")
        return [moved, *learned_and_kept(self.run)]


# The film's order; Manim itself would go by the alphabet.
SCENES = (Named, Whole, First, Training, Same, Where, Copies, End)
