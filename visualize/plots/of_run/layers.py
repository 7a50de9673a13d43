"""Which matrices moved how far? A map of the model: one row a layer, one column a kind of matrix."""

import math
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from engine.language.speaking import tr
from engine.measure import norm, relative_norm
from engine.measure.layers import layers_of
from engine.run.run import Run, as_run
from visualize.naming import in_forward_order, kinds_of, layer_name, proper, short
from visualize.plots.axes import axes_or_new, figure_of, themed
from visualize.plots.given import OneRun, drawn_together, last_step
from visualize.theme import current_theme, ink_on, palette, score_map

_MOST_NUMBERED = 40  # layers; with more the numbers in the cells would be too small to read
_ROOM = 0.27  # inches a layer, for a number that can be read from the back row


@themed
def plot_layers(
    run: OneRun,
    *,
    module: str | None = None,
    step: int | None = None,
    ax: Axes | None = None,
    relative: bool = True,
    limit: float | Literal["steps"] | None = None,
) -> Axes:
    """How far every matrix has moved by a step: the Frobenius norm of its delta-W.

    relative: as a share of the norm of W, in per cent, else in the weights' own unit. module: to frame. Matrices
    outside the layers (an embedding) are named below; of a model with several stacks of layers each is named. A matrix
    that training left alone is an empty cell, and so is one that was zero, which has no share. Of a run that changed no
    matrix, as of one that trains biases, all that it did. limit: what takes the strongest colour; "steps", one for all
    captured steps, so that their pictures can be compared; default the largest of this step. Raises InputError for a
    step or module that was not captured, or if the base is not at hand.
    """
    run = as_run(run)
    if module is not None:
        run.shape(module)
    drawn = drawn_together(run)
    far = _distances(run, drawn, step, relative)
    kinds = kinds_of(drawn)
    inside = layers_of(drawn)
    outside = [name for name in drawn if name not in inside]
    columns = in_forward_order(dict.fromkeys(kinds[name] for name in inside))
    rows = list(dict.fromkeys(inside.values()))
    table = np.full((max(1, len(rows)), max(1, len(columns))), np.nan)
    for name, layer in inside.items():
        table[rows.index(layer), columns.index(kinds[name])] = far[name]
    numbered = len(rows) <= _MOST_NUMBERED
    height = max(min(9.0, 0.62 * len(rows) + 3.0), _ROOM * len(rows) + 2.0 if numbered else 0.0)
    ax = axes_or_new(ax, figsize=(max(8.5, 1.45 * len(columns) + 2.6), height))
    if limit == "steps":
        each = (_distances(run, drawn, every, relative) for every in run.steps)
        top = max((then[name] for then in each for name in inside), default=0.0)
    else:
        top = limit if limit is not None else float(np.nanmax(table)) if np.isfinite(table).any() else 0.0
    image = ax.imshow(table, cmap=score_map(current_theme()), vmin=0, vmax=top or 1.0, aspect="auto")
    ax.set_xticks(range(len(columns)), columns, rotation=20 if len(columns) > 5 else 0)
    if numbered:
        ax.set_yticks(range(len(rows)), [layer_name(row) for row in rows])
        _number_cells(ax, table, image.to_rgba(table, bytes=True), relative)
    else:
        ax.set_ylabel(tr("layer"))
    if module in inside:
        at = (columns.index(kinds[module]) - 0.5, rows.index(inside[module]) - 0.5)
        ax.add_patch(_frame(at))
    unit = tr("% of W's norm") if relative else tr("norm of delta-W (weights' unit)")
    scale = figure_of(ax).colorbar(image, ax=ax, fraction=0.05, pad=0.02)
    scale.set_label(unit)
    scale.outline.set_visible(False)
    when = run.when(last_step(run, step))
    ax.set_title(tr("{what}: how far each matrix has moved, {when}", what=proper(run.what), when=when))
    if outside:
        named = ", ".join(f"{short(name)} {far[name]:.3g}{' %' if relative else ''}" for name in outside[:3])
        ax.set_xlabel(tr("outside the layers: {named}", named=named))
    return ax


def _distances(run: Run, drawn: list[str], step: int | None, relative: bool) -> dict[str, float]:
    """How far each has moved: in per cent of W's norm (not a number where W was zero), or in the weights' own unit."""
    if not relative:
        return {name: norm(run, name, step) for name in drawn}
    share = {name: 100 * relative_norm(run, name, step) for name in drawn}
    return {name: value if np.isfinite(value) or not np.isfinite(norm(run, name, step)) else np.nan
            for name, value in share.items()}  # fmt: skip


def _number_cells(ax: Axes, table: np.ndarray, fills: np.ndarray, relative: bool) -> None:
    shares = f".{_decimals(table)}f"
    for (row, column), value in np.ndenumerate(table):
        if np.isfinite(value):
            ax.text(
                column, row, format(value, shares if relative else ".2g"), ha="center", va="center",
                fontsize=14 if len(table) <= 14 else 12,
                color=ink_on(fills[row, column]),
            )  # fmt: skip


def _decimals(table: np.ndarray) -> int:
    """As many for all cells as tell the usual one in two digits, from one to four."""
    known = table[np.isfinite(table) & (table > 0)]
    return min(4, max(1, 1 - math.floor(math.log10(np.median(known))))) if known.size else 1


def _frame(corner: tuple[float, float]) -> Rectangle:
    return Rectangle(corner, 1, 1, fill=False, edgecolor=palette().delta, linewidth=4)
