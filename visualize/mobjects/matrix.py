"""How is a captured matrix drawn in a film? As one image, a cell a weight, its numbers kept beside its pixels."""

from typing import NamedTuple

import numpy as np
from manim import RESAMPLING_ALGORITHMS, Group, ImageMobject, Rectangle, config

from visualize.theme import Theme, diverging

SHOWN = 512  # a larger matrix shows its first rows and columns, and its label says so


def units(pixels: float) -> float:
    """Manim's units for a length in pixels of a 1920 x 1080 frame."""
    return pixels * config.frame_height / 1080


def cell_pixels(shape: tuple[int, ...], most: int = 520, beside: int = 0) -> int:
    """The largest even cell, in pixels at 1080p, with which the matrix fits; even cells survive video's chroma.

    beside: so many rows or columns stand next to it, in cells of the same size, as A and B do.
    """
    longest = min(SHOWN, max(shape)) + beside
    return max(2, most // longest // 2 * 2) if longest <= most // 2 else 1


class Claim(NamedTuple):
    """What a picture says that it shows: W, A, B, delta, merged, ... of a run's module at a step.

    kind "layers": the sum of the factors' layers `first` to `last`; "best": the best matrix of rank `last`.
    """

    kind: str
    run: str
    module: str
    step: int = 0
    first: int = 0
    last: int = 0


class MatrixImage(Group):
    """A signed matrix as an image in a frame. `values` are what it shows, (rows, columns).

    limit: the magnitude that takes the strongest colour. cell: pixels a weight at 1080p. color: the frame's.
    claim: what of a Run the values are said to be, for the suite to hold against the Run.
    """

    def __init__(
        self, values: np.ndarray, limit: float, cell: int, color: str, theme: Theme, claim: Claim | None = None
    ) -> None:
        super().__init__()
        self.limit, self.theme, self.cell, self.claim = limit, theme, cell, claim
        self.values = values[:SHOWN, :SHOWN]
        self.image = ImageMobject(self._pixels(), scale_to_resolution=0)
        self.image.set_resampling_algorithm(RESAMPLING_ALGORITHMS["nearest"])
        rows, columns = self.values.shape
        self.image.stretch_to_fit_height(units(rows * cell)).stretch_to_fit_width(units(columns * cell))
        self.frame = Rectangle(width=self.image.width, height=self.image.height, color=color, stroke_width=3)
        self.add(self.image, self.frame)

    def _pixels(self) -> np.ndarray:
        rgb = diverging(self.values, self.limit, self.theme)
        return np.concatenate([rgb, np.full((*rgb.shape[:2], 1), 255, np.uint8)], axis=2)

    def show(self, values: np.ndarray, limit: float | None = None, claim: Claim | None = None) -> "MatrixImage":
        """Show other values of the same shape, and if given on another scale; as opaque as before."""
        self.values, self.claim = values[:SHOWN, :SHOWN], claim or self.claim
        self.limit = self.limit if limit is None else limit
        pixels = self._pixels()
        pixels[..., 3] = self.image.pixel_array[0, 0, 3]
        self.image.pixel_array = pixels
        return self
