"""How is a captured matrix drawn in a film? As one image, a cell a weight, its numbers kept beside its pixels."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from manim import DOWN, LEFT, RESAMPLING_ALGORITHMS, RIGHT, UP, Group, ImageMobject, Rectangle, config

from engine.run.run import Run
from visualize.mobjects.text import label, signed
from visualize.theme import Palette, Theme, diverging_rgba

SHOWN = 512  # a larger matrix shows its first rows and columns, and its label says so


@dataclass(frozen=True)
class Source:
    """Where the numbers on screen are from, so that a test can fetch them again: `what` of a run's module at a step.

    part: which layer, or how many, for what is a part of a matrix.
    """

    run: Run
    module: str
    what: str
    step: int | None = None
    part: int | None = None

    def __deepcopy__(self, _: object) -> Self:
        """Manim copies what it animates, and all that hangs on it: the run itself need not be."""
        return self


def units(pixels: float) -> float:
    """Manim's units for a length in pixels of a 1920 x 1080 frame (or, upright, one of 1080 x 1920)."""
    return pixels * min(config.frame_width, config.frame_height) / 1080


def cell_pixels(shape: tuple[int, ...], most: int = 520) -> int:
    """The largest even cell, in pixels at 1080p, with which the matrix fits; even cells survive video's chroma."""
    longest = min(SHOWN, max(shape))
    return max(2, most // longest // 2 * 2) if longest <= most // 2 else 1


class MatrixImage(Group):
    """A signed matrix as an image in a frame. `values` are what it shows, (rows, columns).

    limit: the magnitude that takes the strongest colour. cell: pixels a weight at 1080p. color: the frame's.
    most: of a matrix with more rows or columns, so many are shown.
    """

    def __init__(
        self,
        values: np.ndarray,
        limit: float,
        cell: int,
        color: str,
        theme: Theme,
        source: Source | None = None,
        most: int = SHOWN,
    ) -> None:
        super().__init__()
        self.limit, self.theme, self.cell, self.source, self.most = limit, theme, cell, source, most
        self.values = values[:most, :most]
        self.image = ImageMobject(self._pixels(), scale_to_resolution=0)
        self.image.set_resampling_algorithm(RESAMPLING_ALGORITHMS["nearest"])
        rows, columns = self.values.shape
        self.image.stretch_to_fit_height(units(rows * cell)).stretch_to_fit_width(units(columns * cell))
        self.frame = Rectangle(width=self.image.width, height=self.image.height, color=color, stroke_width=3)
        self.add(self.image, self.frame)

    def _pixels(self) -> np.ndarray:
        return diverging_rgba(self.values, self.limit, self.theme)

    def show(self, values: np.ndarray, limit: float | None = None, source: Source | None = None) -> Self:
        """Show other values of the same shape, and if given on another scale; as opaque as before."""
        self.values = values[: self.most, : self.most]
        self.limit = self.limit if limit is None else limit
        self.source = source or self.source
        pixels = self._pixels()
        pixels[..., 3] = self.image.pixel_array[0, 0, 3]
        self.image.pixel_array = pixels
        return self

    def settle(self) -> Self:
        """Move, by less than two pixels, to where cells of even size also begin on even pixels of a 1080p frame."""
        corner = self.image.get_corner(UP + LEFT) + np.array([config.frame_width, -config.frame_height, 0]) / 2
        step = units(2)
        return self.shift((np.rint(corner / step) - corner / step) * step)


class ColourScale(Group):
    """How is a colour read? The map from -limit through 0 to +limit, with these three numbers below it."""

    def __init__(self, limit: float, width: float, colours: Palette, theme: Theme) -> None:
        super().__init__()
        ramp = np.linspace(-limit, limit, 2 * round(width / units(4)) // 2)[None].repeat(6, axis=0)
        bar = MatrixImage(ramp, limit, 4, colours.muted, theme)
        names = [
            label(text, 32, colours.foreground).next_to(bar, DOWN, 0.12)
            for text in (signed(-limit, 2), "0", signed(limit, 2))
        ]
        names[0].align_to(bar, LEFT)
        names[2].align_to(bar, RIGHT)
        self.add(bar, *names)
