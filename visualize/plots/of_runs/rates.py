"""Which learning rate is best? The loss at the end of several runs that differ in it, a line a method."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from engine.errors import InputError
from engine.run.run import Run
from visualize.plots.axes import axes_or_new, themed
from visualize.plots.given import Runs, as_runs
from visualize.theme import METHOD_LINES, palette

_LAST = 5  # logged steps whose training loss is averaged where nothing was held out


@themed
def plot_rates(runs: Runs, *, ax: Axes | None = None) -> Axes:
    """The loss at the last step of each run, over its peak learning rate, both as they were; the best is ringed.

    runs: several; of each method one line. The loss is the held-out one where all runs have it, else the mean training
    loss of the last five logged steps. The best is known where worse rates were tried on both sides of it, if only to
    diverge; else it is said why not. A loss that is no number is left out, and counted. Raises InputError for a run
    that does not say its learning rate, or logged no loss.
    """
    table = final_losses(list(as_runs(runs).values()))
    ax = axes_or_new(ax)
    colours = palette()
    ringed = list[bool]()
    for method, every in table.groupby("method", sort=False):
        rows, colour = every[np.isfinite(every.loss)].sort_values("rate"), colours.method(str(method))
        lost = len(every) - len(rows)
        label = f"{method} ({lost} without a finite loss)" if lost else method
        line = METHOD_LINES.get(str(method), "-")
        ax.plot(rows.rate, rows.loss, color=colour, linestyle=line, marker="o", label=label)
        ringed.append(not rows.empty and not (doubt := doubted(every)))
        if rows.empty:
            continue
        best = rows.loc[rows.loss.idxmin()]
        if ringed[-1]:
            ax.plot([best.rate], [best.loss], "o", markersize=18, markerfacecolor="none", color=colour,
                    markeredgewidth=2.5)  # fmt: skip
        side = {every.rate.min(): "left", every.rate.max(): "right"} if every.rate.nunique() > 1 else {}
        ax.annotate(
            f"{best.rate:.2g}{doubt}", (best.rate, best.loss), xytext=(0, -20), textcoords="offset points",
            ha=side.get(best.rate, "center"), va="top", color=colour, fontsize=14,
        )  # fmt: skip
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0e}".replace("e-0", "e-"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.margins(y=0.25)
    ax.set_xlabel("peak learning rate")
    ax.set_ylabel(f"{table.of[0]} loss at the end\n(nats a token, lower is better)")
    part = "" if all(ringed) else ", where it is known"
    ax.set_title(f"The best of the learning rates tried (ringed{part})" if any(ringed) else "Learning rates, as tried")
    ax.grid(axis="y")
    ax.legend()
    return ax


def doubted(tried: pd.DataFrame) -> str:
    """Why the lowest loss of one method does not tell its best rate; "" where it does.

    tried: rate and loss, a row a run. A rate whose loss is no number is worse than any.
    """
    lowest = tried[tried.loss == tried.loss[np.isfinite(tried.loss)].min()]
    if tried.rate.nunique() < 2:
        return ", the only one tried"
    if lowest.rate.nunique() > 1:
        return ", tied with another"
    at_edge = lowest.rate.isin((tried.rate.min(), tried.rate.max())).any()
    return ", edge of what was tried" if at_edge else ""


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
            "loss": one.skill_losses[one.task].iloc[-1] if held_out else one.losses.iloc[-_LAST:].mean(skipna=False),
            "of": "held-out" if held_out else "training",
        }
        for one in runs
    )
