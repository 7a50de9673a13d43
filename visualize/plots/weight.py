"""What does a matrix of the base model look like, before anything is trained?"""

from matplotlib.axes import Axes

from engine.run.base import base_folder
from engine.run.run import Run
from engine.run.tensors import Tensors, is_conv1d
from visualize.naming import short
from visualize.plots.axes import axes_or_new, heat, matrix_of, matrix_size, themed


@themed
def plot_weight(
    run: Run | str,
    *,
    module: str | None = None,
    step: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """W of one module, (out, in), as it was before training.

    run: a Run, or a base model's name ("embedded") or folder, for which `module` must be given. step: not used, for W
    does not move; it is there so that every plot is called alike. Raises InputError if the weights are not at hand.
    """
    module, values = matrix_of(run, module, step)
    if isinstance(run, str) and is_conv1d(f"{module}.weight", Tensors(base_folder(run))):
        values = values.T
    ax = axes_or_new(ax, figsize=matrix_size(values.shape))
    heat(ax, values, f"W, {short(module)}\nas pretrained")
    return ax
