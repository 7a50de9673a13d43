"""Who learns most and forgets least? A plane: the new task across, old skills up, every run a path over its steps."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from manim import LEFT, ORIGIN, RIGHT, Circle, Line, RegularPolygon, Star, VGroup, VMobject

from engine.measure.matched import learning_path
from engine.run.run import Run
from visualize.mobjects.text import label, sit
from visualize.naming import percent
from visualize.theme import Palette

SIDES = (24, 3, 4, 6)  # of the marks along the paths
APART = 0.56  # units that two numbers at the ends of paths keep from each other


@dataclass(frozen=True)
class Path:
    """A run's way over the plane: its evaluations, `learned` and `kept`, 0 to 1, by step."""

    run: Run
    color: str

    @property
    def points(self) -> pd.DataFrame:
        return learning_path(self.run)


class Plane(VGroup):
    """Both axes from 0 to 100 %, `side` units each. `upto(share)` draws every path as far as that share of its steps.

    Each path ends in its number, counted from 1.
    """

    def __init__(self, paths: list[Path], width: float, height: float, colours: Palette) -> None:
        super().__init__()
        self.paths, self.size, self.colours = paths, (width, height), colours
        self.origin = np.array([-width / 2, -height / 2, 0.0])
        for share in (0.0, 0.5, 1.0):
            across, up = self.place(share, 0), self.place(0, share)
            self.add(Line(up, self.place(1, share), color=colours.grid, stroke_width=2))
            self.add(Line(across, self.place(share, 1), color=colours.grid, stroke_width=2))
            self.add(sit(label(percent(share), 32, colours.muted), across[0], across[1] - 0.3, ORIGIN))
            self.add(sit(label(percent(share), 32, colours.muted), up[0] - 0.15, up[1], RIGHT))
        self.add(sit(label("old skills kept", 32, colours.foreground), -width / 2 - 0.1, height / 2 + 0.4))
        self.add(sit(label("new task learned", 32, colours.foreground), width / 2, -height / 2 - 0.72, RIGHT))
        self.lines, self.drawn = VGroup(), [0] * len(paths)
        self.add(self.lines)

    def place(self, learned: float, kept: float) -> np.ndarray:
        return self.origin + np.array([learned * self.size[0], kept * self.size[1], 0.0])

    def star(self) -> VMobject:
        """Where one wants to be: all learned, all kept."""
        return Star(outer_radius=0.22, color=self.colours.foreground, fill_opacity=1).move_to(self.place(1, 1))

    def level(self, learned: float) -> Line:
        """A line at one share of the new task, behind the paths."""
        line = Line(self.place(learned, 0), self.place(learned, 1), color=self.colours.delta, stroke_width=4)
        return line.set_z_index(-1)

    def badge(self, index: int) -> VGroup:
        """The number of a path, as it stands at its end and in a key."""
        ring = Circle(radius=0.25, color=self.paths[index].color, fill_color=self.colours.background, fill_opacity=1)
        return VGroup(ring, sit(label(str(index + 1), 32, self.colours.foreground, bold=True), 0, 0, ORIGIN))

    def upto(self, share: float | list[float]) -> "Plane":
        """Every path as far as this share of its steps, or each as far as its own."""
        shares = share if isinstance(share, list) else [share] * len(self.paths)
        self.origin = self[0].get_start()  # wherever the whole was moved
        self.remove(self.lines)
        self.lines, badges, ends = VGroup(), VGroup(), list[np.ndarray]()
        for index, path in enumerate(self.paths):
            known = path.points.loc[: shares[index] * path.points.index[-1]].dropna()
            self.drawn[index] = len(known)
            places = [self.place(*row) for row in known.to_numpy()]
            line = VMobject(color=path.color, stroke_width=5)
            if len(places) > 1:
                line.set_points_as_corners(places)
            self.lines.add(line, *(self._mark(index, place) for place in places))
            if places:
                ends.append(self._beside(places[-1], ends))
                badges.add(self.badge(index).move_to(ends[-1]))
        return self.add(self.lines.add(badges))

    def _mark(self, index: int, place: np.ndarray) -> VMobject:
        """An evaluation; runs of one method have one colour, so every path has marks of another shape."""
        shape = RegularPolygon(SIDES[index % len(SIDES)], color=self.paths[index].color, stroke_width=0, fill_opacity=1)
        return shape.scale_to_fit_height(0.2).move_to(place)

    def _beside(self, place: np.ndarray, others: list[np.ndarray]) -> np.ndarray:
        """A place beside a path's end, towards the middle, that no other number has taken."""
        inwards = LEFT if place[0] > self.origin[0] + self.size[0] / 2 else RIGHT
        place = place + 0.45 * inwards
        while any(np.linalg.norm(place - other) < APART for other in others):
            place = place + APART / 2 * inwards
        return place
