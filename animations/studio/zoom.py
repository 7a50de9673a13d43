"""How does one go from a single weight to the whole model? One picture, a pixel a weight, and one continuous move.

The picture grows about one point of the frame, so that the weight which fills the frame at first lies, at the end,
where it lies in the model.
"""

import numpy as np
from manim import Rectangle, config

from engine.run.run import Run
from visualize.mobjects.matrix import units
from visualize.mobjects.model import What, WholeModel
from visualize.theme import Palette, Theme, ink_on

NEAR = 420  # pixels that the first weight is wide
STANDS_OUT = 0.9  # the weight that is shown is larger than this share of its matrix's


class Zoom:
    """image: the picture of every captured matrix. value: the weight that it begins at. cells: the widths of a weight,
    in pixels, at which one may stop: the weight, its matrix, the model. `to(cell)` goes there."""

    def __init__(self, run: Run, module: str, theme: Theme, colours: Palette, what: What = "W", step: int = 0) -> None:
        self.model = WholeModel(run, theme).show(what, step)
        self.model.move_to([0, 0.15, 0]).settle()
        self.image, self.tile = self.model.image, self.model.tiles[module]
        values = self.tile.fold(self.model.values[module])
        sizes = np.abs(values)
        order = np.argsort(sizes, axis=None)
        row, column = np.unravel_index(order[int(STANDS_OUT * (sizes.size - 1))], values.shape)
        self.value = float(values[row, column])
        self.whole = self.image.points.copy()
        unit = units(1)
        place = self.whole[0] + unit * np.array([self.tile.left + column + 0.5, -(self.tile.top + row + 0.5), 0])
        self.anchor = place * NEAR / (NEAR - 1)  # about which the weight moves to the frame's middle as it grows
        tall = 0.72 * config.frame_height / units(self.tile.rows)
        self.cells = (float(NEAR), float(max(1, int(tall))), 1.0)
        rgb = self.image.pixel_array[self.tile.top + row, self.tile.left + column]
        self.ink, self.weights = ink_on(rgb), self.model.weights
        self.colours = colours
        self.to(NEAR)

    def to(self, cell: float) -> None:
        """A weight is so many pixels wide."""
        self.cell = cell
        self.image.points = self.anchor + (self.whole - self.anchor) * cell

    def in_sight(self) -> int:
        """How many weights lie in the frame, if only in part."""
        unit = units(1) * self.cell
        left, top = self.image.points[0][:2]
        across = (np.array([-config.frame_width / 2, config.frame_width / 2]) - left) / unit
        down = (top - np.array([config.frame_height / 2, -config.frame_height / 2])) / unit
        count = 0
        for tile in self.model.tiles.values():
            rows = min(tile.top + tile.rows, np.ceil(down[1])) - max(tile.top, np.floor(down[0]))
            columns = min(tile.left + tile.columns, np.ceil(across[1])) - max(tile.left, np.floor(across[0]))
            count += int(max(0, rows) * max(0, columns))
        return min(count, self.weights)

    def framed(self, color: str) -> Rectangle:
        """A frame around the watched matrix, wherever it lies now."""
        unit = units(1) * self.cell
        box = Rectangle(
            width=unit * (self.tile.columns + 2), height=unit * (self.tile.rows + 2), color=color, stroke_width=6
        )
        corner = self.image.points[0] + unit * np.array([self.tile.left - 1, -(self.tile.top - 1), 0])
        return box.move_to(corner + np.array([box.width, -box.height, 0]) / 2)
