"""What does a matrix lose in four bits, and where?"""

from matplotlib.axes import Axes

from engine.measure.quantize import Kind, quantization_error, quantize
from visualize.naming import percent, short
from visualize.plots.axes import axes_or_new, heat, matrix_size, themed
from visualize.plots.given import OneRun, matrix_of


@themed
def plot_quantization_error(
    run: OneRun,
    *,
    module: str | None = None,
    ax: Axes | None = None,
    kind: Kind = "nf4",
    block_size: int = 64,
    double: bool = False,
) -> Axes:
    """W in four bits minus W: (out, in), one cell a weight, an unchanged one in the ground's colour.

    The title says how large it is beside W. double: scales in eight bits. run: a Run, or a model's name with `module`.
    Raises InputError if the weights are not at hand.
    """
    module, weight = matrix_of(run, module)
    error = quantization_error(weight, kind, block_size, double)
    ax = axes_or_new(ax, figsize=matrix_size(weight.shape))
    lost = f"{kind}{' double' * double}: {percent(error.relative, 1)} of W"
    heat(ax, quantize(weight, kind, block_size, double).values() - weight, f"error, {short(module)}\n{lost}")
    return ax
