"""The film of the B A update: eight scenes, each one claim, every pixel of data from captured LoRA runs.

python -m animations.render lora            the whole film
manim render animations/lora.py Rank        one scene, with stock Manim
"""

from pathlib import Path

import numpy as np
import pandas as pd
from manim import DOWN, LEFT, RIGHT, UL, UP, FadeIn, Rectangle, Text, VGroup

from animations.answers import Answers, at_step, contrasting, watched
from animations.block import DELTA_W, LEFT_PLACE, TIMES, LoraScene, best_of_rank, peak
from animations.runs import film_run
from engine.measure import factored_svd, relative_norm
from engine.run import Run
from visualize.mobjects.bars import Columns, HorizontalBars, Row
from visualize.mobjects.curve import LossCurve
from visualize.mobjects.matrix import Claim, MatrixImage, units
from visualize.mobjects.scale import ColourScale, power, signed
from visualize.mobjects.text import equation, fitted, label, on_line
from visualize.theme import diverging, ink


class Weights(LoraScene):
    """A weight matrix is a picture: a cell a weight."""

    title = "One matrix of the model"

    def construct(self) -> None:
        # The matrix, whole
        weight = self.weight()
        self.add(self.stamp())
        self.say(f"A real weight matrix of a language model: {self.where}.")
        self.play_in(weight, self.named(weight, f"W  {self.size()}", self.colours.W), run_time=1.0)

        # A corner of it, magnified, with its numbers
        corner, numbers, mark = self.magnified(weight)
        self.say("Each cell is one weight. Here are the first 25.")
        self.play(FadeIn(mark), run_time=0.4)
        place, larger = corner.get_center(), corner.cell / weight.cell
        corner.scale(1 / larger).move_to(mark)
        self.play(corner.animate.scale(larger).move_to(place), run_time=1.2)
        self.play_in(numbers)

        # How to read the colours
        scale = ColourScale(weight.limit, self.theme).next_to(corner, DOWN, buff=0.35)
        self.say("Orange is above zero, blue below; zero looks like the background.")
        self.play_in(scale)
        out, width = self.data.shape(self.module)
        self.say(f"Full fine-tuning changes all {out * width:,} of them. LoRA does not.")
        self.finish()

    def magnified(self, weight: MatrixImage) -> tuple[MatrixImage, VGroup, Rectangle]:
        side = units(120)
        corner = self.matrix(weight.values[:5, :5], self.colours.W, self.claim("W"), weight.limit, cell=120)
        corner.move_to(RIGHT * 3.3 + UP * 0.3)
        start = corner.image.get_corner(UL)
        colours = diverging(corner.values, weight.limit, self.theme)
        numbers = VGroup(
            label(signed(corner.values[row, column]), 34, ink("#{:02x}{:02x}{:02x}".format(*colours[row, column])))
            .move_to(start + side * (RIGHT * (column + 0.5) + DOWN * (row + 0.5)))
            for row in range(corner.values.shape[0])
            for column in range(corner.values.shape[1])
        )  # fmt: skip
        mark = Rectangle(width=units(5 * weight.cell), height=units(5 * weight.cell), stroke_width=4)
        mark.set_color(self.colours.foreground).move_to(weight.image.get_corner(UL), aligned_edge=UL)
        return corner, numbers, mark


class Factors(LoraScene):
    """LoRA leaves W alone and puts two thin matrices beside it, whose product is zero at first."""

    title = "LoRA: two thin matrices beside it"

    def construct(self) -> None:
        # W stays
        weight = self.weight()
        b, a, product = self.block(0)
        names = self.block_names(b, a, product)
        self.add(weight, self.named(weight, "W, frozen", self.colours.W), self.stamp(0))
        self.say("LoRA freezes W: not one of these weights will change.")

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
        self.say(f"Trained: {r * (out + width):,} numbers in A and B, instead of {out * width:,} in W.")
        self.finish()


class Training(LoraScene):
    """Training moves A and B; the loss falls, and the answers change."""

    title = "Training moves only A and B"

    def construct(self) -> None:
        # Everything at its start
        self.pictures = self.block(0)
        loss = self.data.metrics["loss"]
        self.curve = LossCurve(loss.index.to_numpy(), loss.to_numpy(), 5.6, 1.7, self.colours)
        self.curve.move_to([-6.75, 1.55, 0], aligned_edge=LEFT)
        self.prompts = watched(self.data, task=2, old=1)
        self.add(*self.pictures, self.block_names(*self.pictures), self.curve)
        self.changing = VGroup()
        self.show_step(0)
        self.say("Before training. Below: what the model is asked, and really answers.")

        # The first step
        if self.first_step_moves_only_b():
            self.say("Step 1 moves only B: the gradient of A is multiplied by B, still zero.")
            self.show_first_step()

        # All of them
        self.say("Then both move, the change of W takes shape, and the answers follow.")
        self.step_through(self.data.steps, self.show_step, seconds=15)
        self.say(f"Step {self.last:,}: this is what was learned.")
        self.finish()

    def first_step_moves_only_b(self) -> bool:
        """Is it so in this run, for every matrix? Seen in the captures of steps 0 and 1, if step 1 was captured."""
        if 1 not in self.data.steps:
            return False
        pairs = [(self.data.factors(name, 0), self.data.factors(name, 1)) for name in self.data.modules]
        return all(np.array_equal(old.A, new.A) and not np.array_equal(old.B, new.B) for old, new in pairs)

    def show_first_step(self) -> None:
        """Step 1 in its own colours, or it would be too faint to see; how many times stronger, is written beside it."""
        self.show_step(1)
        b, _, product = self.pictures
        for picture in (b, product):
            own = 1.5 * peak(picture.values)  # the map's ends are pale; a single value is seen best below them
            times = picture.limit / own
            self.changing.add(label(f"colours {TIMES} {times:,.0f}", 34, self.colours.muted))
            picture.show(picture.values, own)
        self.changing[-2].next_to(b, LEFT, buff=0.2).shift(DOWN * 0.5)
        self.changing[-1].next_to(product, DOWN, buff=0.7)
        self.wait_to_read()

    def show_step(self, step: int) -> None:
        self.show_block(*self.pictures, step)
        self.curve.upto(step)
        self.remove(self.changing)
        answers = Answers(self.data, self.prompts, step, np.array([-6.75, -0.1, 0]), 6.6, self.colours)
        self.changing = VGroup(self.stamp(step), answers)
        self.add(self.changing)


class Rank(LoraScene):
    """The product is a sum of r layers, a column of B times a row of A each."""

    title = "The change is a sum of layers"

    def construct(self) -> None:
        # The trained factors
        self.b, self.a, self.product = self.block(self.last)
        nothing, (b, a, scaling) = np.zeros_like(self.delta), self.final
        strongest = max(peak(scaling * np.outer(b[:, layer], a[layer])) for layer in range(self.rank))
        both = float(np.sqrt(strongest * peak(self.delta)))  # one scale, on which a layer is seen and the sum too
        self.alone = self.matrix(nothing, self.colours.muted, self.layers(0, 0), both).move_to(LEFT_PLACE)
        self.product.show(nothing, both, self.layers(0, 0))
        self.below = self.named(self.alone, "one layer alone", self.colours.muted)
        names = self.block_names(self.b, self.a, self.product)
        self.add(self.b, self.a, self.product, names, self.alone, self.below, self.stamp(self.last))
        self.say("One column of B times one row of A gives a whole layer.")

        # Layer after layer
        self.add_layer(0, seconds=2.5)
        self.say("Layer on layer, they add up to the whole change of W.")
        for layer in range(1, self.rank):
            self.add_layer(layer, seconds=max(0.1, min(0.9, 6.3 / self.rank)))
        np.testing.assert_allclose(self.product.values, self.change(self.last).values, atol=1e-5)

        # What that means
        self.say(f"{self.rank} layers, so rank {self.rank} at most: it must fit in {self.rank} directions.")
        self.finish()

    def layers(self, first: int, last: int) -> Claim:
        return self.claim("layers", self.last, first, last)

    def add_layer(self, layer: int, seconds: float) -> None:
        b, a, scaling, step = self.final.B, self.final.A, np.float32(self.final.scaling), units(self.cell)
        column = Rectangle(width=step, height=self.b.image.height, stroke_width=4, color=self.colours.foreground)
        row = Rectangle(width=self.a.image.width, height=step, stroke_width=4, color=self.colours.foreground)
        column.move_to(self.b.image.get_left() + RIGHT * step * (layer + 0.5))
        row.move_to(self.a.image.get_top() + DOWN * step * (layer + 0.5))
        self.add(column, row)
        self.alone.show(scaling * np.outer(b[:, layer], a[layer]), claim=self.layers(layer, layer + 1))
        self.product.show(scaling * (b[:, : layer + 1] @ a[: layer + 1]), claim=self.layers(0, layer + 1))
        self.below.become(self.named(self.alone, f"layer {layer + 1} of {self.rank}, alone", self.colours.muted))
        self.wait(seconds)
        self.remove(column, row)


class Dial(LoraScene):
    """Fewer directions make a coarser change: the best approximations of lower rank, and what each holds."""

    title = "Rank, larger and smaller"

    def construct(self) -> None:
        # The directions, by strength
        self.strengths = factored_svd(self.final)[1]
        self.columns = Columns(self.strengths, 5.6, 2.6, self.colours.delta, self.colours)
        self.columns.move_to(LEFT_PLACE + UP * 0.9)
        name = label("singular values of the change", 36, self.colours.muted)
        name.next_to(self.columns, DOWN, buff=0.2)
        self.product = self.change(self.last)
        self.words = self.written(self.rank)
        self.add(self.stamp(self.last), self.product, self.columns, name, self.words)
        self.say(f"The change of W, and the strength of its {self.rank} directions.")

        # Down to one, and up again
        self.say("Take the weakest away, one by one: the picture gets coarser.")
        for rank in range(self.rank - 1, 0, -1):
            self.turn(rank, max(0.1, 6 / self.rank))
        self.say(f"The strongest alone holds {self.share(1):.0%} of it, measured as squared norm.")
        self.wait_to_read()
        for rank in range(2, self.rank + 1):
            self.turn(rank, max(0.1, 3 / self.rank))
        out, width = self.delta.shape
        self.say(f"Each more costs {out} + {width} numbers to train.")
        self.finish()

    def share(self, rank: int) -> float:
        return float((self.strengths[:rank] ** 2).sum() / (self.strengths**2).sum())

    def written(self, rank: int) -> VGroup:
        words = f"rank {rank}: {self.share(rank):.0%} of the change"
        big = label(words, 50, self.colours.delta).move_to(LEFT_PLACE + DOWN * 1.75)
        return VGroup(big, self.named(self.product, f"{DELTA_W} at rank {rank}", self.colours.delta))

    def turn(self, rank: int, seconds: float) -> None:
        b, a, scaling = self.final
        claim = self.claim("best", self.last, last=rank)
        self.product.show(best_of_rank(b, a, scaling, rank), claim=claim)
        self.columns.keep(rank)
        self.words.become(self.written(rank))
        self.wait(seconds)


class Merge(LoraScene):
    """W' = W + s B A is a matrix like any other; take the change off, and W is back."""

    title = "Merged: one matrix again"

    def construct(self) -> None:
        # W, the change, and their sum
        values = self.data.weight(self.module)
        weight = self.weight().move_to([-4.75, -0.1, 0])
        change = self.change(self.last).move_to([0, -0.1, 0]).show(self.delta, peak(self.delta))
        merged = self.matrix(values + self.delta, self.colours.W, self.claim("merged", self.last), weight.limit)
        merged.move_to([4.75, -0.1, 0])
        plus, equals, formula = self.signs(weight, change, merged)
        below = self.named(change, f"{DELTA_W}, own colour scale", self.colours.delta)
        self.add(weight, self.named(weight, "W", self.colours.W), change, below, plus, self.stamp(self.last), formula)
        self.say("The change has the shape of W, so it can be added to it.")

        # The same scale for both
        self.say("In the colours of W, the same change looks like this.")
        change.show(self.delta, weight.limit)
        below.become(self.named(change, f"{DELTA_W}, W's colour scale", self.colours.delta))
        self.say(f"Its norm is {relative_norm(self.data, self.module):.1%} of the norm of W.")

        # The sum, and back
        name = self.named(merged, "W' = W + change", self.colours.W)
        self.play_in(equals, merged, name, run_time=1.0)
        self.say("Merged, it is one matrix: nothing extra to compute.")
        back = (values + self.delta) - self.delta
        error = float(np.abs(back - values).max())
        self.say(f"Taken off again, W is back{f', but for rounding of {power(error)}' if error else ', exactly'}.")
        merged.show(back, claim=self.claim("unmerged", self.last))
        name.become(self.named(merged, "W' \N{MINUS SIGN} change", self.colours.W))
        self.finish()

    def signs(self, weight: MatrixImage, change: MatrixImage, merged: MatrixImage) -> tuple[Text, Text, VGroup]:
        plus, equals = (label(sign, 80, self.colours.foreground) for sign in "+=")
        plus.move_to((weight.get_right() + change.get_left()) / 2)
        equals.move_to((change.get_right() + merged.get_left()) / 2)
        source = f"W' = {{{{W : W}}}} + {self.final.scaling:g} thin {{{{B : B}}}} {{{{A : A}}}}"
        formula = equation(source, 68, self.colours.foreground).move_to(UP * 2.55)
        for name in "WBA":
            formula.select(name).set_color(getattr(self.colours, name))
        return plus, equals, formula


class Swap(LoraScene):
    """One base serves several adapters: plugged in, swapped, and pulled out again."""

    title = "One base, several adapters"

    def construct(self) -> None:
        # The base alone
        other = self.other_run()
        weight = self.weight().move_to([-4.75, -0.1, 0])
        self.slot = self.change(0).move_to([0, -0.1, 0])
        self.under = self.named(self.slot, "no adapter", self.colours.muted)
        self.states = VGroup()
        self.asked = contrasting(self.data, other or self.data)
        self.add(weight, self.named(weight, "W, frozen", self.colours.W), self.slot, self.under)
        self.stamped = self.stamp(0)
        self.add(self.stamped)
        self.question()
        self.say("Without an adapter, the base model answers.")
        self.answer("no adapter", self.data, 0)

        # An adapter, another, none
        self.say(f"Plug in what was trained on {self.data.task}: the same W, other answers.")
        self.plug(self.data)
        if other:
            self.say(f"Swap it for one trained on {other.task}. W was never touched.")
            self.plug(other)
        self.say("Pull it out: the base model is back, bit for bit.")
        self.unplug()
        self.finish()

    def other_run(self) -> Run | None:
        """A second adapter of the films' own, if it is for the same base model."""
        other = film_run(companions(self.data)[0])
        same = other.info["model"]["source"] == self.data.info["model"]["source"] and self.module in other.modules
        return other if same and other.shape(self.module) == self.data.shape(self.module) else None

    def question(self) -> None:
        if self.asked:
            self.add(on_line(fitted(self.asked, 4.5, 40, self.colours.foreground), np.array([2.3, 1.5, 0])))

    def plug(self, run: Run) -> None:
        last = run.steps[-1]
        values = run.delta(self.module, last)
        self.slot.show(values, peak(values), self.claim("delta", last)._replace(run=str(run.path)))
        self.under.become(self.named(self.slot, f"{DELTA_W} of {run.task}", self.colours.delta))
        self.restamp(run, last)
        self.answer(f"adapter: {run.task}", run, last)

    def unplug(self) -> None:
        self.slot.show(self.data.delta(self.module, 0), claim=self.claim("delta", 0))
        self.under.become(self.named(self.slot, "no adapter", self.colours.muted))
        self.restamp(self.data, 0)
        self.mark(0)

    def restamp(self, run: Run, step: int) -> None:
        self.remove(self.stamped)
        self.stamped = self.stamp(step, run)
        self.add(self.stamped)

    def answer(self, state: str, run: Run, step: int) -> None:
        """One more line of what was answered in this state."""
        if self.asked is None:
            return
        row = at_step(run, step).set_index("prompt").loc[self.asked]
        place = np.array([2.3, 0.6 - 1.15 * len(self.states), 0])
        name = on_line(label(state, 36, self.colours.muted), place)
        said = on_line(fitted(row.answer, 4.5, 48, self.colours.foreground), place + DOWN * 0.52)
        self.states.add(name)
        self.mark(len(self.states) - 1)
        self.play_in(name, said)

    def mark(self, current: int) -> None:
        """The state that the model is in now stands out."""
        for at, name in enumerate(self.states):
            name.set_color(self.colours.delta if at == current else self.colours.muted)


class Counts(LoraScene):
    """What it cost, and what it brought: counted and measured."""

    title = "What it cost, what it brought"

    def construct(self) -> None:
        # Weights and bytes
        model = self.data.info["model"]
        whole, trained = model["parameters"], model["trainable"]
        self.add(self.stamp(self.last))
        self.say(f"All adapters together train {trained:,} weights, {trained / whole:.1%} of the model's.")
        self.bars(2.65, "weights", self.pair("whole model", "adapter", whole, trained, "{:,.0f}"), whole)
        file = Path(self.data.path) / "adapter" / "adapter_model.safetensors"
        if file.exists():
            full, stored = 4 * whole / 1e6, file.stat().st_size / 1e6
            self.say("A task is kept as one small file, not as another whole model.")
            self.bars(0.7, "stored for each task", self.pair("whole model", "adapter", full, stored, "{:.2f} MB"), full)

        # What was learned, and what was forgotten
        scores = 100 * self.data.skills
        if self.data.task in scores and len(scores.columns) > 1 and len(scores) > 1:
            task, old = scores[self.data.task], scores.drop(columns=self.data.task).mean(axis=1)
            self.say(f"Right on the new task: {task.iloc[0]:.0f} % before, {task.iloc[-1]:.0f} % after.")
            self.scores(-6.4, f"new task: {self.data.task}", task)
            self.say(f"Right on the old skills: {old.iloc[0]:.0f} % before, {old.iloc[-1]:.0f} % after.")
            self.scores(0.6, f"old skills: mean of {len(scores.columns) - 1}", old)
        self.finish()

    def pair(self, one: str, two: str, first: float, second: float, form: str) -> list[Row]:
        return [
            Row(one, first, form.format(first), self.colours.W),
            Row(two, second, form.format(second), self.colours.lora),
        ]

    def scores(self, left: float, heading: str, values: pd.Series) -> None:
        rows = self.pair("before", "after", values.iloc[0], values.iloc[-1], "{:.0f} %")
        bars = HorizontalBars(heading, rows, 100, self.colours, width=2.8, names=1.7)
        self.play_in(bars.shift([left, -1.3, 0]))

    def bars(self, top: float, heading: str, rows: list[Row], most: float) -> None:
        self.play_in(HorizontalBars(heading, rows, most, self.colours, width=7.6).shift([-6.4, top, 0]))


METHODS = ("lora", "qlora")


def companions(run: Run) -> list[str]:
    """Which of the films' own runs stand beside `run` in this film: made before its scenes are rendered."""
    return ["lora" if run.task == "pirate" else "pirate"]


# The film's order; Manim itself would go by the alphabet.
SCENES = (Weights, Factors, Training, Rank, Dial, Merge, Swap, Counts)
