"""How are many points named beside each other? Each name near its point, where it covers no other name and no mark."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from visualize.theme import palette

_NEAR, _FURTHEST, _STEP = 9, 150, 7  # points between a mark and its name: tried from near to far
_ROUND = 16  # directions
_LEADER = 20  # points, from which on a line says whose name it is
_MARK = 5  # half a mark, in points


def label_points(ax: Axes, names: list[str], at: np.ndarray, *, size: float = 12) -> list[Annotation]:
    """Write a name beside every point, the most crowded points first; at: (n, 2) in the axes' data.

    What is drawn afterwards, or a change of the limits, may move the points under their names: so, last.
    """
    root = ax.figure.get_figure(root=True)
    assert isinstance(root, Figure)
    root.draw_without_rendering()  # the limits and the layout are final after it
    scale, marks = root.dpi / 72, ax.transData.transform(np.asarray(at, float).reshape(-1, 2))
    half = _MARK * scale
    taken = [np.array([*(mark - half), *(mark + half)]) for mark in marks]
    room, written = ax.get_window_extent(), dict[int, Annotation]()
    apart = np.linalg.norm(marks[:, None] - marks[None], axis=2)
    for nth in np.argsort(np.sort(apart, axis=1)[:, :4].sum(axis=1), kind="stable"):
        label = ax.annotate(names[nth], at[nth], xytext=(0, 0), textcoords="offset points", fontsize=size,
                            ha="left", va="bottom", annotation_clip=False)  # fmt: skip
        box = np.asarray(label.get_window_extent().extents)
        move = _best(_places(box, scale), box, np.array(taken), np.asarray(room.extents))
        label.set_position((move[0] / scale, move[1] / scale))
        taken.append(box + np.tile(move, 2))
        written[int(nth)] = label
        _lead(ax, at[nth], taken[-1], marks[nth], scale)
    return [written[nth] for nth in range(len(names))]


def _places(box: np.ndarray, scale: float) -> np.ndarray:
    """Ways to move a name that begins at its mark, (n, 2) in pixels: all around it, the nearest first."""
    far, turn = np.meshgrid(
        np.arange(_NEAR, _FURTHEST, _STEP) * scale, 2 * np.pi * np.arange(_ROUND) / _ROUND, indexing="ij"
    )
    wide, high = box[2:] - box[:2]
    x, y = np.cos(turn), np.sin(turn)
    return np.stack([far * x - wide * (1 - x) / 2, far * y - high * (1 - y) / 2], axis=-1).reshape(-1, 2)


def _best(places: np.ndarray, box: np.ndarray, taken: np.ndarray, room: np.ndarray) -> np.ndarray:
    """The nearest place of those where it covers the least, and stands outside the least."""
    moved = box + np.tile(places, 2)
    outside = np.prod(box[2:] - box[:2]) - _shared(moved, room[None]).sum(axis=1)
    cost = _shared(moved, taken).sum(axis=1) + outside
    return places[int(np.argmin(np.round(cost, 3)))]


def _shared(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Areas that each of (n, 4) has in common with each of (m, 4), (n, m)."""
    low, high = np.maximum(boxes[:, None, :2], others[None, :, :2]), np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.prod(np.maximum(high - low, 0), axis=2)


def _lead(ax: Axes, at: np.ndarray, box: np.ndarray, mark: np.ndarray, scale: float) -> None:
    """A line to a name that stands far from its mark."""
    nearest = np.clip(mark, box[:2], box[2:])
    if np.linalg.norm(nearest - mark) > _LEADER * scale:
        end = ax.transData.inverted().transform(nearest)
        ax.plot([at[0], end[0]], [at[1], end[1]], color=palette().muted, linewidth=0.7, linestyle=":", zorder=1.5)
