"""Does it learn? The loss on what it trains on, and on what it has not seen."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from engine.errors import InputError
from engine.run.format import HELD_OUT
from engine.run.run import Run
from visualize.plots.axes import axes_or_new, themed
from visualize.theme import METHOD_LINES, palette

SMOOTHED = 9  # steps in the running median


@themed
def plot_loss(
    run: Run | Sequence[Run], *, module: str | None = None, step: int | None = None, ax: Axes | None = None
) -> Axes:
    """Training loss of each step, its running median over nine steps, and the held-out loss; nats a token.

    run: one or several, to compare. module: not used. step: draw up to it. A loss that is no number leaves a gap.
    Raises InputError if a run logged no loss.
    """
    runs = [run] if isinstance(run, Run) else list(run)
    for one in runs:
        if one.metrics.empty:
            raise InputError(f"run {one.name} logged no training loss, so there is none to draw")
    ax = axes_or_new(ax)
    colours = palette()
    for one in runs:
        losses = pd.to_numeric(one.metrics["loss"]).replace([np.inf, -np.inf], np.nan).loc[:step]
        colour, label = colours.method(one.method), f"{one.name}: " if len(runs) > 1 else ""
        ax.plot(losses.index, losses, color=colour, alpha=0.35, linewidth=1.0, label=f"{label}training, each step")
        smooth = losses.rolling(SMOOTHED, center=True, min_periods=1).median().where(losses.notna())
        style = METHOD_LINES.get(one.method, "-")
        ax.plot(smooth.index, smooth, color=colour, linestyle=style, label=f"{label}training, median of {SMOOTHED}")
        name = one.task if one.task in one.skill_losses else HELD_OUT
        if name in one.skill_losses:
            held = one.skill_losses[name].loc[:step]
            ax.plot(held.index, held, "o-", color=colours.delta, markersize=7, label=f"{label}held out")
    ax.set_ylim(bottom=0)
    ax.set_xlabel("step")
    ax.set_ylabel("loss (nats a token, lower is better)")
    ax.set_title(", ".join(one.what for one in runs))
    ax.grid(axis="y")
    ax.legend()
    return ax
