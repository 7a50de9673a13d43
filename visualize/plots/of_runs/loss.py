"""Does it learn? The loss on what it trains on, and on what it has not seen."""

import numpy as np
from matplotlib.axes import Axes

from engine.errors import InputError
from engine.language.speaking import tr
from engine.run.format import HELD_OUT
from visualize.naming import proper
from visualize.plots.axes import axes_or_new, themed
from visualize.plots.given import Runs, as_runs, looks
from visualize.theme import palette

SMOOTHED = 9  # logged losses in the running median


@themed
def plot_loss(runs: Runs, *, step: int | None = None, ax: Axes | None = None) -> Axes:
    """Training loss of each logged step, its running median over nine of them, and the held-out loss; nats a token.

    runs: one or several, to compare. step: draw up to it. A loss that is no number leaves a gap.
    Raises InputError if a run logged no loss.
    """
    named = as_runs(runs)
    for one in named.values():
        if one.losses.empty:
            raise InputError(f"run {one.name} logged no training loss, so there is none to draw")
    ax = axes_or_new(ax)
    for label, look in looks(named).items():
        one, before = named[label], f"{label}: " if len(named) > 1 else ""
        losses = one.losses.replace([np.inf, -np.inf], np.nan).loc[:step]
        thin = tr("training, each logged step") if len(named) == 1 else "_"
        ax.plot(losses.index, losses, color=look.colour, alpha=0.35, linewidth=1.0, label=thin)
        smooth = losses.rolling(SMOOTHED, center=True, min_periods=1).median().where(losses.notna())
        said = before + tr("training, median of {count} logged", count=SMOOTHED)
        ax.plot(smooth.index, smooth, color=look.colour, linestyle=look.line, label=said)
        name = one.task if one.task in one.skill_losses else HELD_OUT
        if name in one.skill_losses:
            held = one.skill_losses[name].loc[:step]
            line = look.line if before else "-"
            ax.plot(
                held.index, held, marker=look.mark, linestyle=line, color=palette().delta, markersize=7,
                label=before + tr("held out"),
            )  # fmt: skip
    ax.set_ylim(bottom=0)
    ax.set_xlabel(tr("step"))
    ax.set_ylabel(tr("loss (nats a token, lower is better)"))
    ax.set_title(", ".join(dict.fromkeys(proper(one.what) for one in named.values())))
    ax.grid(axis="y")
    ax.legend()
    return ax
