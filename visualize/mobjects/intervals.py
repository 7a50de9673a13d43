"""How sure is an effect? A line from its low to its high end a row, a dot at its mean, and a line at nought."""

from typing import NamedTuple

from manim import ORIGIN, Dot, Line, VGroup

from visualize.mobjects.text import fitted, label, signed, sit
from visualize.theme import Palette

EACH = 0.62  # units from one row to the next


class Interval(NamedTuple):
    """name: what was tried. low, mean, high: in the unit that stands above. answer: what follows, in a word."""

    name: str
    low: float
    mean: float
    high: float
    answer: str = ""


class Intervals(VGroup):
    """ground: the title, nought and the ends of the scale. rows: a group a row, in order.

    width, names: units of the scale, and of the column before it. ends: of a scale that several share.
    """

    def __init__(
        self,
        rows: list[Interval],
        title: str,
        width: float,
        colours: Palette,
        ends: tuple[float, float] = (0.0, 0.0),
        names: float = 5.6,
    ) -> None:
        super().__init__()
        self.given, self.names = rows, names
        low = min([0.0, *ends, *(row.low for row in rows)])
        high = max([0.0, *ends, *(row.high for row in rows)])
        self.end = width
        self.scale_of = width / max(1e-9, high - low)
        self.zero = -low * self.scale_of
        bottom = -EACH * (len(rows) + 0.6)
        upright = Line([self.zero, 0.3 - EACH, 0], [self.zero, bottom, 0], color=colours.muted, stroke_width=3)
        self.ground = VGroup(
            upright,
            sit(label("0", 32, colours.muted), self.zero, bottom - 0.3, ORIGIN),
            sit(label(title, 34, colours.foreground, bold=True), -names, 0),
        )
        self.rows = VGroup(self._row(row, -EACH * (at + 1), colours) for at, row in enumerate(rows))
        self.add(self.ground, self.rows)

    def _row(self, row: Interval, y: float, colours: Palette) -> VGroup:
        start, middle, end = (self.zero + value * self.scale_of for value in (row.low, row.mean, row.high))
        line = Line([start, y, 0], [max(end, start + 0.02), y, 0], color=colours.foreground, stroke_width=8)
        text = label(signed(row.mean, 0), 32, colours.foreground)
        return VGroup(
            sit(fitted(row.name, self.names - 0.3, 32, colours.muted), -self.names, y),
            line,
            Dot([middle, y, 0], radius=0.12, color=colours.foreground),
            sit(text, max(end, self.zero) + 0.25, y),
            *([sit(label(row.answer, 34, colours.foreground, bold=True), self.end + 1.1, y)] if row.answer else []),
        )

    def stands_for(self) -> list[float]:
        """The means that its dots are drawn at, for a test."""
        zero = self.ground[0].get_center()[0]
        return [float((row[2].get_center()[0] - zero) / self.scale_of) for row in self.rows]
