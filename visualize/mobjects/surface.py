"""How is a loss surface drawn? As a map: a square a measured point, contour lines at doublings, paths across it."""

from collections.abc import Mapping

import numpy as np
from contourpy import contour_generator
from manim import (
    DOWN,
    LEFT,
    RESAMPLING_ALGORITHMS,
    RIGHT,
    Circle,
    Dot,
    Group,
    ImageMobject,
    Rectangle,
    VGroup,
    VMobject,
)

from engine.evaluate.landscape import Landscape
from visualize.mobjects.chart import Dash, polyline
from visualize.mobjects.matrix import units
from visualize.mobjects.text import label, sit
from visualize.theme import Palette, rgb_of

DOUBLINGS = 8  # what is lower still is as dark as the lowest


def shades(values: np.ndarray, low: float, high: float, colours: Palette) -> np.ndarray:
    """Losses as greys, by doublings, from the ground's own tone (low) to a middle grey: uint8 (*shape, 4)."""
    share = np.clip((np.log2(values) - np.log2(low)) / max(1e-9, np.log2(high) - np.log2(low)), 0, 1)
    ends = np.array([rgb_of(colours.background), rgb_of(colours.hill)])
    rgb = ends[0] + share[..., None] * (ends[1] - ends[0])
    return np.concatenate([rgb, np.full((*share.shape, 1), 255.0)], axis=-1).round().astype(np.uint8)


class SurfaceMap(Group):
    """One group's losses on a landscape's plane. Each square was measured; the contour lines between are interpolated.

    cell: its side in pixels at 1080p, even. looks: run -> (colour, line style) of its path. `upto(step)` walks.
    """

    def __init__(
        self, ground: Landscape, group: str, cell: int, looks: Mapping[str, tuple[str, Dash]], colours: Palette
    ) -> None:
        super().__init__()
        self.ground, self.group, self.cell, self.looks, self.colours = ground, group, cell, looks, colours
        self.values = ground.losses[group]
        self.high = float(self.values.max())
        self.low = max(float(self.values.min()), self.high / 2**DOUBLINGS)
        self.image = ImageMobject(shades(self.values, self.low, self.high, colours)[::-1], scale_to_resolution=0)
        self.image.set_resampling_algorithm(RESAMPLING_ALGORITHMS["nearest"])
        rows, columns = self.values.shape
        self.image.stretch_to_fit_height(units(rows * cell)).stretch_to_fit_width(units(columns * cell))
        self.frame = Rectangle(width=self.image.width, height=self.image.height, color=colours.muted, stroke_width=3)
        self.add(self.image, self.frame, self._contours())
        self.paths, self.heads = VGroup(), VGroup()
        self.add(self.paths, self.heads)

    @property
    def levels(self) -> list[float]:
        """Where contour lines run: at every doubling of the loss between its lowest and its highest."""
        return [2.0**n for n in range(int(np.ceil(np.log2(self.low))), int(np.floor(np.log2(self.high))) + 1)]

    def _contours(self) -> VGroup:
        lines = VGroup()
        found = contour_generator(self.ground.x, self.ground.y, np.log2(np.maximum(self.values, self.low * 0.99)))
        for level in self.levels:
            for line in found.lines(np.log2(level)):
                points = np.array([self.place(x, y) for x, y in np.asarray(line)])
                stroke = VMobject(color=self.colours.muted, stroke_width=3 if level == 1 else 1.2)
                lines.add(stroke.set_points_as_corners(points))
        return lines

    def place(self, x: float, y: float) -> np.ndarray:
        """The point of the frame above which these coordinates lie."""
        spacing = self.ground.x[1] - self.ground.x[0]
        share = np.array([x - self.ground.x[0], y - self.ground.y[0], 0.0]) / spacing + [0.5, 0.5, 0.0]
        return self.image.get_corner(DOWN + LEFT) + share * units(self.cell)

    def start(self) -> Circle:
        """A ring where every path begins."""
        return Circle(radius=0.2, color=self.colours.foreground, stroke_width=4).move_to(self.place(0, 0))

    def upto(self, step: float, only: list[str] | None = None) -> "SurfaceMap":
        """Draw the paths of these runs (default: all) as far as a step, each with a dot where it is."""
        self.remove(self.paths, self.heads)
        self.paths, self.heads = VGroup(), VGroup()
        for name, (color, dash) in self.looks.items():
            if only is not None and name not in only:
                continue
            walked = self.ground.paths[name].loc[:step]
            points = np.array([self.place(x, y) for x, y in walked[["x", "y"]].to_numpy()])
            self.paths.add(polyline(points, "solid", self.colours.background, 9), polyline(points, dash, color, 5))
            self.heads.add(Dot(points[-1], radius=0.13, color=self.colours.background))
            self.heads.add(Dot(points[-1], radius=0.1, color=color))
        return self.add(self.paths, self.heads)

    def scale_bar(self) -> VGroup:
        """How dark is how much? A strip of the shades below the map, with its lowest and highest loss."""
        strip = Rectangle(width=3.0, height=0.3, color=self.colours.muted, stroke_width=1, fill_opacity=1)
        strip.set_fill([self.colours.background, self.colours.hill]).set_sheen_direction(RIGHT)
        strip.next_to(self.image, DOWN, 0.25)
        most = "\N{LESS-THAN OR EQUAL TO}" if self.values.min() < self.low else ""
        low = sit(label(f"{most}{self.low:.2g}", 32, self.colours.foreground), 0, strip.get_center()[1], RIGHT)
        high = sit(label(f"{self.high:.2g} nats a token", 32, self.colours.foreground), 0, strip.get_center()[1])
        low.shift(strip.get_left()[0] * RIGHT + LEFT * 0.15)
        high.shift(strip.get_right()[0] * RIGHT + RIGHT * 0.15)
        return VGroup(strip, low, high)
