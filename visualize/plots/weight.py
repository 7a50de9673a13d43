"""What does a matrix of the base model look like, before anything is trained?"""

from matplotlib.axes import Axes

from engine.run import Run, base_weight
from visualize.plots.axes import axes_or_new, choose_module, heat, matrix_size, short, themed


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
    if isinstance(run, Run):
        module = choose_module(run, module, step)
        values = run.weight(module)
    else:
        if module is None:
            raise TypeError("plot_weight needs module=... when it is given a model's name instead of a Run")
        values = base_weight(run, f"{module}.weight")
        values = values.T if transposed else values
    ax = axes_or_new(ax, figsize=matrix_size(values.shape))
    heat(ax, values, f"W, {short(module)}\nas pretrained")
    return ax
