"""Which of many adapters are alike? A map: close together where they write along the same directions."""

import pandas as pd
from matplotlib.axes import Axes

from visualize.naming import percent
from visualize.plots.axes import axes_or_new, themed
from visualize.plots.labels import label_points
from visualize.theme import palette

_MOST_NAMED = 24  # names that can be read beside each other
_MARKS = "os^Dvph"


@themed
def plot_adapters(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """One mark an adapter, one shape a method; hollow where `glasstune inspect` found a fault. A line joins each with
    its nearest, where the two overlap at least twice as much as chance allows.

    table: what `engine.inspect.many.placed` gave. The title says how much of all squared distance two dimensions hold.
    """
    ax, colours = axes_or_new(ax, figsize=(11, 8.5)), palette()
    for _, row in table.iterrows():
        if row["nearest"] in table.index and row["overlap"] >= 2 * row["chance"]:
            other = table.loc[row["nearest"]]
            ax.plot([row["x"], other["x"]], [row["y"], other["y"]], color=colours.muted, linewidth=1, zorder=1)
    for nth, (method, some) in enumerate(table.groupby("method")):
        colour, mark = colours.method(str(method)), _MARKS[nth % len(_MARKS)]
        fault = some["verdict"] == "fault"
        for part, face, label in (
            (some[~fault], colour, str(method)),
            (some[fault], "none", f"{method}, with a fault"),
        ):
            if len(part):
                ax.scatter(part["x"], part["y"], s=64, marker=mark, facecolors=face, edgecolors=colour, label=label)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xlabel("distance: sqrt(1 - overlap beyond chance); 1 between strangers")
    ax.set_title(
        f"{len(table)} adapters by what they write\n(two dimensions hold {percent(table['shown'].iloc[0])} of it)"
    )
    ax.grid(True)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    if len(table) <= _MOST_NAMED:
        label_points(ax, [str(name) for name in table.index], table[["x", "y"]].to_numpy(), size=12)
    return ax
