"""What do the scenes of a LoRA film share? The watched matrix, its factors, and where on the screen they stand."""

import numpy as np
from manim import DOWN, LEFT, RIGHT, UP, Mobject, Text, VGroup

from animations.film import FilmScene, watched_module
from engine.measure import factored_svd
from visualize.mobjects.matrix import SHOWN, Claim, MatrixImage, cell_pixels
from visualize.mobjects.text import label

LEFT_PLACE = LEFT * 3.9 + DOWN * 0.2
RIGHT_PLACE = RIGHT * 4.5 + DOWN * 0.2
TIMES = "\N{MULTIPLICATION SIGN}"
DELTA_W = "\N{GREEK CAPITAL LETTER DELTA}W"


def peak(values: np.ndarray) -> float:
    """The magnitude that gets the strongest colour: the 99.9th percentile, lest one weight hide all others."""
    return float(np.percentile(np.abs(values), 99.9)) or 1e-12


def best_of_rank(b: np.ndarray, a: np.ndarray, scaling: float, rank: int) -> np.ndarray:
    """The matrix of that rank nearest to scaling * B A (Eckart and Young 1936): its strongest directions."""
    from engine.run import Factors

    u, s, vt = factored_svd(Factors(b, a, scaling))
    return (u[:, :rank] * s[:rank]) @ vt[:rank]


class LoraScene(FilmScene):
    """One matrix of the model, its factors at every captured step, and helpers that place their pictures.

    Colour scales are those of the last step throughout, so that growing is seen as growing.
    """

    def setup(self) -> None:
        super().setup()
        self.module = watched_module(self.data)
        self.last = self.data.steps[-1]
        self.final = self.data.factors(self.module, self.last)
        self.delta = self.final.product()
        self.rank = self.final.B.shape[1]
        self.cell = cell_pixels(self.delta.shape, most=600, beside=self.rank)
        self.where = self.module.replace("model.layers.", "layer ").replace(".self_attn.", ", ").replace(".mlp.", ", ")

    def claim(self, kind: str, step: int = 0, first: int = 0, last: int = 0) -> Claim:
        return Claim(kind, str(self.data.path), self.module, step, first, last)

    def matrix(
        self, values: np.ndarray, color: str, claim: Claim, limit: float | None = None, cell: int | None = None
    ) -> MatrixImage:
        return MatrixImage(values, limit or peak(values), cell or self.cell, color, self.theme, claim)

    def weight(self) -> MatrixImage:
        return self.matrix(self.data.weight(self.module), self.colours.W, self.claim("W")).move_to(LEFT_PLACE)

    def change(self, step: int) -> MatrixImage:
        values = self.data.delta(self.module, step)
        return self.matrix(values, self.colours.delta, self.claim("delta", step), peak(self.delta)).move_to(RIGHT_PLACE)

    def block(self, step: int) -> tuple[MatrixImage, MatrixImage, MatrixImage]:
        """B, A and delta-W at a step, placed as a product is read: B beside its rows, A above its columns."""
        b, a, _ = self.data.factors(self.module, step)
        product = self.change(step)
        left = self.matrix(b, self.colours.B, self.claim("B", step), peak(self.final.B))
        above = self.matrix(a, self.colours.A, self.claim("A", step), peak(self.final.A))
        return left.next_to(product, LEFT, buff=0.3), above.next_to(product, UP, buff=0.3), product

    def show_block(self, b: MatrixImage, a: MatrixImage, product: MatrixImage, step: int) -> None:
        """The same pictures, at another captured step."""
        factors = self.data.factors(self.module, step)
        b.show(factors.B, peak(self.final.B), self.claim("B", step))
        a.show(factors.A, peak(self.final.A), self.claim("A", step))
        product.show(factors.product(), peak(self.delta), self.claim("delta", step))

    def block_names(self, b: Mobject, a: Mobject, product: Mobject) -> VGroup:
        (out, r), width = self.final.B.shape, self.final.A.shape[1]
        return VGroup(
            label(f"B  {out} {TIMES} {r}", 42, self.colours.B).next_to(b, LEFT, buff=0.2),
            label(f"A  {r} {TIMES} {width}", 42, self.colours.A).next_to(a, UP, buff=0.15),
            self.named(product, f"{DELTA_W} = {self.final.scaling:g} B A", self.colours.delta),
        )

    def named(self, matrix: Mobject, name: str, color: str, where: np.ndarray = DOWN) -> Text:
        return label(name, 42, color).next_to(matrix, where, buff=0.2)

    def size(self) -> str:
        """The watched matrix's shape in words, and that it is cut where it does not fit."""
        out, width = self.data.shape(self.module)
        return f"{out} {TIMES} {width}" + (f" (the first {SHOWN})" if max(out, width) > SHOWN else "")
