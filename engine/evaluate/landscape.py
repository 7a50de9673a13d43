"""What ground did training walk on? True losses on the plane through the start of runs and the ends of two of them.

At every point of a grid the model is given the weights of that point and asked: nothing is interpolated, and no
direction is drawn at random. The plane goes through three points that training visited (Garipov et al. 2018,
"Loss Surfaces, Mode Connectivity, and Fast Ensembling of DNNs"), as the planes along a trajectory of Li et al. 2018,
"Visualizing the Loss Landscape of Neural Nets". A path leaves such a plane; how far is measured too.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from engine.errors import InputError
from engine.evaluate import encode_last_answer, score_answers
from engine.evaluate.sides import tokenizer_of
from engine.evaluate.weights import ChangedModel
from engine.messages import Message
from engine.run.apart import told_apart
from engine.run.run import Run

MARGIN = 0.15  # how far the grid goes beyond the paths, as a share of their extent


@dataclass(frozen=True)
class Landscape:
    """Distances are Frobenius norms over all changed weights, in the weights' own unit; losses are nats a token.

    x (columns,), y (rows,): where the grid's points lie from the start (0, 0), along the first run's whole change and
    across it; both are spaced alike. losses: group -> (rows, columns). paths: run -> where its captured steps (the
    index) lie, projected: x, y, and outside, the share of the squared distance from the start that the plane misses.
    ends: run -> group -> the loss with the true last weights, plane or not.
    """

    x: np.ndarray
    y: np.ndarray
    losses: dict[str, np.ndarray]
    paths: dict[str, pd.DataFrame]
    ends: dict[str, dict[str, float]]

    def on_plane(self, group: str, run: str, step: int | None = None) -> float:
        """The loss at the grid's point nearest to where the run was at a step (default: its last)."""
        path = self.paths[run]
        at = path.iloc[-1] if step is None else path.loc[step]
        return float(self.losses[group][np.abs(self.y - at.y).argmin(), np.abs(self.x - at.x).argmin()])

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        return {
            "x": self.x.tolist(),
            "y": self.y.tolist(),
            "losses": {group: values.tolist() for group, values in self.losses.items()},
            "paths": {name: path.reset_index().to_dict("list") for name, path in self.paths.items()},
            "ends": self.ends,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        return cls(
            np.array(found["x"]),
            np.array(found["y"]),
            {group: np.array(values) for group, values in found["losses"].items()},
            {name: pd.DataFrame(path).set_index("step") for name, path in found["paths"].items()},
            found["ends"],
        )


def change(run: Run, step: int | None = None) -> np.ndarray:
    """Every changed weight's change at a step (default: the last captured), end to end: (weights,) float32."""
    return np.concatenate([run.delta(name, step).ravel() for name in run.info.modules])


def plane(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Two unit directions, (2, weights): along the first change, and along what of the second stands across it.

    Raises InputError where the two changes span no plane.
    """
    length = float(np.linalg.norm(first))
    along = first / length if length else first
    across = second - (second @ along) * along
    rest = float(np.linalg.norm(across))
    if not (np.isfinite(length) and np.isfinite(rest)) or not length or rest <= 1e-5 * np.linalg.norm(second):
        raise InputError("the two runs span no plane: one did not move, diverged, or went the way of the other")
    return np.stack([along, across / rest])


def project(run: Run, directions: np.ndarray) -> pd.DataFrame:
    """Where did a run walk, seen on a plane? A row a captured step (the index): x, y, outside, see `Landscape`."""
    rows = []
    for step in run.steps:
        moved = change(run, step)
        x, y = (float(value) for value in directions @ moved)
        whole = float(moved @ moved)
        rows.append((step, x, y, max(0.0, 1 - (x * x + y * y) / whole) if whole else 0.0))
    return pd.DataFrame(rows, columns=["step", "x", "y", "outside"]).set_index("step")


def grid(paths: Sequence[pd.DataFrame], points: int, margin: float = MARGIN) -> tuple[np.ndarray, np.ndarray]:
    """x (columns,) and y (rows,), spaced alike, around all paths; the longer of the two has `points` points.

    The start is one of them exactly: its loss is the base model's own.
    """
    walked = np.concatenate([path[["x", "y"]].to_numpy() for path in paths])
    low, high = walked.min(axis=0), walked.max(axis=0)
    extent = np.maximum(high - low, (high - low).max() / 3)  # a straight path gets some ground beside it
    middle = (low + high) / 2
    low, high = middle - extent * (0.5 + margin), middle + extent * (0.5 + margin)
    spacing = float((high - low).max() / (points - 1))
    found = [
        np.arange(np.floor(a / spacing + 1e-9), np.ceil(b / spacing - 1e-9) + 1) * spacing
        for a, b in zip(low, high, strict=True)
    ]
    return found[0], found[1]


def measure_landscape(
    runs: Sequence[Run], groups: Mapping[str, list[list[Message]]], points: int = 21, margin: float = MARGIN
) -> Landscape:
    """The ground under some runs from one start: losses on the plane through it and the ends of the first two.

    groups: name -> conversations whose last answer counts. A point costs a forward pass of all of them. Of QLoRA runs
    the ground is that of the base before quantisation. Raises InputError for runs that differ in base or in the
    matrices that they changed, that kept only sketches, or whose two first span no plane.
    """
    first, *others = runs
    for other in others:
        if list(other.info.modules) != list(first.info.modules) or other.base != first.base:
            raise InputError(f"runs {first.name} and {other.name} share no plane: they changed other matrices or bases")
    if not others:
        raise InputError("a plane goes through the start and the ends of two runs; give a second run")
    directions = plane(change(first), change(others[0]))
    names = told_apart(runs)
    paths = {name: project(run, directions) for name, run in zip(names, runs, strict=True)}
    x, y = grid(list(paths.values()), points, margin)
    asked = Asked(first, groups)
    losses = {group: np.empty((len(y), len(x))) for group in groups}
    for row, column in np.ndindex(len(y), len(x)):
        at = np.array([x[column], y[row]], np.float32)
        for group, loss in asked(at @ directions).items():
            losses[group][row, column] = loss
    return Landscape(x, y, losses, paths, {name: asked(change(run)) for name, run in zip(names, runs, strict=True)})


class Asked:
    """A run's base model with any change to the weights that the run changed, asked groups of conversations."""

    def __init__(self, run: Run, groups: Mapping[str, list[list[Message]]]) -> None:
        self.changed, tokenizer = ChangedModel(run), tokenizer_of(run)
        self.pad = tokenizer.pad_token_id
        self.rows = {name: [encode_last_answer(tokenizer, c) for c in group] for name, group in groups.items()}

    def each(self, moved: np.ndarray) -> dict[str, tuple[list[float], list[bool], list[int]]]:
        """moved: as `change` gives it. For each group, what `engine.evaluate.score_answers` says of its answers."""
        shapes = {name: about.shape for name, about in self.changed.modules.items()}
        ends = np.cumsum([math.prod(shape) for shape in shapes.values()])[:-1]
        parts = zip(shapes.items(), np.split(moved, ends), strict=True)
        model = self.changed.change({name: part.reshape(shape) for (name, shape), part in parts})
        return {name: score_answers(model, rows, self.pad) for name, rows in self.rows.items()}

    def __call__(self, moved: np.ndarray) -> dict[str, float]:
        """The loss on each group, nats a token."""
        return {name: sum(losses) / sum(counts) for name, (losses, _, counts) in self.each(moved).items()}
