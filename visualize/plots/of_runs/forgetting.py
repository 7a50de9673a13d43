"""What is forgotten, and how surely? Every measure of it, a panel each, step by step, with 95 % intervals."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from engine.measure.kept import MEASURES, kept
from visualize.naming import proper
from visualize.plots.axes import themed
from visualize.plots.given import Runs, as_runs, looks
from visualize.theme import palette

_WIDE = 4  # panels beside each other


@themed
def plot_forgetting(
    runs: Runs,
    *,
    step: int | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Small multiples, in a `figure` or a new one: general probes (`engine.evaluate.probes`), or the old skills of a
    run that was graded on the curriculum. Bands are 95 % intervals over the probes.

    runs: one or several, a line each. step: draw up to it. Raises InputError for a run that was graded on nothing but
    its task.
    """
    named = as_runs(runs)
    tables = {label: kept(one) for label, one in named.items()}
    measures = [name for name in MEASURES if any(name in table for table in tables.values())]
    columns = min(_WIDE, len(measures))
    lines = -(-len(measures) // columns)
    figure = figure or plt.figure(figsize=(3.9 * columns + 0.6, 3.9 * lines + 0.9))
    axes = figure.subplots(lines, columns, squeeze=False)
    for ax, name in zip(axes.flat, measures, strict=False):
        for label, look in looks(named).items():
            if name not in tables[label]:
                continue
            table = tables[label][name].loc[:step]
            ax.plot(table.index, table["mean"], look.line, marker=look.mark, markersize=5, color=look.colour,
                    label=label)  # fmt: skip
            ax.fill_between(table.index, table.low, table.high, color=look.colour, alpha=0.18, linewidth=0)
        if MEASURES[name].change:
            ax.axhline(0, color=palette().muted, linewidth=1, zorder=0)
        elif MEASURES[name].scale == 100:
            ax.set_ylim(-3, 103)
        else:
            ax.set_ylim(bottom=0)
        ax.set_title(MEASURES[name].title, fontsize=12)
        ax.set_xlabel("step")
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        ax.grid(axis="y")
    for ax in np.asarray(axes).flat[len(measures) :]:
        ax.set_axis_off()
    drawn = {line.get_label(): line for ax in axes.flat for line in ax.lines if line.get_label() in named}
    if len(named) > 1:
        figure.legend(list(drawn.values()), list(drawn), loc="outside upper left", ncols=3)
    else:
        figure.suptitle(f"{proper(next(iter(named.values())).what)}: what is forgotten", fontsize=14)
    return figure
