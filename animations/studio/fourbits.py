"""How do films show four bits? The watched matrix as bitsandbytes rounds it, a block of it, and a layer that trains."""

from functools import cache

import numpy as np
from manim import LEFT, ORIGIN, UP, Mobject, Text, VGroup

from animations.studio.asking import as_asked
from animations.studio.film import FilmScene, watched_module
from engine.evaluate.gradients import Gradients, layer_gradients
from engine.measure.quantize import quantize
from engine.run.run import Run
from visualize.mobjects.answers import questions
from visualize.mobjects.block import BlockPlot
from visualize.mobjects.matrix import SHOWN, MatrixImage, Source, cell_pixels
from visualize.mobjects.text import label, sit
from visualize.naming import short
from visualize.theme import limit_of

BLOCK = 64  # weights that share a scale: bitsandbytes' default, which QLoRA uses
TOKENS = 24  # of a longer conversation, the first so many are shown
LEFT_PLACE = LEFT * 4.6 + UP * 0.1


@cache
def gradients_of(run: Run, module: str, step: int) -> Gradients:
    """The gradients of the first question that the run was asked, with its right answer, at a captured step."""
    asked = questions(run.answers, run.task, 1, 1)[0]
    expected = run.answers[run.answers.prompt == asked].expected.iloc[0]
    said = [*as_asked(run, [asked])[asked], {"role": "assistant", "content": expected}]
    return layer_gradients(run, module, said, step)


class QloraScene(FilmScene):
    """What the scenes share: the watched matrix, in four bits as the run's base was, and one block of it."""

    shows = "qlora"

    def setup(self) -> None:
        super().setup()
        self.module, self.last = watched_module(self.run), self.run.steps[-1]
        method = self.run.info.method.options
        self.kind, self.double = method["quant_type"], method["double_quant"]
        self.weight = self.run.weight(self.module)
        self.four = quantize(self.weight, self.kind, BLOCK, self.double)
        self.number = self.middling()
        self.cell = cell_pixels(self.weight.shape)
        self.block = self.weight.reshape(-1)[self.number * BLOCK : (self.number + 1) * BLOCK]
        self.scale = float(np.abs(self.block).max())
        self.codes = self.four.codes[self.number * BLOCK : (self.number + 1) * BLOCK]
        self.peak = limit_of(self.weight)

    def middling(self) -> int:
        """A block as most are: of those in sight, the one whose scale is in the middle."""
        starts = np.arange(self.weight.size // BLOCK) * BLOCK
        row, column = np.divmod(starts, self.weight.shape[1])
        seen = np.flatnonzero((row < SHOWN) & (column <= max(0, SHOWN - BLOCK)))
        order = np.argsort(self.four.scales[seen], kind="stable")
        return int(seen[order[len(order) // 2]])

    def matrix(self, values: np.ndarray, what: str | None, color: str, limit: float | None = None) -> MatrixImage:
        source = Source(self.run, self.module, what) if what else None
        return MatrixImage(values, limit or self.peak, self.cell, color, self.theme, source)

    def named(self, mobject: Mobject, text: str, color: str) -> Text:
        return sit(label(text, 34, color), mobject.get_center()[0], mobject.get_bottom()[1] - 0.4, ORIGIN)

    def shown_weight(self) -> MatrixImage:
        weight = self.matrix(self.weight, "W", self.colours.W).move_to(LEFT_PLACE).settle()
        self.add(weight, self.named(weight, f"W, {short(self.module)}", self.colours.W))
        return weight

    def plot(self, values: np.ndarray, limit: float, color: str) -> BlockPlot:
        """The block's weights, where the scenes keep them."""
        return BlockPlot(values, limit, 7.6, 4.4, self.colours, color).move_to([2.55, 0.1, 0])


class LayerScene(QloraScene):
    """A layer that trains: W in four bits, the factors beside it, and the gradients that come by."""

    def layer(self, step: int) -> None:
        """W in four bits, B on its left, A above it, each where its rows and columns are W's."""
        self.found = gradients_of(self.run, self.module, self.last)
        factors, final = self.run.factors(self.module, step), self.run.factors(self.module, self.last)
        self.limits = [limit_of(final.B), limit_of(final.A)]
        self.w = self.matrix(self.four.values(), "four bits", self.colours.qlora).move_to([1.9, 0.1, 0]).settle()
        self.b = self.matrix(factors.B, None, self.colours.B, self.limits[0]).next_to(self.w, LEFT, 0.15).settle()
        self.a = self.matrix(factors.A, None, self.colours.A, self.limits[1]).next_to(self.w, UP, 0.15).settle()
        self.said: list[Text] = []
        right = self.w.get_right()[0] + 0.3
        self.names = [
            self.w, self.b, self.a, sit(label("A", 34, self.colours.A), right, self.a.get_center()[1]),
            sit(label("B", 34, self.colours.B), self.b.get_center()[0], self.b.get_bottom()[1] - 0.3, ORIGIN),
            sit(label(f"W, {self.found.bits} bits", 34, self.colours.qlora), 1.9, -2.75, ORIGIN),
        ]  # fmt: skip
        self.show_factors(step)

    def side(self, values: np.ndarray, what: str) -> MatrixImage:
        matrix = self.matrix(values, None, self.colours.muted, limit_of(values))
        matrix.source = Source(self.run, self.module, what, self.last, TOKENS)
        return matrix

    def words(self, y: float, *lines: str) -> VGroup:
        """What a gradient is, on the right of W."""
        right = self.w.get_right()[0] + 1.0
        shown = [sit(label(line, 32, self.colours.foreground), right, y - 0.42 * row) for row, line in enumerate(lines)]
        self.said += shown
        return VGroup(*shown)

    def show_factors(self, step: int) -> None:
        factors = self.run.factors(self.module, step)
        self.b.show(factors.B, source=Source(self.run, self.module, "B", step))
        self.a.show(factors.A, source=Source(self.run, self.module, "A", step))
