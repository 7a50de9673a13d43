"""What does a matrix of the base model look like, before anything is trained?"""

from matplotlib.axes import Axes

from engine.language.speaking import tr
from visualize.naming import short
from visualize.plots.axes import axes_or_new, heat, matrix_size, themed
from visualize.plots.given import OneRun, matrix_of


@themed
def plot_weight(
    run: OneRun,
    *,
    module: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """W of one module, (out, in), as it was before training.

    run: a Run, or a base model's name ("embedded") or folder, for which `module` must be given. Raises
    InputError if the weights are not at hand.
    """
    module, values = matrix_of(run, module)
    ax = axes_or_new(ax, figsize=matrix_size(values.shape))
    heat(ax, values, tr("W, {module}\nas pretrained", module=short(module)))
    return ax
