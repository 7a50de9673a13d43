"""How do films show LoRA? The watched matrix, B beside its rows, A above its columns, in the same place throughout."""

import numpy as np
from manim import DOWN, LEFT, ORIGIN, RIGHT, UP, Mobject, Text, VGroup

from animations.studio.film import FilmScene, watched_module
from engine.run.delta import Factors
from engine.run.run import Run
from visualize.mobjects.matrix import MatrixImage, Source, cell_pixels
from visualize.mobjects.text import label, sit
from visualize.naming import short
from visualize.theme import limit_of

LEFT_PLACE = LEFT * 3.9 + DOWN * 0.25
PRODUCT_PLACE = RIGHT * 3.3 + DOWN * 0.25
TIMES, DELTA = "\N{MULTIPLICATION SIGN}", "\N{GREEK CAPITAL LETTER DELTA}"


class LoraScene(FilmScene):
    """What the scenes share: the watched matrix, its factors, and where they stand."""

    def setup(self) -> None:
        super().setup()
        self.module = watched_module(self.run)
        self.where = short(self.module)
        self.last = self.run.steps[-1]
        self.final = self.run.factors(self.module, self.last)
        self.delta = self.final.product()
        self.rank = self.final.B.shape[1]
        fits = [cell for cell in (2, 4) if cell * self.rank <= 160]  # B must stay thin beside what it makes
        self.cell = min(cell_pixels(self.delta.shape), max(fits, default=1))

    def source(self, what: str, step: int | None = None, part: int | None = None, run: Run | None = None) -> Source:
        return Source(run or self.run, self.module, what, step, part)

    def matrix(
        self, values: np.ndarray, color: str, limit: float | None = None, source: Source | None = None
    ) -> MatrixImage:
        return MatrixImage(values, limit or limit_of(values), self.cell, color, self.theme, source)

    def weight(self, place: np.ndarray = LEFT_PLACE) -> MatrixImage:
        weight = self.matrix(self.run.weight(self.module), self.colours.W, source=self.source("W"))
        return weight.move_to(place).settle()

    def named(self, matrix: Mobject, name: str, color: str) -> Text:
        """A name below a matrix; those of matrices that end at the same height are on one line."""
        return sit(label(name, 36, color), matrix.get_center()[0], matrix.get_bottom()[1] - 0.4, ORIGIN)

    def block(self, step: int, factors: Factors | None = None, part: int | None = None) -> list[MatrixImage]:
        """B, A and delta-W at a step, placed as a product is read: B beside its rows, A above its columns.

        Colour scales are those of the last step throughout, so that growing is seen as growing. factors: others than
        the captured ones: their `part` strongest directions.
        """
        b, a, _ = factors = factors or self.run.factors(self.module, step)
        what = ("B", "A", "delta") if part is None else ("strongest B", "strongest A", "strongest")
        sources = [self.source(name, step, part) for name in what]
        product = self.matrix(factors.product(), self.colours.delta, limit_of(self.delta), sources[2])
        product.move_to(PRODUCT_PLACE).settle()
        limits = (limit_of(self.final.B), limit_of(self.final.A)) if part is None else (limit_of(b), limit_of(a))
        left = self.matrix(b, self.colours.B, limits[0], sources[0]).next_to(product, LEFT, buff=0.3).settle()
        above = self.matrix(a, self.colours.A, limits[1], sources[1]).next_to(product, UP, buff=0.3).settle()
        return [left, above, product]

    def block_names(self, b: MatrixImage, a: MatrixImage, product: Mobject) -> VGroup:
        (out, r), width = b.values.shape, a.values.shape[1]
        return VGroup(
            self.named(b, f"B  {out} {TIMES} {r}", self.colours.B).shift(LEFT * 0.3),
            label(f"A  {r} {TIMES} {width}", 36, self.colours.A).next_to(a, UP, buff=0.15),
            self.named(product, f"{DELTA}W = {self.final.scaling:g} B A", self.colours.delta),
        )
