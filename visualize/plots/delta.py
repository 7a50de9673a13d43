"""What did training add to one matrix?"""

from matplotlib.axes import Axes

from engine.errors import InputError
from engine.run.run import Run
from visualize.naming import short
from visualize.plots.axes import axes_or_new, choose_module, heat, last_step, matrix_size, themed


@themed
def plot_delta(run: Run, *, module: str | None = None, step: int | None = None, ax: Axes | None = None) -> Axes:
    """delta-W of a module at a step: (out, in), one cell a weight, zero in the ground's colour.

    module: default the one that moved furthest. step: default the last captured. Of a sketched module its picture is
    drawn, means of blocks, and the title says so. Raises InputError if not captured.
    """
    module = choose_module(run, module, step)
    sketched = run.is_sketched(module)
    values = run.sketch(module, step).picture if sketched else run.delta(module, step)
    if not values.size:
        raise InputError(f"run {run.name} kept no picture of {module}, only its norm; capture with a larger budget")
    ax = axes_or_new(ax, figsize=matrix_size(values.shape))
    of = " (means of blocks)" if sketched else ""
    heat(ax, values, f"delta-W{of}, {short(module)}\n{run.when(last_step(run, step))}")
    if sketched:
        out, width = run.shape(module)
        ax.set(xlabel=f"in ({width}, in {values.shape[1]} blocks)", ylabel=f"out ({out}, in {values.shape[0]} blocks)")
    return ax
