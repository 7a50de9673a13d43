"""What does one setting do? Several runs that differ in it, a panel each, on the same axes."""

from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from engine.errors import InputError
from engine.measure.matched import learning_path
from engine.run.format import HELD_OUT
from engine.run.run import Run
from visualize.plots.axes import themed
from visualize.plots.given import Runs, as_runs
from visualize.theme import palette

_WIDE = 3  # of a running median over this many steps


@themed
def plot_sweep(
    runs: Runs,
    *,
    step: int | None = None,
    value: Literal["exact", "loss"] = "exact",
    figure: Figure | None = None,
) -> Figure:
    """Small multiples: one panel a run, in the order given, all with the same scales, in a `figure` or a new one.

    value: "exact", the new task and the mean of the old skills, exactly right, in per cent; or "loss", training (median
    of three steps) and held out, nats a token. step: draw up to it. Raises InputError if what is to be drawn was not
    measured.
    """
    named = as_runs(runs)
    figure = figure or plt.figure(figsize=(min(15.0, 3.4 * len(named) + 2.2), 4.8))
    axes = figure.subplots(1, len(named), sharex=True, sharey=True, squeeze=False)[0]
    for ax, (label, one) in zip(axes, named.items(), strict=True):
        (_draw_exact if value == "exact" else _draw_loss)(ax, one, step)
        ax.set_title(label)
        ax.grid(axis="y")
        ax.set_xlabel("step")
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    if value == "exact":
        axes[0].set_ylim(-3, 105)
        axes[0].set_ylabel("exactly right (%)")
    else:
        axes[0].set_ylim(bottom=0)
        axes[0].set_ylabel("loss (nats a token)")
    lines = {line.get_label(): line for ax in axes for line in ax.lines}
    figure.legend(list(lines.values()), list(lines), loc="outside upper left", ncols=3)
    return figure


def _draw_exact(ax: Axes, run: Run, step: int | None) -> None:
    path, colours = 100 * learning_path(run).loc[:step], palette()
    ax.plot(path.index, path.learned, "o-", color=colours.method(run.method), label="new task")
    ax.plot(path.index, path.kept, "s--", color=colours.muted, label="old skills, mean")


def _draw_loss(ax: Axes, run: Run, step: int | None) -> None:
    if run.losses.empty:
        raise InputError(f"run {run.name} logged no training loss, so there is none to draw")
    losses = run.losses.replace([np.inf, -np.inf], np.nan).loc[:step]
    smooth = losses.rolling(_WIDE, center=True, min_periods=1).median().where(losses.notna())
    colours = palette()
    ax.plot(smooth.index, smooth, color=colours.method(run.method), label="training")
    name = run.task if run.task in run.skill_losses else HELD_OUT
    if name in run.skill_losses:
        held = run.skill_losses[name].loc[:step]
        ax.plot(held.index, held, "o-", color=colours.delta, label="held out")
