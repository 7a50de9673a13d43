"""How are a few numbers compared in a film? Bars from zero, their lengths true to the numbers, each with its number."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from manim import DOWN, LEFT, RIGHT, UP, Line, Rectangle, VGroup

from visualize.mobjects.text import label
from visualize.theme import Palette

THINNEST = 0.02  # units; a bar of zero is still seen to be there


@dataclass(frozen=True)
class Row:
    """One horizontal bar: what it counts, how much, the number as it is written, and its colour."""

    name: str
    value: float
    text: str
    color: str


class HorizontalBars(VGroup):
    """A heading and a bar a row, all on one scale: `width` units are `most`.

    rows: from the top down. The names stand left of the bars, in a column `names` units wide.
    """

    def __init__(
        self, heading: str, rows: Sequence[Row], most: float, colours: Palette, width: float = 7.0, names: float = 2.6
    ) -> None:
        super().__init__()
        self.rows, self.bars = list(rows), VGroup()
        self.add(label(heading, 42, colours.foreground, bold=True).move_to(np.zeros(3), LEFT))
        for at, row in enumerate(rows, 1):
            y = -0.6 * at
            bar = Rectangle(width=max(THINNEST, width * row.value / most), height=0.34, stroke_width=0, fill_opacity=1)
            bar.set_fill(row.color).move_to([names, y, 0], LEFT)
            self.bars.add(bar)
            self.add(label(row.name, 40, colours.muted).move_to([0, y, 0], LEFT), bar)
            self.add(label(row.text, 40, colours.foreground).next_to(bar, RIGHT, buff=0.2))


class Columns(VGroup):
    """Columns side by side, as for singular values: `keep(k)` lights the first k and leaves the others' outlines."""

    def __init__(self, values: np.ndarray, width: float, height: float, color: str, colours: Palette) -> None:
        super().__init__()
        self.values, self.colours, self.color_kept = np.asarray(values, float), colours, color
        top = float(self.values.max()) or 1.0
        step = width / len(self.values)
        self.ground = Line(LEFT * width / 2, RIGHT * width / 2, color=colours.muted, stroke_width=2)
        self.columns = VGroup()
        for at, value in enumerate(self.values):
            column = Rectangle(width=0.7 * step, height=max(THINNEST, height * value / top), stroke_width=2)
            column.move_to(self.ground.get_left() + RIGHT * step * (at + 0.5), aligned_edge=DOWN)
            self.columns.add(column)
        self.add(self.ground, self.columns)
        self.add(label(f"{top:.2g}", 34, colours.foreground).next_to(self.columns[0], UP, buff=0.12))
        self.keep(len(self.values))

    def keep(self, count: int) -> "Columns":
        self.kept = count
        for at, column in enumerate(self.columns):
            column.set_stroke(self.color_kept if at < count else self.colours.muted)
            column.set_fill(self.color_kept, opacity=1.0 if at < count else 0.0)
        return self
