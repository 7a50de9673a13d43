"""How are amounts compared in a film? Horizontal bars from zero, their lengths true to the numbers beside them."""

from dataclasses import dataclass

from manim import LEFT, Rectangle, VGroup

from visualize.mobjects.text import label, sit
from visualize.theme import Palette


@dataclass(frozen=True)
class Row:
    """One bar: what it is, how much, how that is written, and its colour."""

    name: str
    value: float
    text: str
    color: str


class Bars(VGroup):
    """A title and a bar a row; `most` is the value whose bar is `width` units long. `names` is the names' width."""

    def __init__(
        self, title: str, rows: list[Row], most: float, width: float, colours: Palette, names: float = 2.4
    ) -> None:
        super().__init__()
        self.rows, self.scale_of = rows, width / most
        self.add(sit(label(title, 34, colours.foreground, bold=True), 0, 0))
        self.bars = VGroup()
        for line, row in enumerate(rows):
            y = -0.58 * (line + 1)
            bar = Rectangle(width=max(1e-4, row.value * self.scale_of), height=0.34, stroke_width=0, fill_opacity=1)
            bar.set_fill(row.color).move_to([names, y, 0], LEFT)
            self.bars.add(bar)
            self.add(sit(label(row.name, 32, colours.muted), 0, y))
            self.add(sit(label(row.text, 32, colours.foreground), bar.get_right()[0] + 0.2, y))
        self.add(self.bars)

    def at(self, left: float, top: float) -> "Bars":
        """The whole with its title's line there."""
        return self.shift([left, top, 0])
