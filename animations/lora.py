"""The film of the B A update: eight scenes, each one claim, every pixel of data from captured LoRA runs.

python -m animations.render lora            the whole film
manim render animations/lora.py Layers      one scene, with stock Manim
"""

from pathlib import Path

import numpy as np
import pandas as pd
from manim import DOWN, LEFT, RIGHT, UP, FadeIn, FadeOut, MathTypst, Mobject, Rectangle, Text, VGroup

from animations.studio.factors import DELTA, LEFT_PLACE, TIMES, LoraScene
from animations.studio.film import shown_run
from engine.errors import InputError
from engine.measure import factored_svd, relative_norm
from engine.run.delta import Factors
from engine.run.run import Run
from visualize.mobjects.answers import AnswerTable, answers_at, questions
from visualize.mobjects.bars import Bars, Row
from visualize.mobjects.curve import LossCurve
from visualize.mobjects.magnifier import Magnifier
from visualize.mobjects.matrix import SHOWN, ColourScale, MatrixImage, units
from visualize.mobjects.strengths import Strengths
from visualize.mobjects.text import label, largest, sit


def check(run: Run) -> None:
    """Raises InputError for a run whose matrices have no factors to show."""
    if run.method == "full" or not any(run.kind(name) == "lora" for name in run.modules):
        raise InputError(f"run {run.name} is a full fine-tuning; the film lora shows the factors of a LoRA run")


class Weights(LoraScene):
    """A weight matrix is a picture: a pixel a weight."""

    title = "One matrix of the model"

    def construct(self) -> None:
        # The matrix, whole
        weight = self.weight()
        out, width = self.run.shape(self.module)
        cut = f" (the first {SHOWN})" if max(out, width) > SHOWN else ""
        self.add(self.stamp())
        name = self.named(weight, f"W  {out} {TIMES} {width}{cut}", self.colours.W)
        facts = self.facts(self.where, f"{out * width:,} weights", f"one of {len(self.run.modules)} adapted matrices")
        self.say("A weight matrix of a real language model.")
        self.play_in(weight, name, facts, run_time=1.0)

        # A corner of it, magnified, with its numbers
        near = Magnifier(weight, 5, [3.3, 0.15, 0])
        corner, name = near.corner, self.named(near.corner, "the first five rows and columns", self.colours.muted)
        self.say("Each pixel is one weight; here are 25.")
        self.play(FadeOut(facts), FadeIn(near.patch), run_time=0.4)
        self.play(FadeIn(corner, target_position=near.patch, scale=0.1), FadeIn(near.lines), run_time=1.0)
        self.play_in(near.numbers, name)

        # How to read the colours
        zero = "black" if self.theme == "dark" else "white"
        self.say(f"Orange is positive, blue is negative, {zero} is zero.")
        scale = ColourScale(weight.limit, corner.image.width, self.colours, self.theme).next_to(corner, DOWN, 0.2)
        self.play(FadeOut(name, run_time=0.3))
        self.play_in(scale.align_to(corner, LEFT))
        self.say(f"Must fine-tuning change all {out * width:,} of them?")
        self.finish()

    def facts(self, *lines: str) -> VGroup:
        return VGroup(
            sit(largest(line, 5.8, (40, 36, 30), self.colours.foreground), 0.9, 0.55 - 0.8 * row)
            for row, line in enumerate(lines)
        )


class Beside(LoraScene):
    """LoRA leaves W alone and puts two thin matrices beside it, whose product is zero at first."""

    title = "LoRA: two thin matrices beside it"

    def construct(self) -> None:
        # W stays
        weight = self.weight()
        b, a, product = self.block(0)
        names = self.block_names(b, a, product)
        self.add(weight, self.named(weight, "W, frozen", self.colours.W), self.stamp(0))
        self.say("LoRA freezes W: no weight here will change.")

        # A and B, at their true size
        zero = not b.values.any()
        self.say(f"Beside it: A, random, and B, {'all zeros' if zero else 'not zero in this run'}.")
        self.play_in(a, names[1])
        self.play_in(b, names[0])

        # Their product is zero
        self.say(f"Their product has W's shape, and {'is zero too' if zero else 'starts like this'}.")
        self.play_in(product, names[2])

        # What is trained
        (out, r), width = self.final.B.shape, self.final.A.shape[1]
        self.say(f"Trained: {r * (out + width):,} numbers in place of {out * width:,}.")
        self.finish()


class Training(LoraScene):
    """Training moves A and B; the loss falls, and the answers change."""

    title = "Training moves only A and B"

    def construct(self) -> None:
        # Everything at its start
        self.b, self.a, self.product = self.block(0)
        loss = self.run.metrics["loss"]
        self.curve = LossCurve(loss.index.to_numpy(), loss.to_numpy(), 4.8, 1.7, self.colours)
        self.curve.move_to(LEFT * 4.0 + UP * 1.6).upto(0)
        self.asked = questions(self.run.answers, self.run.task, 2, 1)
        self.stamped, self.table = self.stamp(0), self.answers(0)
        self.add(self.b, self.a, self.product, self.block_names(self.b, self.a, self.product))
        self.add(self.curve, self.stamped, self.table)
        self.say("Before training: what the model really says.")

        # The first step
        if self.first_step_moves_only_b():
            self.say("Step 1 moves only B: A's gradient is multiplied by B, still zero.")
            self.show_step(1)

        # All of them
        self.say("Now both move, the loss falls, the answers change.")
        for step in self.replay(seconds=12):
            self.show_step(step)
        self.say(f"Step {self.last:,}: this was learned.")
        self.finish()

    def first_step_moves_only_b(self) -> bool:
        """Is it so in this run, for every matrix? Seen in the captures of steps 0 and 1, if step 1 was captured."""
        if 1 not in self.run.steps:
            return False
        pairs = [(self.run.factors(name, 0), self.run.factors(name, 1)) for name in self.run.modules]
        return all(np.array_equal(old.A, new.A) and not np.array_equal(old.B, new.B) for old, new in pairs)

    def show_step(self, step: int) -> None:
        factors = self.run.factors(self.module, step)
        self.b.show(factors.B, source=self.source("B", step))
        self.a.show(factors.A, source=self.source("A", step))
        self.product.show(factors.product(), source=self.source("delta", step))
        self.curve.upto(step)
        self.stamped = self.swap(self.stamped, self.stamp(step))
        self.table = self.swap(self.table, self.answers(step))

    def answers(self, step: int) -> AnswerTable:
        return AnswerTable(answers_at(self.run.answers, step, self.asked), 6.6, self.colours).at(-6.76, -0.25)


class Layers(LoraScene):
    """The product is a sum of r layers, a column of B times a row of A each."""

    title = "The change is a sum of layers"

    def construct(self) -> None:
        # The trained factors
        self.b, self.a, self.product = self.block(self.last)
        self.product.show(np.zeros_like(self.delta), source=self.source("sum", self.last, 0))
        self.alone = self.matrix(np.zeros_like(self.delta), self.colours.muted, self.product.limit)
        self.alone.move_to(LEFT_PLACE).settle()
        self.below = self.named(self.alone, "one layer", self.colours.muted)
        self.add(self.stamp(self.last), self.block_names(self.b, self.a, self.product))
        self.add(self.b, self.a, self.below, self.product, self.alone)
        self.say("A column of B times a row of A is one layer.")

        # Layer after layer
        self.add_layer(0, shown=1.0)
        self.say(f"{self.rank} layers together are the whole change.")
        for layer in range(1, self.rank):
            self.add_layer(layer, shown=max(0.1, min(0.4, 3 / self.rank)))

        # What that means
        self.say(f"What it learns must fit in {self.rank} directions: its rank.")
        self.finish()

    def add_layer(self, layer: int, shown: float) -> None:
        b, a, scaling = self.final
        marks = self.marks(layer)
        self.add(marks)
        values = np.float32(scaling) * np.outer(b[:, layer], a[layer])
        self.alone.show(values, source=self.source("layer", self.last, layer))
        text = f"layer {layer + 1} of {self.rank}, alone"
        self.below = self.swap(self.below, self.named(self.alone, text, self.colours.muted))
        self.hold(shown)
        moving = self.alone.copy()
        self.play(moving.animate.move_to(self.product), run_time=max(0.2, shown))
        total = np.float32(scaling) * (b[:, : layer + 1] @ a[: layer + 1])
        self.product.show(total, source=self.source("sum", self.last, layer + 1))
        self.remove(moving, marks)

    def marks(self, layer: int) -> VGroup:
        """Frames around the column of B and the row of A that make this layer."""
        step, shown = units(self.cell), VGroup()
        across = self.b.image.get_left() + RIGHT * step * (layer + 0.5)
        down = self.a.image.get_top() + DOWN * step * (layer + 0.5)
        shown.add(Rectangle(width=step, height=self.b.image.height).move_to(across))
        shown.add(Rectangle(width=self.a.image.width, height=step).move_to(down))
        return shown.set_stroke(self.colours.foreground, width=4)


class Rank(LoraScene):
    """Fewer directions are fewer numbers, and keep less of the change."""

    title = "A smaller rank, a larger rank"

    def construct(self) -> None:
        # Its directions, by strength
        self.u, self.s, self.v = factored_svd(self.final)
        self.shown: list[Mobject] = []
        self.add(self.stamp(self.last))
        self.say("The same change, sorted by strength.")
        self.keep(self.rank)

        # Fewer of them
        fewer = [k for k in (self.rank // 2, self.rank // 4, 1) if 0 < k < self.rank]
        if fewer:
            self.say("A smaller rank: fewer numbers, less detail.")
            for k in dict.fromkeys(fewer):
                self.keep(k)
                self.hold(1.2)

            # All of them again
            self.say("A larger rank: more detail, more numbers.")
            for k in dict.fromkeys([*reversed(fewer), self.rank]):
                self.keep(k)
                self.hold(0.7)
        self.finish()

    def keep(self, k: int) -> None:
        """Show the k strongest directions only: thinner B and A, their product, and what was kept."""
        root = np.sqrt(self.s[:k])
        factors = Factors(B=self.u[:, :k] * root, A=root[:, None] * self.v[:k], scaling=1.0)
        b, a, product = self.block(self.last, factors, part=k)
        names = self.block_names(b, a, product)
        names[2] = self.named(product, f"rank {k}", self.colours.delta)
        (out, width), kept = self.delta.shape, float((self.s[:k] ** 2).sum() / (self.s**2).sum())
        bars = Strengths(self.s, k, left=-6.76, top=1.9, width=4.6, colours=self.colours)
        facts = VGroup(
            label(f"{kept:.0%} of the change", 44, self.colours.delta),
            label(f"{k * (out + width):,} numbers", 44, self.colours.foreground),
        ).arrange(DOWN, aligned_edge=LEFT, buff=0.25)
        facts.move_to([-6.76, -2.2, 0], aligned_edge=LEFT)
        self.remove(*self.shown)
        self.shown = [bars, facts, names, b, a, product]
        self.add(*self.shown)


class Merge(LoraScene):
    """W' = W + s B A is a matrix like any other; the change is small beside W, and can be taken off again."""

    title = "Merge, and unmerge"

    def construct(self) -> None:
        # W and the change
        values = self.run.weight(self.module)
        weight = self.weight()
        change = self.matrix(self.delta, self.colours.delta, source=self.source("delta", self.last))
        change.move_to(RIGHT * 3.3 + LEFT_PLACE[1] * UP).settle()
        equation = self.equation("W' = W +")
        name, below = self.named(weight, "W", self.colours.W), self.named(change, "the change", self.colours.delta)
        self.add(self.stamp(self.last), equation, weight, name, change, below)
        self.say("The change has W's shape, so they add.")

        # The same scale for both
        share = relative_norm(self.run, self.module)
        self.say(f"In W's colours: its norm is {share:.1%} of W's.")
        change.show(self.delta, weight.limit)
        below = self.swap(below, self.named(change, "the change, on W's scale", self.colours.delta))

        # Merge
        self.say("Merged into W, it costs nothing to use.")
        self.play(change.animate.move_to(weight), FadeOut(below), run_time=1.2)
        self.remove(change)
        weight.show(values + self.delta, source=self.source("merged", self.last))
        name = self.swap(name, self.named(weight, "W' = W + the change", self.colours.W))

        # Unmerge
        back = (values + self.delta) - self.delta
        off = float(np.abs(back - values).max())
        self.say(
            f"Subtracted again, W is back{', exactly' if off == 0 else f', but for rounding ({off:.0e} at most)'}."
        )
        self.swap(equation, self.equation("W = W' -"))
        self.add(change)
        weight.show(back, source=self.source("unmerged", self.last))
        name = self.swap(name, self.named(weight, "W", self.colours.W))
        self.play(change.animate.move_to(RIGHT * 3.3 + LEFT_PLACE[1] * UP), run_time=1.2)
        self.add(self.named(change.settle(), "the change, on W's scale", self.colours.delta))
        self.finish()

    def equation(self, start: str) -> MathTypst:
        text = f"{start} {self.final.scaling:g} thin B A"
        return MathTypst(text, color=self.colours.foreground, font_size=56).move_to(UP * 2.5)


class Swap(LoraScene):
    """Two adapters, one base: the base stays, and what lies on it decides what the model says."""

    title = "Two adapters, one base"
    others = ("pirate",)

    def construct(self) -> None:
        # The base alone
        second = shown_run(self.others[0])
        both = set(self.run.answers.prompt) & set(second.answers.prompt)
        self.asked = [prompt for prompt in self.run.answers.prompt.unique() if prompt in both][:3]
        base = self.weight(LEFT * 4.85 + DOWN * 0.25)
        stamp, table = self.stamp(0), self.answers(self.run, 0)
        self.add(base, self.named(base, "W, the base", self.colours.W), stamp, table)
        self.say("The base alone, and what it says.")

        # One adapter after the other
        on: tuple[Mobject, ...] = ()
        for run, words in ((self.run, "With an adapter"), (second, "With another adapter")):
            self.say(f"{words}, trained on {run.task}.")
            if on:
                self.play(*(FadeOut(part) for part in on), run_time=0.4)
            on = self.adapter(run)
            self.play_in(*on, run_time=0.5)
            stamp = self.swap(stamp, self.stamp(run.steps[-1], run))
            table = self.swap(table, self.answers(run, run.steps[-1]))
            self.hold(2.0)

        # Off
        self.say("Both off: the base was never touched.")
        self.play(*(FadeOut(part) for part in on), run_time=0.4)
        self.swap(stamp, self.stamp(0))
        self.swap(table, self.answers(self.run, 0))
        self.finish()

    def adapter(self, run: Run) -> tuple[Text, MatrixImage, Text]:
        """A plus sign, and the change that this run's adapter makes to the same matrix, on a scale of its own."""
        step = run.steps[-1]
        values = run.delta(self.module, step)
        change = self.matrix(values, self.colours.delta, source=self.source("delta", step, run=run))
        change.move_to(LEFT * 0.55 + DOWN * 0.25).settle()
        plus = label("+", 60, self.colours.foreground).move_to(LEFT * 2.7 + DOWN * 0.25)
        return plus, change, self.named(change, f"{DELTA}W: {run.task}", self.colours.delta)

    def answers(self, run: Run, step: int) -> AnswerTable:
        return AnswerTable(answers_at(run.answers, step, self.asked), 5.0, self.colours, marked=False).at(1.75, 1.2)


class Counts(LoraScene):
    """What it cost, and what it brought: counted and measured."""

    title = "What it cost, what it brought"

    def construct(self) -> None:
        # Weights and bytes
        model = self.run.info.model
        whole, trained = model.parameters or 0, model.trainable or 0
        self.add(self.stamp(self.last))
        self.say(f"All adapters: {trained:,} weights, {trained / whole:.1%} of the model.")
        self.costs("weights", (whole, f"{whole:,}"), (trained, f"{trained:,}"), top=2.6)
        file = Path(self.run.path) / "adapter" / "adapter_model.safetensors"
        if file.exists():
            stored = file.stat().st_size
            self.say("One small file a task, not a whole model.")
            full = 4 * whole
            self.costs("stored for each task", (full, f"{full / 1e6:.2f} MB"), (stored, f"{stored / 1e6:.2f} MB"), 0.75)

        # What was learned, and what was forgotten
        scores = 100 * self.run.skills
        if self.run.task in scores:
            self.score(f"the task: {self.run.task}", "On the task", scores[self.run.task], -6.4)
        old = scores.drop(columns=self.run.task, errors="ignore").mean(axis=1)
        if old.notna().any():
            self.score("old skills, mean", "On the old skills", old, 0.6)
        self.finish()

    def costs(self, title: str, model: tuple[float, str], adapter: tuple[float, str], top: float) -> None:
        rows = [Row("whole model", *model, self.colours.W), Row("adapter", *adapter, self.colours.lora)]
        self.play_in(Bars(title, rows, model[0], 7.0, self.colours).at(-6.4, top))

    def score(self, title: str, words: str, score: pd.Series, left: float) -> None:
        before, after = float(score.iloc[0]), float(score.iloc[-1])
        self.say(f"{words}: {before:.0f} % before, {after:.0f} % after.")
        rows = [Row(when, value, f"{value:.0f} %", color) for when, value, color in (
            ("before", before, self.colours.W), ("after", after, self.colours.lora))]  # fmt: skip
        self.play_in(Bars(title, rows, 100, 3.0, self.colours, names=1.6).at(left, -1.1))


# The film's order; Manim itself would go by the alphabet.
SCENES = (Weights, Beside, Training, Layers, Rank, Merge, Swap, Counts)
