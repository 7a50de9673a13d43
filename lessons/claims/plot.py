"""How large are the effects, and how sure? One panel a claim: each condition's effect with its 95 % interval."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lessons.claims.ledger import CLAIMS, KEPT, Row, kept_rows
from visualize.naming import proper
from visualize.plots.axes import themed
from visualize.theme import palette, theme

_DPI = 72
_MOST = 6  # panels of one picture that a lecture hall can read
_MARKS = {"yes": "o", "no": "X"}  # anything else: a diamond


@themed
def plot(*ids: str, path: Path = KEPT) -> Figure:
    """The kept rows of these claims (default: the first few): dots are effects, bars their intervals.

    The band is what does not matter: the margin around what the sentence compares with, the dashed line. A mark's shape
    repeats its colour: a disc where the sentence is right, a cross where it is not, a diamond where that is open.
    Raises InputError as `kept_rows`.
    """
    rows = kept_rows(*ids, path=path)[: len(ids) or _MOST]
    return drawn(rows)


def drawn(rows: Sequence[Row]) -> Figure:
    """The same of rows that are at hand."""
    heights = [len(row.conditions) + 2.2 for row in rows]
    figure, axes = plt.subplots(
        len(rows), 1, figsize=(12, 0.55 * sum(heights) + 0.6), height_ratios=heights, squeeze=False
    )
    for ax, row in zip(axes[:, 0], rows, strict=True):
        draw(ax, row)
    return figure


def save(rows: Sequence[Row], folder: Path) -> None:
    """Each claim's picture as `<id>.png` in this folder; those of other claims are deleted, and no other file."""
    folder.mkdir(parents=True, exist_ok=True)
    for other in CLAIMS.keys() - {row.id for row in rows}:
        (folder / f"{other}.png").unlink(missing_ok=True)
    for row in rows:
        with theme("light"):
            figure = drawn([row])
            figure.savefig(folder / f"{row.id}.png", dpi=_DPI, metadata={"Software": None})
            plt.close(figure)


def draw(ax: Axes, row: Row) -> None:
    """One claim's effects on these axes."""
    colours, says = palette(), CLAIMS[row.id].says
    inks = {"yes": colours.right, "no": colours.wrong}
    ax.axvline(says.target, color=colours.muted, linestyle="--", linewidth=1.6, zorder=1)
    if says.margin:
        ax.axvspan(says.target - says.margin, says.target + says.margin, color=colours.grid, alpha=0.7, zorder=0)
    for line, condition in enumerate(row.conditions.values()):
        effect, ink = condition.effect, inks.get(condition.answer, colours.muted)
        if effect.low < effect.high and np.isfinite([effect.low, effect.high]).all():
            ax.plot([effect.low, effect.high], [line, line], color=ink, linewidth=5, solid_capstyle="butt", alpha=0.55)
        ax.plot(effect.mean, line, _MARKS.get(condition.answer, "D"), color=ink, markersize=11, zorder=3)
    labels = [f"{proper(name)} ({condition.answer})" for name, condition in row.conditions.items()]
    ax.set_yticks(range(len(labels)), ["\n".join(wrap(label, 42)) for label in labels])
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.set_xlabel("\n".join(wrap(f"{row.effect}{f' ({row.unit})' if row.unit else ''}", 74)))
    ax.set_title("\n".join(wrap(f"{row.sentence} {row.verdict.capitalize()}.", 66, break_on_hyphens=False)))
    ax.tick_params(axis="y", length=0)
