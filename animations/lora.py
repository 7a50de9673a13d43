"""The film of the B A update: six scenes, each one claim, every pixel of data from one captured LoRA run.

python -m animations.render lora            the whole film
manim render animations/lora.py Rank        one scene, with stock Manim
"""

from pathlib import Path

import numpy as np
from manim import (
    DOWN,
    LEFT,
    RIGHT,
    UP,
    FadeIn,
    Group,
    MathTypst,
    Mobject,
    Rectangle,
    Text,
    UpdateFromAlphaFunc,
    VGroup,
    linear,
)

from animations.film import FilmScene, watched_module
from engine.measure import relative_norm
from visualize.mobjects.curve import LossCurve
from visualize.mobjects.matrix import SHOWN, MatrixImage, cell_pixels, units
from visualize.mobjects.text import fitted, label

LEFT_PLACE = LEFT * 3.9 + DOWN * 0.05
PRODUCT_PLACE = RIGHT * 3.3 + DOWN * 0.25


def peak(values: np.ndarray) -> float:
    """The magnitude that gets the strongest colour: the 99.9th percentile, lest one weight hide all others."""
    return float(np.percentile(np.abs(values), 99.9)) or 1e-12


class LoraScene(FilmScene):
    """What the scenes share: the watched matrix, its factors, and where they stand."""

    def setup(self) -> None:
        super().setup()
        self.module = watched_module(self.data)
        self.last = self.data.steps[-1]
        self.final = self.data.factors(self.module, self.last)
        self.delta = self.final.product()
        self.cell = cell_pixels(self.delta.shape)
        self.where = self.module.replace("model.layers.", "layer ").replace(".self_attn.", " ").replace(".mlp.", " ")

    def matrix(
        self, values: np.ndarray, color: str, limit: float | None = None, cell: int | None = None
    ) -> MatrixImage:
        return MatrixImage(values, limit or peak(values), cell or self.cell, color, self.theme)

    def weight(self) -> MatrixImage:
        return self.matrix(self.data.weight(self.module), self.colours.W).move_to(LEFT_PLACE)

    def named(self, matrix: Mobject, name: str, color: str, where: np.ndarray = DOWN) -> Text:
        return label(name, 32, color).next_to(matrix, where, buff=0.2)

    def block(self, step: int) -> tuple[MatrixImage, MatrixImage, MatrixImage]:
        """B, A and delta-W at a step, placed as a product is read: B beside its rows, A above its columns.

        Colour scales are those of the last step throughout, so that growing is seen as growing.
        """
        b, a, _ = factors = self.data.factors(self.module, step)
        product = self.matrix(factors.product(), self.colours.delta, peak(self.delta)).move_to(PRODUCT_PLACE)
        left = self.matrix(b, self.colours.B, peak(self.final.B)).next_to(product, LEFT, buff=0.3)
        above = self.matrix(a, self.colours.A, peak(self.final.A)).next_to(product, UP, buff=0.3)
        return left, above, product

    def block_names(self, b: Mobject, a: Mobject, product: Mobject) -> VGroup:
        (out, r), width = self.final.B.shape, self.final.A.shape[1]
        return VGroup(
            label(f"B  {out} \N{MULTIPLICATION SIGN} {r}", 32, self.colours.B).next_to(b, LEFT, buff=0.2),
            label(f"A  {r} \N{MULTIPLICATION SIGN} {width}", 32, self.colours.A).next_to(a, UP, buff=0.15),
            label(f"\N{GREEK CAPITAL LETTER DELTA}W = {self.final.scaling:g} B A", 32, self.colours.delta).next_to(
                product, DOWN, buff=0.2
            ),
        )


class Weights(LoraScene):
    """A weight matrix is a picture: a pixel a weight."""

    title = "One matrix of the model"

    def construct(self) -> None:
        # The matrix, whole
        weight = self.weight()
        out, width = self.data.shape(self.module)
        cut = f" (the first {SHOWN})" if max(out, width) > SHOWN else ""
        name = self.named(weight, f"W  {out} \N{MULTIPLICATION SIGN} {width}{cut}", self.colours.W)
        self.add(self.stamp())
        self.say(f"A real weight matrix of this model: {self.where}.")
        self.play_in(weight, name, run_time=1.0)

        # A corner of it, magnified, with its numbers
        corner, numbers, frame, edge = self.magnified(weight)
        self.say("Each pixel is one weight. Here are 36 of them, magnified.")
        self.play(FadeIn(frame), run_time=0.4)
        self.play_in(corner, edge, run_time=0.8)
        self.play_in(numbers)

        # How to read the colours
        self.say("Orange is positive, blue is negative, and dark is near zero.")
        self.wait_to_read()
        self.say(f"Fine-tuning it means changing all {out * width:,} numbers. Or does it?")
        self.finish()

    def magnified(self, weight: MatrixImage) -> tuple[MatrixImage, VGroup, Rectangle, Text]:
        patch = weight.values[:6, :6]
        corner = self.matrix(patch, self.colours.W, weight.limit, cell=92).move_to(RIGHT * 3.3 + DOWN * 0.05)
        side = units(92)
        start = corner.image.get_corner(UP + LEFT)
        numbers = VGroup(
            self.number(patch[row, column], weight.limit).move_to(
                start + RIGHT * side * (column + 0.5) + DOWN * side * (row + 0.5)
            )
            for row in range(patch.shape[0])
            for column in range(patch.shape[1])
        )
        frame = Rectangle(width=units(6 * weight.cell), height=units(6 * weight.cell), stroke_width=3)
        frame.set_color(self.colours.A).move_to(weight.image.get_corner(UP + LEFT), aligned_edge=UP + LEFT)
        return corner, numbers, frame, self.named(corner, "the first six rows and columns", self.colours.muted)

    def number(self, value: float, limit: float) -> Text:
        """A weight's digits, light or dark, whichever stands out from its cell."""
        strong = abs(value) > 0.55 * limit
        ink = self.colours.background if strong else self.colours.foreground
        return label(f"{value:.2f}".replace("-", "\N{MINUS SIGN}"), 26, ink)


class Factors(LoraScene):
    """LoRA leaves W alone and puts two thin matrices beside it, whose product is zero at first."""

    title = "LoRA: two thin matrices beside it"

    def construct(self) -> None:
        # W stays
        weight = self.weight()
        b, a, product = self.block(0)
        names = self.block_names(b, a, product)
        frozen = self.named(weight, "W, frozen", self.colours.W)
        self.add(weight, frozen, self.stamp(0))
        self.say("LoRA freezes W. Not one of these weights will change.")

        # A and B, at their true size
        zero = not b.values.any()
        self.say(f"Beside it come A, random numbers, and B, {'all zeros' if zero else 'not zero in this run'}.")
        self.play_in(a, names[1])
        self.play_in(b, names[0])

        # Their product is zero
        self.say(f"Their product is as large as W, and {'still zero everywhere' if zero else 'this is how it starts'}.")
        self.play_in(product, names[2])

        # What is trained
        (out, r), width = self.final.B.shape, self.final.A.shape[1]
        few, many = r * (out + width), out * width
        self.say(f"Trained: {few:,} numbers in A and B, instead of {many:,} in W.")
        self.finish()


class Rank(LoraScene):
    """The product is a sum of r layers, a column of B times a row of A each."""

    title = "A product is a sum of layers"

    def construct(self) -> None:
        # The trained factors
        b, a, product = self.block(self.last)
        product.show(np.zeros_like(self.delta))
        names = self.block_names(b, a, product)
        alone = self.matrix(np.zeros_like(self.delta), self.colours.muted, product.limit).move_to(LEFT_PLACE)
        below = self.named(alone, "one layer alone", self.colours.muted)
        self.add(b, a, product, names, alone, below, self.stamp(self.last))
        self.say("After training: a column of B times a row of A is one layer.")

        # Layer after layer
        r = self.final.B.shape[1]
        for layer in range(r):
            if layer == 1:
                self.say(f"All {r} layers together are the whole change of W.")
            self.add_layer(layer, b, a, product, alone, below, pace=2.0 if layer == 0 else 0.9)
        np.testing.assert_allclose(product.values, self.delta[:SHOWN, :SHOWN], atol=1e-5)

        # What that means
        self.say(f"So its rank is at most {r}: whatever it learns must fit in {r} directions.")
        self.finish()

    def add_layer(
        self,
        layer: int,
        b: MatrixImage,
        a: MatrixImage,
        product: MatrixImage,
        alone: MatrixImage,
        below: Text,
        pace: float,
    ) -> None:
        column, row, scaling = self.final.B[:, layer], self.final.A[layer], self.final.scaling
        step = units(self.cell)
        marks = VGroup(
            Rectangle(width=step, height=b.image.height, stroke_width=4, color=self.colours.foreground)
            .move_to(b.image.get_left() + RIGHT * step * (layer + 0.5)),
            Rectangle(width=a.image.width, height=step, stroke_width=4, color=self.colours.foreground)
            .move_to(a.image.get_top() + DOWN * step * (layer + 0.5)),
        )  # fmt: skip
        self.add(marks)
        alone.show(np.float32(scaling) * np.outer(column, row))
        text = f"layer {layer + 1} of {self.final.B.shape[1]}, alone"
        below.become(self.named(alone, text, self.colours.muted))
        product.show(np.float32(scaling) * (self.final.B[:, : layer + 1] @ self.final.A[: layer + 1]))
        self.wait(pace)
        self.remove(marks)


class Training(LoraScene):
    """Training moves A and B; the loss falls, and the answers change."""

    title = "Training moves only A and B"

    def construct(self) -> None:
        # Everything at its start
        self.b, self.a, self.product = self.block(0)
        names = self.block_names(self.b, self.a, self.product)
        metrics = self.data.metrics["loss"]
        self.curve = LossCurve(metrics.index.to_numpy(), metrics.to_numpy(), 4.4, 2.1, self.colours)
        self.curve.move_to(LEFT * 3.9 + UP * 1.75).upto(0)
        self.stamped, self.table = self.stamp(0), self.answers_at(0)
        self.add(self.b, self.a, self.product, names, self.curve, self.stamped, self.table)
        self.say("Before training. Below are questions, and what the model really answers.")

        # The first step
        if self.first_step_moves_only_b():
            self.say("The first step moves only B: A's gradient is multiplied by B, which is zero.")
            self.show_step(1)

        # All of them
        self.say("Now both move, the change of W takes shape, and the answers follow.")
        self.shown = -1
        self.play(UpdateFromAlphaFunc(Group(self.b), self.at_alpha), run_time=16, rate_func=linear)
        self.say(f"Step {self.last:,}: this is what was learned.")
        self.finish()

    def first_step_moves_only_b(self) -> bool:
        """Is it so in this run, for every matrix? Seen in the captures of steps 0 and 1, if step 1 was captured."""
        if 1 not in self.data.steps:
            return False
        pairs = [(self.data.factors(name, 0), self.data.factors(name, 1)) for name in self.data.modules]
        return all(np.array_equal(old.A, new.A) and not np.array_equal(old.B, new.B) for old, new in pairs)

    def at_alpha(self, _: Mobject, alpha: float) -> None:
        """The captured step nearest below this moment: nothing is interpolated."""
        steps = np.array(self.data.steps)
        index = int(np.searchsorted(steps, alpha * self.last, side="right")) - 1
        if index != self.shown:
            self.shown = index
            self.show_step(int(steps[index]))

    def show_step(self, step: int) -> None:
        factors = self.data.factors(self.module, step)
        self.b.show(factors.B)
        self.a.show(factors.A)
        self.product.show(factors.product())
        self.curve.upto(step)
        self.stamped.become(self.stamp(step))
        self.table.become(self.answers_at(step))

    def answers_at(self, step: int) -> VGroup:
        """Up to four questions with the answers of the last evaluation before this step; the task's own come first."""
        answers = self.data.answers
        known = answers[answers.step <= step]
        if known.empty:
            return VGroup()
        current = known[known.step == known.step.max()]
        task = current[current.skill == self.data.task].head(2)
        old = current[current.skill != self.data.task].head(4 - len(task))
        rows = VGroup()
        for at, row in enumerate([*task.itertuples(), *old.itertuples()]):
            mark = "\N{CHECK MARK}" if row.correct else "\N{MULTIPLICATION X}"
            colour = self.colours.right if row.correct else self.colours.wrong
            asked = fitted(row.prompt, 6.0, 28, self.colours.muted)
            said = fitted(f"{mark} {row.answer}", 6.0, 32, colour)
            top = np.array([-6.7, -0.05 - 0.8 * at, 0])
            asked.move_to(top, aligned_edge=LEFT)
            said.move_to(top + DOWN * 0.39, aligned_edge=LEFT)
            rows.add(asked, said)
        return rows


class Merge(LoraScene):
    """W' = W + s B A is a matrix like any other; the change is small beside W."""

    title = "Merged: one matrix again"

    def construct(self) -> None:
        # W, the change, and their sum
        values, scaling = self.data.weight(self.module), self.final.scaling
        weight = self.matrix(values, self.colours.W).move_to(LEFT * 4.75 + DOWN * 0.1)
        change = self.matrix(self.delta, self.colours.delta).move_to(DOWN * 0.1)
        merged = self.matrix(values + self.delta, self.colours.W, weight.limit).move_to(RIGHT * 4.75 + DOWN * 0.1)
        signs = VGroup(label("+", 60), label("=", 60)).set_color(self.colours.foreground)
        signs[0].move_to((weight.get_right() + change.get_left()) / 2)
        signs[1].move_to((change.get_right() + merged.get_left()) / 2)
        equation = MathTypst(f"W' = W + {scaling:g} thin B A", color=self.colours.foreground, font_size=52)
        equation.move_to(UP * 2.6)
        self.add(weight, change, self.named(weight, "W", self.colours.W), self.stamp(self.last), equation)
        below = self.named(change, "the change, on its own scale", self.colours.delta)
        self.add(below, signs[0])
        self.say("The change has the shape of W, so it can be added to it.")

        # The same scale for both
        self.say("Drawn with the colours of W, the change looks like this.")
        change.show(self.delta, weight.limit)
        below.become(self.named(change, "the change, on W's scale", self.colours.delta))
        share = relative_norm(self.data, self.module)
        self.say(f"Its norm is {share:.1%} of the norm of W.")

        # The sum
        self.play_in(signs[1], merged, self.named(merged, "W' = W + change", self.colours.W), run_time=1.0)
        self.say("Merged, it costs nothing to use. Subtract it, and W is back.")
        self.finish()


class Counts(LoraScene):
    """What it cost, and what it brought: counted and measured."""

    title = "What it cost, what it brought"

    def construct(self) -> None:
        # Weights and bytes
        model = self.data.info["model"]
        whole, trained = model["parameters"], model["trainable"]
        self.add(label(f"run {self.data.name}", 26, self.colours.muted).to_corner(UP + RIGHT, buff=0.35))
        self.say(f"All adapters together train {trained:,} weights, {trained / whole:.1%} of the model.")
        self.bars(
            UP * 2.2, "weights", [("whole model", whole, f"{whole:,}"), ("adapter", trained, f"{trained:,}")], whole
        )
        file = Path(self.data.path) / "adapter" / "adapter_model.safetensors"
        if file.exists():
            stored = file.stat().st_size
            full = 4 * whole
            self.say("One task's adapter is one small file; a full copy is a whole model.")
            rows = [("whole model", full, f"{full / 1e6:.2f} MB"), ("adapter", stored, f"{stored / 1e6:.2f} MB")]
            self.bars(UP * 0.45, "stored for each task", rows, full)

        # What was learned, and what was forgotten
        scores = self.data.skills
        if self.data.task in scores and len(scores.columns) > 1:
            self.scores()
        self.finish()

    def scores(self) -> None:
        scores = self.data.skills
        task = 100 * scores[self.data.task]
        old = 100 * scores.drop(columns=self.data.task).mean(axis=1)
        self.say(f"Exact answers on the task: {task.iloc[0]:.0f} % before, {task.iloc[-1]:.0f} % after.")
        rows = [("before", task.iloc[0], f"{task.iloc[0]:.0f} %"), ("after", task.iloc[-1], f"{task.iloc[-1]:.0f} %")]
        self.bars(DOWN * 1.3 + LEFT * 3.4, f"the task: {self.data.task}", rows, 100, width=2.6)
        self.say(f"On the old skills: {old.iloc[0]:.0f} % before, {old.iloc[-1]:.0f} % after.")
        rows = [("before", old.iloc[0], f"{old.iloc[0]:.0f} %"), ("after", old.iloc[-1], f"{old.iloc[-1]:.0f} %")]
        self.bars(DOWN * 1.3 + RIGHT * 3.4, "old skills, mean", rows, 100, width=2.6)

    def bars(
        self, place: np.ndarray, title: str, rows: list[tuple[str, float, str]], most: float, width: float = 7.0
    ) -> None:
        """Horizontal bars from zero, their lengths true to the numbers."""
        left = place[0] - (width + 4.4) / 2
        drawn: list[Mobject] = [label(title, 32, self.colours.foreground, bold=True).move_to([left, place[1], 0], LEFT)]
        for at, (name, value, text) in enumerate(rows):
            y = place[1] - 0.55 * (at + 1)
            bar = Rectangle(width=max(0.02, width * value / most), height=0.32, stroke_width=0, fill_opacity=1)
            bar.set_fill(self.colours.lora if at else self.colours.W).move_to([left + 2.4, y, 0], LEFT)
            drawn += [label(name, 30, self.colours.muted).move_to([left, y, 0], LEFT), bar]
            drawn.append(label(text, 30, self.colours.foreground).next_to(bar, RIGHT, buff=0.2))
        self.play_in(*drawn)


# The film's order; Manim itself would go by the alphabet.
SCENES = (Weights, Factors, Rank, Training, Merge, Counts)
