"""How are several curves compared in a film? Axes that stay, lines drawn as far as the step shown, and a key."""

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from manim import DOWN, LEFT, ORIGIN, RIGHT, UP, Circle, Dot, Line, VGroup, VMobject

from engine.run.run import Run
from visualize.mobjects.text import fitted, label, sit
from visualize.theme import Palette

Dash = Literal["solid", "dashed", "dotted"]
DASHES: dict[Dash, tuple[float, float]] = {"solid": (1.0, 0.0), "dashed": (0.22, 0.12), "dotted": (0.05, 0.11)}


@dataclass(frozen=True)
class Column:
    """Where a curve's numbers are from, so that a test can fetch them again: a column of one of a run's tables."""

    run: Run
    table: Literal["metrics", "skills", "skill_losses"]
    name: str

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        values = getattr(self.run, self.table)[self.name].dropna()
        return values.index.to_numpy(float), values.to_numpy(float)


@dataclass(frozen=True)
class Series:
    """A curve: equally many x and y, its name, colour and line style; the style repeats what the colour says."""

    name: str
    x: np.ndarray
    y: np.ndarray
    color: str
    dash: Dash = "solid"
    source: Column | None = None

    @classmethod
    def of(cls, run: Run, table: Literal["metrics", "skills", "skill_losses"], column: str, **look: str) -> "Series":
        source = Column(run, table, column)
        return cls(look.pop("name", run.name), *source.read(), source=source, **look)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Axis:
    """What an axis measures, from where to where, and what stands at which of its values."""

    name: str
    low: float
    high: float
    ticks: dict[float, str] = field(default_factory=dict)
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value lies on it: 0 at its low end, 1 at its high one; what is beyond lies at the end."""
        low, high, placed = (math.log(v) if self.log else v for v in (self.low, self.high, max(value, self.low)))
        return min(1.0, (placed - low) / (high - low))


def polyline(points: np.ndarray, dash: Dash, color: str, width: float = 5) -> VMobject:
    """A line through points (n, 3), whole or in strokes."""
    line = VMobject(color=color, stroke_width=width)
    if len(points) < 2:
        return line
    if dash == "solid":
        return line.set_points_as_corners(points)
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    on, off = DASHES[dash]
    for start in np.arange(0.0, along[-1], on + off):
        end = min(start + on, along[-1])
        places = np.concatenate([[start], along[(along > start) & (along < end)], [end]])
        stroke = np.stack([np.interp(places, along, points[:, axis]) for axis in range(3)], axis=1)
        line.start_new_path(stroke[0])
        line.add_points_as_corners(stroke[1:])
    return line


class Chart(VGroup):
    """Curves over one pair of axes, `width` by `height` units between their ends. `upto(x)` draws them as far as x."""

    def __init__(
        self, series: list[Series], width: float, height: float, x: Axis, y: Axis, colours: Palette, dots: bool = False
    ) -> None:
        super().__init__()
        self.series, self.x, self.y, self.size, self.dots = series, x, y, (width, height), dots
        self.across = Line(LEFT * width / 2, RIGHT * width / 2, color=colours.muted, stroke_width=2)
        self.across.shift(DOWN * height / 2)
        up = Line(DOWN * height / 2, UP * height / 2, color=colours.muted, stroke_width=2).shift(LEFT * width / 2)
        self.add(self.across, up)
        for value, text in y.ticks.items():
            place = self.place(x.low, value)
            self.add(sit(label(text, 32, colours.muted), place[0] - 0.15, place[1], RIGHT))
            self.add(Line(place, place + RIGHT * width, color=colours.grid, stroke_width=2))
        for value, text in x.ticks.items():
            place = self.place(value, y.low)
            self.add(sit(label(text, 32, colours.muted), place[0], place[1] - 0.3, ORIGIN))
        above = sit(label(y.name, 32, colours.foreground), -width / 2 - 0.2, height / 2 + 0.42)
        below = sit(label(x.name, 32, colours.foreground), width / 2, -height / 2 - 0.72, RIGHT)
        self.add(above, below)
        self.lines, self.heads = VGroup(), VGroup()
        self.add(self.lines, self.heads)

    def place(self, x: float, y: float) -> np.ndarray:
        """The point of the frame at which these values lie."""
        origin = self.across.get_start()
        share = np.array([self.x.share(x), self.y.share(y), 0.0])
        return origin + share * np.array([*self.size, 0.0])

    def drawn(self, series: Series, x: float) -> np.ndarray:
        """The (n, 2) numbers of a curve that are drawn up to x; what is no number is left out."""
        shown = (series.x <= x) & np.isfinite(series.y)
        return np.stack([series.x[shown], series.y[shown]], axis=1)

    def upto(self, x: float, pen: bool = False) -> "Chart":
        """Draw every curve as far as x, with a dot at its head (or at every value, for few that were measured).

        pen: the line to the next value is drawn, too, as far as x; dots stay where something was measured.
        """
        self.remove(self.lines, self.heads)
        self.lines, self.heads = VGroup(), VGroup()
        for series in self.series:
            points = np.array([self.place(*pair) for pair in self.drawn(series, x)]).reshape(-1, 3)
            line = np.concatenate([points, self._under_way(series, x)]) if pen else points
            self.lines.add(polyline(line, series.dash, series.color))
            for point in points if self.dots else points[-1:]:
                self.heads.add(Dot(point, radius=0.09, color=series.color))
        return self.add(self.lines, self.heads)

    def _under_way(self, series: Series, x: float) -> np.ndarray:
        """The point at x of the line between two values, (1, 3); none before the first, at one, or after the last."""
        known = np.isfinite(series.y)
        at, y = series.x[known], series.y[known]
        if not len(at) or not at[0] < x < at[-1] or x in at:
            return np.empty((0, 3))
        before, after = (self.place(at[i], y[i]) for i in (np.searchsorted(at, x) - 1, np.searchsorted(at, x)))
        share = (self.place(x, y[0])[0] - before[0]) / (after[0] - before[0])
        return (before + share * (after - before))[None]

    def mark(self, x: float, y: float, color: str) -> Circle:
        """A ring around one measured value."""
        return Circle(radius=0.2, color=color, stroke_width=5).move_to(self.place(x, y))


class Key(VGroup):
    """What each line is, one a row, and what it is worth now. left, top: where the first row begins; width: to the
    end of what it is worth. name, worth: what stands above these."""

    EACH = 0.62

    def __init__(
        self,
        rows: list[tuple[str, str, Dash]],
        left: float,
        top: float,
        width: float,
        colours: Palette,
        worth: str = "",
        name: str = "",
    ) -> None:
        super().__init__()
        self.right, self.top, self.colours = left + width, top, colours
        if name:
            self.add(sit(label(name, 32, colours.muted), left, top + self.EACH))
        if worth:
            self.add(sit(label(worth, 32, colours.muted), self.right, top + self.EACH, RIGHT))
        for line, (text, color, dash) in enumerate(rows):
            y = top - line * self.EACH
            self.add(polyline(np.array([[left, y, 0], [left + 0.62, y, 0]], float), dash, color, 6))
            self.add(sit(fitted(text, width - 0.85, 32, colours.foreground), left + 0.85, y))
        self.values = VGroup()
        self.add(self.values)

    def show(self, values: list[str]) -> "Key":
        """Set what stands at the right of each row; nothing where a text is empty."""
        self.remove(self.values)
        self.values = VGroup(
            sit(label(text, 32, self.colours.foreground), self.right, self.top - line * self.EACH, RIGHT)
            for line, text in enumerate(values)
            if text
        )
        return self.add(self.values)
