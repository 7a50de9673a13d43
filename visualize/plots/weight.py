"""What does a matrix of the base model look like, before anything is trained?"""

from matplotlib.axes import Axes

from engine.run import Run
from visualize.plots.axes import axes_or_new, heat, matrix_of, matrix_size, short, themed


@themed
def plot_weight(
    run: Run | str,
    *,
    module: str | None = None,
    step: int | None = None,
    ax: Axes | None = None,
    transposed: bool = False,
) -> Axes:
    """W of one module, (out, in), as it was before training.

    run: a Run, or a base model's name ("embedded") or folder, for which `module` must be given. step: not used, for W
    does not move; it is there so that every plot is called alike. transposed: a named model keeps it as
    (in, out), as GPT-2 does. Raises InputError if the weights are not at hand.
    """
    module, values = matrix_of(run, module, step, transposed)
    ax = axes_or_new(ax, figsize=matrix_size(values.shape))
    heat(ax, values, f"W, {short(module)}\nas pretrained")
    return ax
