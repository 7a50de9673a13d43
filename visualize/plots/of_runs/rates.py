"""Which learning rate is best? The loss at the end of several runs that differ in it, a line a method."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from engine.errors import InputError
from engine.run.run import Run
from visualize.plots.axes import axes_or_new, themed
from visualize.plots.given import Runs, as_runs
from visualize.theme import METHOD_LINES, palette

_LAST = 5  # steps whose training loss is averaged where nothing was held out


@themed
def plot_rates(runs: Runs, *, ax: Axes | None = None) -> Axes:
    """The loss at the last step of each run, over its peak learning rate, both as they were; the best is ringed.

    runs: several; of each method one line. The loss is the held-out one where all runs have it, else the mean training
    loss of the last five steps. Raises InputError for a run that does not say its learning rate, or logged no loss.
    """
    table = final_losses(list(as_runs(runs).values()))
    ax = axes_or_new(ax)
    colours = palette()
    for method, rows in table.groupby("method", sort=False):
        rows, colour = rows.sort_values("rate"), colours.method(str(method))
        ax.plot(
            rows.rate, rows.loss, color=colour, linestyle=METHOD_LINES.get(str(method), "-"), marker="o", label=method
        )
        best = rows.loc[rows.loss.idxmin()]
        ax.plot([best.rate], [best.loss], "o", markersize=18, markerfacecolor="none", color=colour, markeredgewidth=2.5)
        ax.annotate(
            f"{best.rate:.2g}", (best.rate, best.loss), xytext=(0, -20), textcoords="offset points", ha="center",
            va="top", color=colour, fontsize=14,
        )  # fmt: skip
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0e}".replace("e-0", "e-"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.margins(y=0.25)
    ax.set_xlabel("peak learning rate")
    ax.set_ylabel(f"{table.of[0]} loss at the end\n(nats a token, lower is better)")
    ax.set_title("The best learning rate of each method (ringed)")
    ax.grid(axis="y")
    ax.legend()
    return ax


def final_losses(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a run: method, rate, loss (nats a token), and of what it is, the same for all: "held-out", "training"."""
    for one in runs:
        if one.losses.empty:
            raise InputError(f"run {one.name} logged no training loss, so there is none to draw")
    held_out = all(one.task in one.skill_losses for one in runs)
    return pd.DataFrame(
        {
            "method": one.method,
            "rate": one.learning_rate,
            "loss": one.skill_losses[one.task].iloc[-1] if held_out else one.losses.iloc[-_LAST:].mean(),
            "of": "held-out" if held_out else "training",
        }
        for one in runs
    )
