"""What did training add to one matrix?"""

from typing import Literal

import numpy as np
from matplotlib.axes import Axes

from engine.errors import InputError
from engine.language.speaking import tr
from engine.run.run import Run, as_run
from visualize.naming import short
from visualize.plots.axes import axes_or_new, heat, matrix_size, themed
from visualize.plots.given import OneRun, choose_module, last_step
from visualize.theme import limit_of


@themed
def plot_delta(
    run: OneRun,
    *,
    module: str | None = None,
    step: int | None = None,
    ax: Axes | None = None,
    limit: float | Literal["steps"] | None = None,
) -> Axes:
    """delta-W of a module at a step: (out, in), one cell a weight, zero in the ground's colour.

    module: default the one that moved furthest. step: default the last captured. Of a sketched module its picture is
    drawn, means of blocks, and the title says so. limit: the magnitude that takes the strongest colour; "steps", one
    for all captured steps, so that their pictures can be compared; default that of this step. Raises InputError if not
    captured.
    """
    run = as_run(run)
    module = choose_module(run, module, step)
    sketched, values = run.is_sketched(module), _picture(run, module, step)
    if not values.size:
        raise InputError(f"run {run.name} kept no picture of {module}, only its norm; capture with a larger budget")
    ax = axes_or_new(ax, figsize=matrix_size(values.shape))
    of = " " + tr("(means of blocks)") if sketched else ""
    if limit == "steps":
        limit = max(limit_of(_picture(run, module, every)) for every in run.steps)
    heat(ax, values, f"delta-W{of}, {short(module)}\n{run.when(last_step(run, step))}", limit=limit)
    if sketched:
        out, width = run.shape(module)
        ax.set(
            xlabel=tr("in ({count}, in {blocks} blocks)", count=width, blocks=values.shape[1]),
            ylabel=tr("out ({count}, in {blocks} blocks)", count=out, blocks=values.shape[0]),
        )
    return ax


def _picture(run: Run, module: str, step: int | None) -> np.ndarray:
    return run.sketch(module, step).picture if run.is_sketched(module) else run.delta(module, step)
