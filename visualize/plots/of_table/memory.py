"""How much memory would training take, and on which GPU does it fit? Computed, not measured."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from engine.planning.sizes import GPUS
from visualize.plots.axes import axes_or_new, themed
from visualize.theme import palette

_WIDE = 0.26
_HATCHES = {"full": "", "lora": "//", "qlora": ".."}


@themed
def plot_memory(table: pd.DataFrame, *, ax: Axes | None = None, gpus: Mapping[str, int] = GPUS) -> Axes:
    """One bar a method, in groups, and a line for every GPU within sight; GiB, less is better.

    The axis is logarithmic where the totals differ much.

    table: as `engine.planning.sizes` makes it: `memory_table`, one group a model's size, or `memory_of_model`, one for
    a model of your own; the title says what it assumes. gpus: name -> GiB.
    """
    sizes, methods = (list(dict.fromkeys(table.index.get_level_values(at))) for at in (0, 1))
    ax = axes_or_new(ax, figsize=(13, 6.6))
    colours = palette()
    spread = table.total.max() > 20 * table.total.min()
    low, high = (table.total.min() / 3, table.total.max() * 3) if spread else (0.0, 1.2 * table.total.max())
    for nth, method in enumerate(methods):
        totals = table.total.xs(method, level=1).reindex(sizes)
        places = np.arange(len(sizes)) + (nth - (len(methods) - 1) / 2) * _WIDE
        ax.bar(places, totals, 0.92 * _WIDE, color=colours.method(method), label=method, hatch=_HATCHES.get(method),
               edgecolor=colours.background, linewidth=0, zorder=2)  # fmt: skip
        for place, total in zip(places, totals, strict=True):
            ax.text(
                place,
                total * (1.1 if spread else 1.02),
                _short(total),
                ha="center",
                va="bottom",
                fontsize=12,
                zorder=3,
                bbox={"facecolor": colours.background, "edgecolor": "none", "pad": 1},
            )
    for name, size in gpus.items():
        if low < size < high:
            ax.axhline(size, color=colours.muted, linewidth=1.4, zorder=1)
            ax.annotate(f"{name}, {size}", (1, size), xycoords=("axes fraction", "data"), xytext=(6, 0),
                        textcoords="offset points", va="center", fontsize=12, annotation_clip=False)  # fmt: skip
    if spread:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_ylim(low, high)
    ax.set_xticks(range(len(sizes)), sizes)
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-0.6, len(sizes) - 0.4)
    ax.set_ylabel("GiB in one training step (less is better)")
    under = f"\n{table.columns.name}" if table.columns.name else ""
    ax.set_title(f"Memory of training, computed, not measured{under}")
    ax.legend(loc="upper left", ncols=len(methods))
    return ax


def _short(value: float) -> str:
    """To a tenth below a hundred: beside a card's line it is seen on which side a bar ends. Below one, two digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"
