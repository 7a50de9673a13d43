"""How is something seen in space? Flat pictures in true perspective, and the one zoom from a weight to the model.

No 3D scene is needed: the corners of a picture are projected, and the camera warps it between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from manim import Group, ImageMobject

from visualize.mobjects.matrix import MatrixImage

# Units before its place in which a sheet waits: one that is not to be seen, and one whose frame is.
UNSEEN, OUTLINED = 1.5, 0.4


@dataclass(frozen=True)
class View:
    """From where one looks: turned about the upright axis and tilted about the level one, in radians, `distance` units
    before the middle; what lies nearer is larger."""

    turn: float = 0.0
    tilt: float = 0.0
    distance: float = 16.0
    zoom: float = 1.0

    def project(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) in space to (n, 3) in the frame; z is nought there."""
        x, y, z = np.asarray(points, float).T
        x, z = x * np.cos(self.turn) + z * np.sin(self.turn), z * np.cos(self.turn) - x * np.sin(self.turn)
        y, z = y * np.cos(self.tilt) - z * np.sin(self.tilt), z * np.cos(self.tilt) + y * np.sin(self.tilt)
        near = self.zoom * self.distance / (self.distance - z)
        return np.stack([x * near, y * near, np.zeros_like(x)], axis=1)

    def towards(self, other: "View", share: float) -> "View":
        """A view between two: `share` 0 is this one, 1 the other."""

        def between(one: float, two: float) -> float:
            return one + share * (two - one)

        return View(
            between(self.turn, other.turn), between(self.tilt, other.tilt),
            between(self.distance, other.distance), between(self.zoom, other.zoom),
        )  # fmt: skip


class Sheets(Group):
    """Matrices one behind the other in space, around `middle` of the frame. `see` puts them before an eye.

    sizes: of each in units, by default as it is now; the first lies farthest away.
    """

    def __init__(
        self,
        matrices: Sequence[MatrixImage],
        middle: Sequence[float],
        sizes: Sequence[tuple[float, float]] | None = None,
    ) -> None:
        super().__init__(*matrices)
        self.middle = np.array([*middle][:3], float)
        self.sizes = sizes or [(matrix.image.width, matrix.image.height) for matrix in matrices]

    def see(self, view: View, gap: float, lifted: Sequence[float] | None = None, outline: float = 0.0) -> Self:
        """gap: units between neighbours. lifted: for each sheet how far it has come, 0 (not to be seen) to 1. outline:
        how strongly the frame of one that has not come is seen."""
        count, away = len(self.sizes), OUTLINED if outline else UNSEEN
        for number, (matrix, (width, height)) in enumerate(zip(self.submobjects, self.sizes, strict=True)):
            share = 1.0 if lifted is None else lifted[number]
            depth = gap * (number - (count - 1) / 2) + away * (1 - share)
            corners = np.array([[x, y, depth] for y in (height / 2, -height / 2) for x in (-width / 2, width / 2)])
            seen = view.project(corners) + self.middle
            matrix.image.points = seen.copy()
            matrix.frame.set_points_as_corners([seen[at] for at in (0, 1, 3, 2, 0)])
            matrix.image.set_opacity(share)
            matrix.frame.set_stroke(opacity=max(share, outline))
        return self


def zoomed(image: ImageMobject, whole: np.ndarray, anchor: Sequence[float], cell: float, unit: float) -> None:
    """Put a picture so that a pixel of it is `cell` units wide, and one point of it keeps its place in the frame.

    whole: (4, 3), its corners at `unit` units a pixel. anchor: the point of the frame about which it grows.
    """
    middle = np.array([*anchor], float)
    image.points = middle + (whole - middle) * (cell / unit)
