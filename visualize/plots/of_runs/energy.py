"""How many directions does a change need? The share of it that the largest few hold."""

import numpy as np
from matplotlib.axes import Axes

from engine.errors import InputError
from engine.measure import norm, singular_values
from visualize.naming import percent, short
from visualize.plots.axes import axes_or_new, themed
from visualize.plots.given import Runs, as_runs, choose_module, last_step, looks
from visualize.theme import palette

SHARE = 0.9


@themed
def plot_energy(runs: Runs, *, module: str | None = None, step: int | None = None, ax: Axes | None = None) -> Axes:
    """The share of delta-W's energy (squared norm) in its first k singular directions, in per cent, for every k.

    runs: one or several, to compare; the label says how many directions hold 90 %. step: default each one's last.
    module: default the one, of those in all runs, that moved furthest in the first. Raises InputError for a step or
    module that was not captured, a change that is not finite, and one that is zero, which has no directions.
    """
    named = as_runs(runs)
    first = next(iter(named.values()))
    if module is None:
        common = [name for name in first.modules if all(name in other.modules for other in named.values())]
        module = max(common, key=lambda name: norm(first, name, step), default=None)
    module = choose_module(first, module, step)
    ax = axes_or_new(ax)
    for label, look in looks(named).items():
        one = named[label]
        values = singular_values(one, module, step).astype(np.float64)
        if not values.any():
            raise InputError(f"{module} has not moved in run {one.name} at step {last_step(one, step)}; draw another")
        held = 100 * np.cumsum(values**2) / norm(one, module, step) ** 2  # of a sketch, the first few are known
        needed = int(np.searchsorted(held, 100 * SHARE)) + 1
        label = label if len(named) > 1 else one.method
        label += f": {needed} hold {percent(SHARE)}" if needed <= len(held) else ""
        ax.plot(
            np.arange(1, len(held) + 1), held, color=look.colour, label=label,
            linestyle=look.line, marker=look.mark, markersize=4,
        )  # fmt: skip
    ax.axhline(100 * SHARE, color=palette().muted, linewidth=1.2)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_ylim(0, 103)
    ax.set_xlabel("largest directions counted")
    ax.set_ylabel("share of delta-W's energy (%)")
    ax.set_title(f"How many directions delta-W needs, {short(module)}\nof {min(first.shape(module))} possible")
    ax.grid(axis="y")
    ax.legend(loc="lower right")
    return ax
