"""How are many weights spread? Their counts as bars on an axis, upright or lying beside a picture of that axis."""

import numpy as np
from manim import DOWN, LEFT, Line, Rectangle, VGroup

from visualize.theme import Palette


class Histogram(VGroup):
    """A bar a bin; `length` units for the fullest bin. `stands_for()` gives the counts back, as the bars stand.

    values: any shape. limit: the axis goes from -limit to limit and is `width` units long. lying: the axis is upright,
    and the bars go to the right.
    """

    def __init__(
        self, values: np.ndarray, limit: float, width: float, length: float, colours: Palette, color: str,
        bins: int = 61, lying: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.counts, _ = np.histogram(values, bins=bins, range=(-limit, limit))
        self.lying, self.unit = lying, length / max(1, self.counts.max())
        step = width / bins
        self.bars = VGroup()
        for index, count in enumerate(self.counts):
            along, tall = (index + 0.5) * step - width / 2, max(1e-4, count * self.unit)
            size = {"width": tall, "height": 0.86 * step} if lying else {"width": 0.86 * step, "height": tall}
            bar = Rectangle(**size, stroke_width=0, fill_opacity=1, fill_color=color)
            self.bars.add(bar.move_to([0, along, 0] if lying else [along, 0, 0], aligned_edge=LEFT if lying else DOWN))
        ends = ([0, -width / 2, 0], [0, width / 2, 0]) if lying else ([-width / 2, 0, 0], [width / 2, 0, 0])
        self.axis = Line(*ends, color=colours.muted, stroke_width=2)
        self.add(self.axis, self.bars)

    def stands_for(self) -> np.ndarray:
        return np.array([(bar.width if self.lying else bar.height) / self.unit for bar in self.bars])
