"""How far is something turned on? A dial with a hand, the numbers that it reaches, and the one that it stands at."""

import numpy as np
from manim import ORIGIN, Arc, Dot, Line, VGroup

from visualize.mobjects.text import label, sit
from visualize.theme import Palette

FIRST, SWEEP = np.pi * 1.2, -np.pi * 1.4  # where its scale begins, and how far it goes round, in radians


class Dial(VGroup):
    """A scale from 0 to `most`; `turn(value)` sets the hand, and what stands below it. radius: in units."""

    def __init__(self, most: float, radius: float, colours: Palette, color: str, ticks: tuple[float, ...]) -> None:
        super().__init__()
        self.most, self.radius, self.colours, self.color_of = most, radius, colours, color
        self.add(Arc(radius=radius, start_angle=FIRST, angle=SWEEP, color=colours.muted, stroke_width=4))
        for tick in ticks:
            way = self._way(tick)
            self.add(Line(0.94 * radius * way, 1.06 * radius * way, color=colours.muted, stroke_width=4))
            x, y, _ = 1.24 * radius * way
            self.add(sit(label(f"{tick:g}", 32, colours.muted), x, y, ORIGIN))
        self.moving = VGroup()
        self.add(self.moving)
        self.turn(0.0)

    def _way(self, value: float) -> np.ndarray:
        angle = FIRST + SWEEP * value / self.most
        return np.array([np.cos(angle), np.sin(angle), 0.0])

    def turn(self, value: float) -> "Dial":
        middle = self[0].get_arc_center()
        self.value = value
        self.remove(self.moving)
        arc = Arc(
            radius=self.radius, start_angle=FIRST, angle=SWEEP * max(value, 1e-3) / self.most, color=self.color_of,
            stroke_width=12, arc_center=middle,
        )  # fmt: skip
        hand = Line(
            middle, middle + 0.86 * self.radius * self._way(value), color=self.colours.foreground, stroke_width=8
        )
        number = sit(
            label(f"\N{MULTIPLICATION SIGN} {value:.2f}", 48, self.colours.foreground, bold=True),
            middle[0], middle[1] - self.radius, ORIGIN,
        )  # fmt: skip
        self.moving = VGroup(arc, hand, Dot(middle, radius=0.1, color=self.colours.foreground), number)
        return self.add(self.moving)
