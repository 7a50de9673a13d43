"""How large are the effects, and how sure? One panel a claim: each condition's effect with its 95 % interval."""

from pathlib import Path
from textwrap import wrap

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lessons.claims.ledger import CLAIMS, KEPT, Row, kept_rows
from visualize.plots.axes import themed
from visualize.theme import palette

_MOST = 6  # panels of one picture that a lecture hall can read
_MARKS = {"yes": "o", "no": "X", "undecided": "D"}


@themed
def plot(*ids: str, path: Path = KEPT) -> Figure:
    """The kept rows of these claims (default: the first few): dots are means, bars intervals, small marks the seeds.

    The dashed line is what the sentence compares with; where it says "the same", the band around it is what does not
    matter. A mark's shape repeats its colour: a disc where the sentence is right, a cross where it is not, a diamond
    where that is undecided. Raises InputError as `kept_rows`.
    """
    rows = kept_rows(*ids, path=path)[: len(ids) or _MOST]
    heights = [len(row.conditions) + 2.2 for row in rows]
    figure, axes = plt.subplots(
        len(rows), 1, figsize=(12, 0.55 * sum(heights) + 0.6), height_ratios=heights, squeeze=False
    )
    for ax, row in zip(axes[:, 0], rows, strict=True):
        draw(ax, row)
    return figure


def draw(ax: Axes, row: Row) -> None:
    """One claim's effects on these axes."""
    colours = palette()
    inks = {"yes": colours.right, "no": colours.wrong, "undecided": colours.muted}
    says = CLAIMS[row.id].says
    ax.axvline(says.target, color=colours.muted, linestyle="--", linewidth=1.6, zorder=1)
    if not says.more and says.matters:
        ax.axvspan(says.target - says.matters, says.target + says.matters, color=colours.grid, alpha=0.7, zorder=0)
    for line, condition in enumerate(row.conditions.values()):
        effect, ink = condition.effect, inks[condition.answer]
        if effect.seeds and np.isfinite(effect.low):
            ax.plot([effect.low, effect.high], [line, line], color=ink, linewidth=5, solid_capstyle="butt", alpha=0.55)
            ax.plot(
                condition.values, [line] * len(condition.values), "|", color=ink, markersize=14, markeredgewidth=1.5
            )
        ax.plot(effect.mean, line, _MARKS[condition.answer], color=ink, markersize=11, zorder=3)
    ax.set_yticks(range(len(row.conditions)), ["\n".join(wrap(name, 42)) for name in row.conditions])
    ax.set_ylim(len(row.conditions) - 0.4, -0.6)
    ax.set_xlabel("\n".join(wrap(f"{row.effect}{f' ({row.unit})' if row.unit else ''}", 74)))
    ax.set_title("\n".join(wrap(f"{row.sentence} {row.verdict.capitalize()}.", 66, break_on_hyphens=False)))
    ax.tick_params(axis="y", length=0)
