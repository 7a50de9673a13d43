"""How strong is each direction of a change? A bar a singular value; those that are kept are coloured."""

import numpy as np
from manim import LEFT, RIGHT, Rectangle, VGroup

from visualize.mobjects.text import label
from visualize.theme import Palette


class Strengths(VGroup):
    """Singular values `s`, largest first, as bars of at most `width` units; the first `k` are those that are kept.

    left, top: the title's left end, and the upper end of the first bar.
    """

    def __init__(self, s: np.ndarray, k: int, left: float, top: float, width: float, colours: Palette) -> None:
        super().__init__()
        thick = min(0.34, 2.9 / len(s))
        title = label("strength (singular values)", 34, colours.foreground, bold=True)
        bars = VGroup(
            Rectangle(width=max(0.01, width * value / s[0]), height=0.7 * thick, stroke_width=0, fill_opacity=1)
            .set_fill(colours.delta if index < k else colours.grid)
            .move_to([left, top - thick * (index + 0.5), 0], aligned_edge=LEFT)
            for index, value in enumerate(s)
        )
        ends = [(0, s[0]), (len(s) - 1, s[-1])] if len(s) > 1 else [(0, s[0])]
        numbers = VGroup(
            label(f"{value:.2f}", 32, colours.muted).next_to(bars[index], RIGHT, 0.15) for index, value in ends
        )
        self.add(title.move_to([left, top + 0.4, 0], aligned_edge=LEFT), bars, numbers)
