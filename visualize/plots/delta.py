"""What did training add to one matrix?"""

from matplotlib.axes import Axes

from engine.run import Run
from visualize.plots.axes import axes_or_new, choose_module, heat, last_step, matrix_size, short, themed


@themed
def plot_delta(run: Run, *, module: str | None = None, step: int | None = None, ax: Axes | None = None) -> Axes:
    """delta-W of a module at a step: (out, in), one cell a weight, zero in the ground's colour.

    module: default the one that moved furthest. step: default the last captured. Raises InputError if not captured.
    """
    module = choose_module(run, module, step)
    values = run.delta(module, step)
    ax = axes_or_new(ax, figsize=matrix_size(values.shape))
    heat(ax, values, f"delta-W, {short(module)}\n{run.when(last_step(run, step))}")
    return ax
