"""What happens to the weights that share a scale? A stem each, from zero to its value, and levels to choose from."""

from typing import Self

import numpy as np
from manim import LEFT, RIGHT, UP, Dot, Line, Rectangle, VGroup

from visualize.mobjects.text import label, signed, sit
from visualize.theme import Palette


class BlockPlot(VGroup):
    """The weights of a block from left to right, `width` by `height` units; -limit and limit are bottom and top.

    values: (weights,). `stands_for()` gives them back, as the dots stand.
    """

    def __init__(
        self, values: np.ndarray, limit: float, width: float, height: float, colours: Palette, color: str
    ) -> None:
        super().__init__()
        self.values, self.limit, self.muted = values, limit, colours.muted
        self.zero = Line(LEFT * width / 2, RIGHT * width / 2, color=colours.muted, stroke_width=2)
        self.frame = Rectangle(width=width, height=height, color=colours.grid, stroke_width=2)
        places = (np.arange(len(values)) + 0.5) / len(values) * width - width / 2
        self.stems = VGroup(Line([x, 0, 0], [x, 0.01, 0], color=color, stroke_width=4) for x in places)
        self.dots = VGroup(Dot([x, 0, 0], radius=0.055, color=color) for x in places)
        self.add(self.frame, self.zero, self.stems, self.dots)
        self.show(values, limit)

    def show(self, values: np.ndarray, limit: float | None = None) -> Self:
        """Other values, or the same on another scale; to be animated: `plot.animate.show(...)`."""
        self.values, self.limit = values, limit or self.limit
        for value, stem, dot in zip(values, self.stems, self.dots, strict=True):
            foot = np.array([dot.get_center()[0], self.zero.get_center()[1], 0])
            top = self.point(float(value), foot[0])
            dot.move_to(top)
            # A line of no length has no direction to be drawn in.
            stem.put_start_and_end_on(foot, top if abs(top[1] - foot[1]) > 1e-3 else foot + UP * 1e-3)
        return self

    def point(self, value: float, x: float) -> np.ndarray:
        """Where a value lies, at this x."""
        middle, half = self.zero.get_center()[1], self.frame.height / 2
        return np.array([x, middle + half * value / self.limit, 0.0])

    def lines(self, levels: np.ndarray, color: str) -> VGroup:
        """A line across at every level."""
        left, right = self.frame.get_left()[0], self.frame.get_right()[0]
        return VGroup(
            Line(self.point(float(level), left), self.point(float(level), right), color=color, stroke_width=2)
            for level in levels
        )

    def axis(self, digits: int) -> VGroup:
        """The numbers at bottom, middle and top, on the left."""
        edge = self.frame.get_left()[0] - 0.15
        ends = ((-self.limit, signed(-self.limit, digits)), (0.0, "0"), (self.limit, signed(self.limit, digits)))
        return VGroup(sit(label(text, 32, self.muted), edge, self.point(value, 0)[1], RIGHT) for value, text in ends)

    def ring(self, index: int, color: str) -> Rectangle:
        """A frame around one weight's column."""
        ring = Rectangle(width=1.6 * self.frame.width / len(self.values), height=self.frame.height, color=color)
        return ring.set_stroke(width=3).move_to([self.dots[index].get_center()[0], self.frame.get_center()[1], 0])

    def stands_for(self) -> np.ndarray:
        middle, half = self.zero.get_center()[1], self.frame.height / 2
        return np.array([(dot.get_center()[1] - middle) / half * self.limit for dot in self.dots])
