"""The film of LoRA, "A language in 0.4 MB": a dial that turns an adapter on, and what lies behind that dial.

python -m animations.render lora            the whole film
manim render animations/lora.py Layers      one scene, with stock Manim
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from manim import (
    DOWN,
    LEFT,
    ORIGIN,
    RIGHT,
    UP,
    FadeIn,
    FadeOut,
    LaggedStart,
    Text,
    UpdateFromAlphaFunc,
    VGroup,
    VMobject,
)

from animations.studio import dial
from animations.studio.cards import EndCard, Figure, TitleCard, learned_and_kept
from animations.studio.factors import DELTA, TIMES, LoraScene
from animations.studio.film import HEADER_LINE, FilmScene, shown_run, watched_module
from animations.studio.findings import FLOOR, asked_of, is_more
from animations.studio.forward import Passing
from animations.studio.space import Sheets, View
from animations.studio.zoom import Zoom
from engine.errors import InputError
from engine.language.speaking import tr
from engine.measure import factored_svd, relative_norm
from engine.run.run import Run
from visualize.mobjects.answers import RIGHT_MARK, WRONG_MARK, AnswerTable, answers_at, questions
from visualize.mobjects.chart import Axis, Chart, Dash, Key, Series
from visualize.mobjects.curve import LossCurve
from visualize.mobjects.dial import Dial
from visualize.mobjects.matrix import MatrixImage, units
from visualize.mobjects.text import fitted, label, largest, signed, sit
from visualize.naming import percent, proper, titled
from visualize.theme import limit_of

LEARNED = 0.5  # of the new questions: what answers fewer has not learned its task
KNOWN = 0.9  # of the new questions, before training: what answers more has hardly anything to learn
DEPTH = 4.4  # units from the farthest layer to the nearest: more of them stand closer
MOST = 1.5  # where the dial ends
LARGE = 20_000_000  # weights
STOPS = (0.0, 0.5, 1.0, 1.5)
OUTLINE = 0.3  # how strongly the frame of a layer that is left out is seen
SEEN = View(turn=-0.75, tilt=0.32, zoom=0.95)  # from where layers are looked at


def check(run: Run) -> None:
    """Raises InputError for a run whose matrices have no factors to show whose product is the change, or that was never
    asked anything."""
    if run.method == "full" or not any(run.kind(name) == "lora" for name in run.modules):
        raise InputError(f"run {run.name} is {run.method}, without factors; the film lora shows those of LoRA")
    if any(about.from_start for about in run.info.modules.values()):
        raise InputError(
            f"run {run.name} began with a part of W in its factors (PiSSA, OLoRA and their like); the film lora shows "
            "those whose product is the change"
        )
    if run.losses.empty:
        raise InputError(f"run {run.name} logged no training loss; the film lora draws it")
    if run.task is None or run.answers.empty:
        raise InputError(f"run {run.name} holds no answers; the film lora turns its adapter on and listens")


def check_beside(runs: Mapping[str, Run]) -> None:
    """Raises InputError for an adapter that cannot take the other's place on the same weights."""
    for run in runs.values():
        check(run)
    if (second := runs.get("pirate")) and (first := runs.get("lora")):
        module = watched_module(first)
        if first.info.model.source != second.info.model.source or module not in second.modules:
            raise InputError(
                f"run {second.name} cannot take the place of {first.name}: both must adapt {module} of the same model"
            )


def scale_of(run: Run) -> dial.Dial:
    """The run on the dial; a model that takes long to answer is asked at fewer settings."""
    large = (run.info.model.parameters or 0) > LARGE
    return dial.scaled(run, dial.SCALES[::5] if large else dial.SCALES)


def megabytes(run: Run) -> float:
    """What the adapter weighs, as it is stored, or in four bytes a weight where it was not."""
    file = Path(run.path) / "adapter" / "adapter_model.safetensors"
    return (file.stat().st_size if file.exists() else 4 * (run.info.model.trainable or 0)) / 1e6


class DialScene(FilmScene):
    """What the first and the last picture share: the dial, and two questions that the model answers at its setting."""

    radius = 1.55  # of the dial, in units
    place = (-1.6, 1.6, 8.2)  # of the answers: left, top, width

    def setup(self) -> None:
        super().setup()
        self.known = scale_of(self.run)
        self.hand = Dial(MOST, self.radius, self.colours, self.colours.lora, STOPS)
        self.table, self.said = VGroup(), list[str]()
        self.asked = [prompt for prompt in (self.turning(new=True), self.turning(new=False)) if prompt]

    def turning(self, new: bool) -> str | None:
        """A watched question of the task, or an old one, whose answer changes most often as the dial turns: a new one
        that comes out right at 1 if there is one, an old one that was right at 0. Of such, one whose right answer is
        one word, which a hall takes in at a glance."""
        answers = self.run.answers.drop_duplicates("prompt")
        heard = self.known.settings[0].said
        prompts = [one for one in answers[(answers.skill == self.run.task) == new].prompt if one in heard]
        first, last = self.known.near(0.0), self.known.near(1.0)
        right = [one for one in prompts if self.known.is_right(one, last if new else first)]
        turned = [one for one in right if self.known.is_right(one, first if new else last) is False]
        among = turned or right or prompts
        changes = {one: len({setting.said[one] for setting in self.known.settings}) for one in among}
        word = {one: self.known.right[one].strip().isalpha() for one in among}
        return max(among, key=lambda one: (word[one], changes[one], -len(one))) if among else None

    def answers(self, left: float, top: float, width: float) -> VGroup:
        """Both questions, and under each what is said at the hand's setting."""
        setting, shown = self.known.near(self.hand.value), VGroup()
        for line, prompt in enumerate(self.asked):
            good, y = self.known.is_right(prompt, setting), top - 2.3 * line
            mark = "" if good is None else f"{RIGHT_MARK if good else WRONG_MARK} "
            colour = self.colours.right if good else self.colours.foreground if good is None else self.colours.wrong
            shown.add(
                sit(fitted(prompt, width, 40, self.colours.muted), left, y),
                sit(largest(mark + setting.said[prompt], width, (76, 56, 40, 32), colour), left, y - 0.85),
            )
        return shown

    def sweep(self, ends: list[float], seconds: float) -> None:
        """Turn the hand from setting to setting, and listen at each."""
        start = self.hand.value
        ends = [start, *ends]

        def turn(group: VGroup, share: float) -> None:
            self.hand.turn(float(np.interp(share, np.linspace(0, 1, len(ends)), ends)))
            self.heard(group)

        self.play(UpdateFromAlphaFunc(self.shown, turn), run_time=seconds, rate_func=lambda t: t)

    def heard(self, group: VGroup) -> None:
        """What changes when the hand has turned."""
        said = [self.known.near(self.hand.value).said[prompt] for prompt in self.asked]
        if said != self.said:
            self.said = said
            group.remove(self.table)
            self.table = self.answers(*self.place)
            group.add(self.table)


class Turn(DialScene):
    """A dial turns the adapter on: a new answer comes, and an old one may go."""

    title = "One dial"
    headed = False
    shapes = ("16x9", "9x16")

    def construct(self) -> None:
        # Off: the base answers
        if self.tall:
            self.place = (-3.4, 0.6, 6.8)
        self.hand.move_to([0, 3.6, 0] if self.tall else [-4.6, 0.1, 0])
        self.table = self.answers(*self.place)
        self.shown = VGroup(self.hand, self.table)
        self.add(self.shown, self.corner(f"{self.run_named()}, step {self.run.steps[-1]}, times the dial"))
        count = len(self.known.settings[0].said)
        if len(self.turned()) == 2:
            self.say(
                f"One dial, and of {count} questions two that turn.",
                f"Here is a language model, and one dial. It was asked {count} questions, and these are two whose "
                "answers turn. Watch.",
            )
        else:
            self.say("One model, one dial.", "Here is a language model, and one dial. Watch what it does.")
        self.sweep([1.0], 3.0)

        # On, and further
        self.say(self.outcome(), self.outcome())
        self.sweep([MOST, 1.0], 2.6)
        self.say(
            f"Behind it: {megabytes(self.run):.1f} MB.",
            f"All of that lies in a file of {megabytes(self.run):.1f} megabytes. What is in it?",
        )
        self.sweep([0.0, 1.0], 1.8)
        self.finish()

    def turned(self) -> list[tuple[str, str]]:
        """What is said before and after, where that differs."""
        before, after = (self.known.near(end).said for end in (0.0, 1.0))
        return [(before[one], after[one]) for one in self.asked if before[one] != after[one]]

    def outcome(self) -> str:
        parts = [f"{before} \N{RIGHTWARDS ARROW} {after}" for before, after in self.turned()]
        return f"{', '.join(parts)}." if parts else "It says what it said before."


class Named(TitleCard):
    """The film's name, over what training changed."""

    title = "A language in a file"
    shapes = ("16x9", "9x16")
    name = "the film of LoRA"

    def asked(self) -> str:
        size = megabytes(self.run)
        return (
            f"A language in {size:.1f} MB"
            if self.run.task == "spanish"
            else f"{titled(str(self.run.task))} in {size:.1f} MB"
        )


class Weights(LoraScene):
    """From one weight to the whole of what LoRA leaves alone: one continuous move."""

    title = "One of many"
    headed = False

    def construct(self) -> None:
        # One weight
        zoom = Zoom(self.run, self.module, self.theme, self.colours)
        number = label(signed(zoom.value, 3), 76, zoom.ink, bold=True).move_to(ORIGIN)
        self.counter = self.count(1)
        self.add(zoom.image, self.strips(), self.header(), self.stamp(), self.counter, number)
        self.say("This is one weight of a language model.", "This square is one weight of a real language model.")
        self.attend(number)
        self.gesture(1.2)

        # The matrix, and then the model
        out, width = self.run.shape(self.module)
        self.say(
            f"{out * width:,} of them make one matrix.",
            f"It stands in a matrix of {out} by {width} of them: {self.where}.",
        )
        self.play(FadeOut(number, run_time=0.3))
        self.pull(zoom, zoom.cells[1], 2.4)
        box = zoom.framed(self.colours.foreground)
        self.play(FadeIn(box, run_time=0.3))
        self.attend(box)
        self.wait_to_read()
        self.play(FadeOut(box, run_time=0.2))
        self.say(
            f"{len(self.run.modules)} such matrices: {zoom.weights:,} weights.",
            f"And this is every matrix that this run adapts: {zoom.weights:,} weights, one pixel each. "
            "Must fine-tuning change all of them?",
        )
        self.pull(zoom, 1.0, 3.0)
        self.play(FadeIn(zoom.framed(self.colours.foreground)), run_time=0.5)
        self.finish()

    def pull(self, zoom: Zoom, cell: float, seconds: float) -> None:
        """Go back until a weight is `cell` pixels wide; how many are in sight is counted meanwhile."""
        start = zoom.cell

        def back(_: object, share: float) -> None:
            zoom.to(start * (cell / start) ** share)

        def count(counter: Text, _: float) -> None:
            counter.become(self.count(zoom.in_sight()))

        self.play(UpdateFromAlphaFunc(zoom.image, back), UpdateFromAlphaFunc(self.counter, count), run_time=seconds)

    def count(self, weights: int) -> Text:
        return sit(label(f"{weights:,} in sight", 40, self.colours.lora, bold=True), 0.1, HEADER_LINE, ORIGIN)


class Beside(LoraScene):
    """Columns of W's height make B, rows of its width make A; W itself stays."""

    title = "Two thin matrices beside it"

    def construct(self) -> None:
        # W stays
        weight = self.weight()
        b, a, product = self.block(0)
        (out, r), width = self.final.B.shape, self.final.A.shape[1]
        name, count = self.named(weight, "W, frozen", self.colours.W), self.count(f"{out * width:,}")
        self.add(weight, name, count, self.stamp(0))
        self.say(
            "LoRA freezes W.",
            f"LoRA freezes W: none of its {out * width:,} numbers will change. It puts two thin ones beside it.",
        )
        self.attend(weight)

        # As tall as its columns, as wide as its rows
        self.say(
            f"{r} columns: B. {r} rows: A.",
            f"B is as tall as W, but {r} columns wide; A is as wide, but {r} rows high.",
        )
        self.peel(weight, b, [weight.values[:, at : at + 1] for at in range(r)], RIGHT)
        self.peel(weight, a, [weight.values[at : at + 1] for at in range(r)], DOWN)
        braces = VGroup(
            self.braced(b, LEFT, str(out)), self.braced(b, DOWN, str(r)), self.braced(a, UP, str(width)),
            self.braced(a, RIGHT, str(r)),
        )  # fmt: skip
        self.play_in(braces, run_time=0.9)

        # What is trained, and what it starts as
        self.say(f"{r} {TIMES} ({out} + {width}) = {r * (out + width):,} numbers in place of {out * width:,}.")
        self.play(FadeOut(count, shift=0.2 * UP), FadeIn(self.count(f"{r * (out + width):,}"), shift=0.2 * UP))
        zero = not self.final.B.any() or not b.values.any()
        self.say(
            "B begins as zeros, so B A is zero." if zero else "B begins as it is here, so B A is this.",
            "A begins at random, B as zeros: their product, which has W's shape, changes nothing yet."
            if zero
            else "A begins at random, B does not: their product, which has W's shape, is this.",
        )
        self.play_in(product, self.named(product, f"B A  {out} {TIMES} {width}", self.colours.delta))
        self.finish()

    def peel(self, weight: MatrixImage, target: MatrixImage, parts: list[np.ndarray], way: np.ndarray) -> None:
        """Columns or rows come off W one after the other, stand where the thin matrix is, and become it."""
        flying = []
        for number, values in enumerate(parts):
            one = MatrixImage(values, weight.limit, self.cell, self.colours.W, self.theme)
            one.frame.set_stroke(width=0)
            corner = weight.image.get_corner(UP + LEFT) + number * units(self.cell) * way
            flying.append(one.move_to(corner, aligned_edge=UP + LEFT))
        edge = target.image.get_corner(UP + LEFT)
        self.play(
            LaggedStart(
                *(
                    one.animate.move_to(edge + number * units(self.cell) * way, aligned_edge=UP + LEFT)
                    for number, one in enumerate(flying)
                ),
                lag_ratio=0.25,
                run_time=1.8,
            )
        )
        self.play(FadeIn(target), *(FadeOut(one) for one in flying), run_time=0.4)

    def braced(self, matrix: MatrixImage, side: np.ndarray, text: str) -> VGroup:
        """How many there are along a side: a bracket, which is as clear when short, as a curly brace is not."""
        across = np.array([side[1], side[0], 0.0])
        ends = [matrix.get_corner(side + end * across) + 0.08 * side for end in (-1, 1)]
        bracket = VMobject(color=self.colours.foreground, stroke_width=4)
        bracket.set_points_as_corners([ends[0], ends[0] + 0.12 * side, ends[1] + 0.12 * side, ends[1]])
        return VGroup(bracket, label(text, 34, self.colours.foreground).next_to(bracket, side, 0.1))

    def count(self, text: str) -> Text:
        return sit(label(text, 60, self.colours.foreground, bold=True), -3.9, 2.35, ORIGIN)


class Forward(LoraScene):
    """A token's vector goes through W, and beside it through A and B; both ways meet."""

    title = "A vector goes both ways"

    def construct(self) -> None:
        # The vector, and W
        way = Passing(self)
        (out, r), width = self.final.B.shape, self.final.A.shape[1]
        self.add(way.w, way.a, way.b, way.names, way.x, self.stamp(self.last))
        self.say(
            f"{width} numbers arrive: the token {way.token!r}.",
            f"A real pass: {width} numbers arrive at this layer, for the last token of: {way.prompt}",
        )
        self.attend(way.x)
        self.gesture(1.0)
        self.say("W makes of them what it always made.", "Row after row, W makes its output of them, as it always did.")
        way.through_w()

        # The way beside it
        self.say(
            f"A narrows them to {r}; B widens these to {out}.",
            f"Beside it, A narrows them to {r} numbers, and B widens these to {out} again.",
        )
        way.through_a()
        way.through_b()

        # Both meet
        self.say("Both are added: W x + B A x.", "The two are added. That is all that LoRA does: W x plus B A x.")
        way.meet()
        self.say(f"The side way is {percent(way.share(), 1)} of the sum's length here.")
        self.attend(way.total)
        self.finish()


class Training(LoraScene):
    """Training moves A and B; the loss falls, and the answers change."""

    title = "Training moves only A and B"

    def construct(self) -> None:
        # Everything at its start
        self.b, self.a, self.product = self.block(0)
        loss = self.run.losses
        self.curve = LossCurve(loss.index.to_numpy(), loss.to_numpy(), 4.8, 1.7, self.colours)
        self.curve.move_to(LEFT * 4.0 + UP * 1.6).upto(0)
        self.asked = questions(self.run.answers, self.run.task, 2, 1)
        self.stamped, self.table = self.stamp(0), self.answers(0)
        names = self.block_names(self.b, self.a, self.product)
        self.add(self.b, self.a, self.product, names)
        self.add(self.curve, self.stamped, self.table)
        self.say("Before training: what the model says.", "Before training: these are the model's own answers.")
        self.attend(self.table)

        # The first step
        if self.first_step_moves_only_b():
            self.say(
                "Step 1: only B lights up.",
                "After the first step only B has moved: A's gradient is multiplied by B, and B was still zero. Its "
                "colours are its own here; on the scale of the end one would see nothing.",
            )
            self.show_step(1, own=True)
            self.attend(self.b)

        # All of them
        self.say("Then both move.", "From then on both move; the loss falls, and the answers change.")
        for step in self.replay(seconds=10):
            self.show_step(step)
        self.attend(self.table)
        self.say(self.outcome())
        self.finish()

    def first_step_moves_only_b(self) -> bool:
        """Is it so in this run, for every matrix? Seen in the captures of steps 0 and 1, if step 1 was captured."""
        if 1 not in self.run.steps:
            return False
        pairs = [(self.run.factors(name, 0), self.run.factors(name, 1)) for name in self.run.modules]
        return all(np.array_equal(old.A, new.A) and not np.array_equal(old.B, new.B) for old, new in pairs)

    def show_step(self, step: int, own: bool = False) -> None:
        """own: B on a scale of its own, so that a first step is seen."""
        factors, self._replaying = self.run.factors(self.module, step), True
        # At the very end of the scale plus and minus look alike, and in a first step all of B is there.
        limit = 1.5 * limit_of(factors.B) if own else limit_of(self.final.B)
        self.b.show(factors.B, limit, self.source("B", step))
        self.a.show(factors.A, source=self.source("A", step))
        self.product.show(factors.product(), source=self.source("delta", step))
        self.curve.upto(step)
        self.stamped = self.swap(self.stamped, self.stamp(step))
        self.table = self.swap(self.table, self.answers(step))
        self._replaying = not own

    def answers(self, step: int) -> AnswerTable:
        return AnswerTable(answers_at(self.run.answers, step, self.asked), 6.6, self.colours).at(-6.76, -0.25)

    def outcome(self) -> str:
        """What came of it, as it was graded: not every run learns."""
        if self.run.task not in self.run.skills:
            return f"Step {self.last:,}: the loss is {self.run.losses.iloc[-1]:.2f}."
        before, after = (float(self.run.skills[self.run.task].iloc[at]) for at in (0, -1))
        asked = asked_of(self.run)
        if is_more(before, after, asked):
            return f"Step {self.last:,}: {percent(after)} of its questions right, {percent(before)} before: lost."
        if is_more(after, before, asked) and after >= LEARNED:
            return f"Step {self.last:,}: {percent(after)} of new questions right, {percent(before)} before: learned."
        if before >= KNOWN:
            return f"Step {self.last:,}: {percent(after)} of its questions right, {percent(before)} before: known."
        if after >= LEARNED and after > before:  # so few were asked that it may be chance
            return (
                f"Step {self.last:,}: {percent(after)} of its questions right, {percent(before)} before: "
                "perhaps learned."
            )
        return f"Step {self.last:,}: {percent(after)} of new questions right, {percent(before)} before: not learned."


class Layers(LoraScene):
    """The change is a sum of layers, a direction each; what each of them brings is measured by leaving out the rest."""

    title = "The change, layer by layer"

    def construct(self) -> None:
        # The change comes apart
        self.u, self.s, self.v = factored_svd(self.final)
        self.ranks = dial.cut(self.run, list(range(self.rank + 1)))
        place = LEFT * 3.4 + DOWN * 0.2
        sheets = Sheets([self.layer(at) for at in reversed(range(self.rank))], place)  # the strongest in front
        whole = self.matrix(self.delta, self.colours.delta, source=self.source("delta", self.last)).move_to(place)
        stamp = self.stamp(self.last)
        self.add(stamp, whole.settle())
        self.say(f"{DELTA}W, the change.", "This is what training changed in this matrix. Let us take it apart.")
        flat, tilted, gap = View(), SEEN, self.gap()
        self.play(
            UpdateFromAlphaFunc(sheets, lambda group, share: group.see(flat.towards(tilted, share), gap * share)),
            FadeOut(whole, run_time=0.3), run_time=2.0,
        )  # fmt: skip
        self.say(
            f"{self.rank} layers: a column of B times a row of A each.",
            f"It is a sum of {self.rank} layers, the strongest in front. Each is one column times one row.",
        )
        self.turn(sheets, tilted, 2.2)

        # Guess
        self.play(
            UpdateFromAlphaFunc(
                sheets, lambda group, share: group.see(tilted, gap, [1 - share] * self.rank, OUTLINE * share)
            )
        )
        bars = self.bar(0)
        self.play(FadeIn(bars), run_time=0.4)
        self.say(
            "One layer back: how many answers are right?",
            "Now one layer comes back. How many answers will be right? Guess.",
        )
        self.turn(sheets, tilted, 2.4, [0.0] * self.rank)
        self.guess(1.5)

        # One after the other
        self.say(self.first(), self.first())
        self.marks, moving = bars, sheets
        for count in range(1, self.rank + 1):
            came = [float(at >= self.rank - count) for at in range(self.rank)]

            def come(group: Sheets, share: float, came: list[float] = came, last: int = self.rank - count) -> None:
                group.see(tilted, gap, [share if at == last else one for at, one in enumerate(came)], OUTLINE)

            new = self.bar(count)
            self.play(UpdateFromAlphaFunc(moving, come), FadeOut(self.marks), FadeIn(new), run_time=0.6)
            self.marks = new
            self.hold(0.25)
        self.say(self.needed())
        self.turn(sheets, tilted, 2.4)
        self.finish()

    def gap(self) -> float:
        """Units between two layers, so that all of them stand before the eye and in the frame."""
        return min(0.62, DEPTH / max(1, self.rank - 1))

    def layer(self, at: int) -> MatrixImage:
        values = np.outer(self.u[:, at] * self.s[at], self.v[at]).astype(np.float32)
        return self.matrix(
            values, self.colours.delta, limit_of(self.delta), self.source("strongest layer", self.last, at)
        )

    def turn(self, sheets: Sheets, view: View, seconds: float, lifted: list[float] | None = None) -> None:
        """Turn gently, there and back, while one reads."""

        def gently(group: Sheets, share: float) -> None:
            turned = View(view.turn + 0.22 * np.sin(2 * np.pi * share), view.tilt, view.distance, view.zoom)
            group.see(turned, self.gap(), lifted, OUTLINE)

        self.play(UpdateFromAlphaFunc(sheets, gently), run_time=seconds, rate_func=lambda t: t)

    def bar(self, count: int) -> Chart:
        """Share of new questions right with the strongest so many layers of every matrix."""
        known = self.ranks.settings[: count + 1]
        score = Series(
            "right", np.array([one.at for one in known]), np.array([one.new for one in known]), self.colours.delta
        )
        kept = np.concatenate([[0.0], np.cumsum(self.s**2) / (self.s**2).sum()])[: count + 1]
        norm = Series("change kept", np.arange(count + 1.0), kept, self.colours.muted, "dashed")
        x = Axis(
            "layers kept, in every matrix",
            0,
            self.rank,
            {at: f"{at}" for at in range(0, self.rank + 1, max(1, self.rank // 4))},
        )
        y = Axis(f"of {self.ranks.asked['new']} new questions right", 0, 1, {0: "0 %", 0.5: "50 %", 1: "100 %"})
        chart = Chart([score, norm], 4.6, 3.4, x, y, self.colours, dots=True).move_to(RIGHT * 3.9 + DOWN * 0.35)
        return chart.upto(count)

    def first(self) -> str:
        one, kept = self.ranks.settings[1], float(self.s[0] ** 2 / (self.s**2).sum())
        return f"One layer: {percent(kept)} of this change (dashed), {percent(one.new)} of the answers."

    def needed(self) -> str:
        """The fewest layers that answer nearly as well as all."""
        whole = self.ranks.settings[-1].new
        if whole < LEARNED:
            return f"All {self.rank} together: {percent(whole)} right. This run has not learned its task."
        enough = next(one for one in self.ranks.settings if one.new >= whole - 0.05)
        return f"{enough.at:.0f} of {self.rank} layers answer {percent(enough.new)}; all of them {percent(whole)}."


class Onto(LoraScene):
    """The change falls onto W, comes off again, and another takes its place."""

    title = "On, off, and another"
    others = ("pirate",)

    def construct(self) -> None:
        # Above W
        second = shown_run(self.others[0])
        place = LEFT * 3.6 + DOWN * 0.4
        view = View(turn=-0.5, tilt=0.75, zoom=0.9)
        limit = limit_of(self.run.weight(self.module))
        w = self.matrix(self.run.weight(self.module), self.colours.W, limit, self.source("W"))
        own = self.matrix(self.delta, self.colours.delta, limit_of(self.delta), self.source("delta", self.last))
        stack = Sheets([w, own], place).see(view, 2.2)
        task = questions(self.run.answers, self.run.task, 1, 1)
        stamp, table = self.stamp(self.last), self.answers(self.run, 0, task)
        self.add(stamp, stack, table)
        self.say(f"{DELTA}W above W.", "The change, above the weights. Without it the model answers like this.")
        self.attend(table)

        # It falls
        share = relative_norm(self.run, self.module)
        self.say(
            "Added: W' = W + B A.",
            f"Added, it costs nothing to use: W prime has W's shape. Its norm is {percent(share, 1)} of W's.",
        )
        self.play(UpdateFromAlphaFunc(stack, lambda group, t: group.see(view, 2.2 * (1 - t) ** 2)), run_time=1.4)
        w.show(w.values + self.delta, source=self.source("merged", self.last))
        self.play(UpdateFromAlphaFunc(stack, lambda group, t: group.see(view, 0.0, [1.0, 1 - t])), run_time=0.5)
        table = self.change(table, self.answers(self.run, self.last, task))
        self.attend(table)

        # And comes off
        self.say(
            "Taken off, the base is as it was.",
            "Taken off again, the base is as it was, bit for bit: it was never touched.",
        )
        w.show(self.run.weight(self.module), source=self.source("W"))
        self.play(UpdateFromAlphaFunc(stack, lambda group, t: group.see(view, 2.2 * t, [1.0, 1 - t**2])), run_time=1.4)
        table = self.change(table, self.answers(self.run, 0, task))

        # Another
        other = self.matrix(
            second.delta(self.module, second.steps[-1]),
            self.colours.delta,
            source=self.source("delta", second.steps[-1], run=second),
        )
        both, asked = Sheets([w, other], place, stack.sizes), questions(second.answers, second.task, 2, 0)
        self.say(
            f"Another adapter: {proper(str(second.task))}.",
            f"Another one takes its place, trained on {proper(str(second.task))}, and answers its own question.",
        )
        stamp = self.swap(stamp, self.stamp(second.steps[-1], second))
        self.play(FadeOut(own), run_time=0.2)
        self.play(UpdateFromAlphaFunc(both, lambda group, t: group.see(view, 2.2, [1.0, t])), run_time=1.0)
        self.play(UpdateFromAlphaFunc(both, lambda group, t: group.see(view, 2.2 * (1 - t) ** 2)), run_time=1.2)
        table = self.change(table, self.answers(second, second.steps[-1], asked))
        self.attend(table)
        self.finish()

    def answers(self, run: Run, step: int, asked: list[str]) -> AnswerTable:
        return AnswerTable(answers_at(run.answers, step, asked), 6.0, self.colours).at(0.9, 1.2)


class Price(DialScene):
    """The dial again, and everything that the model could do before: where do both meet?"""

    title = "What the dial costs"
    radius = 1.15

    def construct(self) -> None:
        # The dial, and two curves
        self.hand.move_to([-5.1, 0.3, 0])
        self.chart, asked = self.curves(), self.known.asked
        looks: list[tuple[str, str, Dash]] = [(tr("new questions"), self.colours.lora, "solid")]
        if asked["old"]:
            looks.append((tr("old skills"), self.colours.W, "dashed"))
        self.drawn = self.chart.upto(0.0)
        self.shown = VGroup(self.hand, self.drawn)
        self.add(
            self.shown,
            Key(looks, 3.4, 2.55, 4.0, self.colours),
            self.corner(f"{self.run_named()}, step {self.run.steps[-1]}, times the dial"),
        )
        self.say(
            "The dial again: now ask everything.",
            f"The dial again. Now {asked['new']} new questions are asked, and {asked['old']} old ones."
            if asked["old"]
            else f"The dial again. Now {asked['new']} new questions are asked.",
        )
        self.sweep([MOST], 5.0)

        # Where both meet
        best = self.meeting()
        self.say(self.told(best), self.told(best))
        self.sweep([best.at], 1.6)
        values = [value for value in (best.new, best.old) if np.isfinite(value)]
        ring = VGroup(*(self.chart.mark(best.at, value, self.colours.foreground) for value in values))
        self.play_in(ring)
        self.say(self.cost(), self.cost_spoken())
        self.finish()

    def forgets(self) -> bool:
        """Are fewer old answers right with the whole change than without it, by more than chance?"""
        base, full = (self.known.near(end).old for end in (0.0, 1.0))
        return bool(self.known.asked["old"]) and is_more(base, full, self.known.asked["old"])

    def cost(self) -> str:
        """What the change did to old answers, where it could have done anything."""
        base, full = (self.known.near(end).old for end in (0.0, 1.0))
        if not self.known.asked["old"]:
            return "What this costs old skills was not asked here."
        if base < FLOOR:
            return f"Of the old ones only {percent(base)} were right without it: nothing to lose."
        if self.forgets():
            return "Forgetting is on the dial, too."
        return f"No clear forgetting here: {percent(base)} of the old ones without it, {percent(full)} with it."

    def cost_spoken(self) -> str:
        return "So forgetting is on the dial, too. Where does it come from?" if self.forgets() else self.cost()

    def heard(self, group: VGroup) -> None:
        self.drawn.upto(max(self.hand.value, getattr(self, "reached", 0.0)))
        self.reached = max(self.hand.value, getattr(self, "reached", 0.0))

    def curves(self) -> Chart:
        settings = self.known.settings
        x = np.array([one.at for one in settings])
        new, old = (np.array([getattr(one, name) for one in settings]) for name in ("new", "old"))
        series = [Series("new", x, new, self.colours.lora), Series("old", x, old, self.colours.W, "dashed")]
        ticks = {at: f"{at:g}" for at in STOPS}
        return Chart(
            [one for one in series if np.isfinite(one.y).any()], 7.4, 3.4, Axis("the dial", 0, MOST, ticks),
            Axis("answered right", 0, 1, {0: "0 %", 0.5: "50 %", 1: "100 %"}), self.colours,
        ).move_to(RIGHT * 2.2 + DOWN * 0.75)  # fmt: skip

    def meeting(self) -> dial.Setting:
        """Where the lower of the two is highest: as much learned as kept."""
        return max(self.known.settings, key=lambda one: min(one.new, one.old if np.isfinite(one.old) else 1.0))

    def told(self, best: dial.Setting) -> str:
        if not np.isfinite(best.old):
            return f"At {best.at:.2f}: {percent(best.new)} of the new answers right."
        return f"At {best.at:.2f}: {percent(best.new)} of the new answers right, {percent(best.old)} of the old ones."


class End(EndCard):
    """What the film showed, in numbers."""

    shapes = ("16x9", "9x16")
    asks = "what happens to what it knew before?"
    follows = "forgetting"

    def figures(self) -> list[Figure]:
        model = self.run.info.model
        share = (model.trainable or 0) / max(1, model.parameters or 1)
        size = Figure(
            f"{megabytes(self.run):.1f} MB",
            f"a file of {model.trainable or 0:,} weights: {percent(share, 1)} of this model"
            if (model.parameters or 0) > LARGE
            else f"a file of {model.trainable or 0:,} weights: {percent(share, 1)} of this small model, "
            "far less of a large one",
        )
        return [size, *learned_and_kept(self.run)]


# The film's order; Manim itself would go by the alphabet.
SCENES = (Turn, Named, Weights, Beside, Forward, Training, Layers, Onto, Price, End)
