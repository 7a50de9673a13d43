"""Do sixteen levels lie where the weights are? Weights beside the levels of NF4, FP4 and int4."""

import numpy as np
from matplotlib.axes import Axes

from engine.measure.quantize import KINDS, Kind, levels, quantization_error, quantize
from visualize.naming import percent, short
from visualize.plots.axes import axes_or_new, themed
from visualize.plots.given import OneRun, matrix_of
from visualize.theme import palette

_BINS = 129
_TALL = 1.7  # rows for the weights themselves; each type has one


@themed
def plot_levels(
    run: OneRun,
    *,
    module: str | None = None,
    ax: Axes | None = None,
    block_size: int = 64,
) -> Axes:
    """How the weights of W are spread, each over the largest of its block; below, the levels of each 4-bit type.

    A mark is as tall as the share of weights that take that level, on one scale for all types. At each type's name:
    the norm of what it loses beside the norm of W. run: a Run, or a model's name with `module`. Raises
    InputError if the weights are not at hand.
    """
    module, weight = matrix_of(run, module)
    ax = axes_or_new(ax, figsize=(11, 7.2))
    colours = palette()
    flat = weight.reshape(-1)
    scales = np.repeat(quantize(weight, "nf4", block_size).scales, block_size)[: flat.size]
    ratios = flat / np.maximum(scales, np.finfo(np.float32).tiny)
    counts, edges = np.histogram(ratios, bins=_BINS, range=(-1, 1))
    ax.stairs(_TALL * counts / counts.max(), edges, fill=True, color=colours.W, baseline=0)
    ticks = [(0.6, "weights")]
    taken = {kind: _taken(weight, kind, block_size) for kind in KINDS}
    most = max(times.max() for _, times in taken.values())
    for base, kind in zip((-1.0, -2.0, -3.0), KINDS, strict=True):
        ax.axhline(base, color=colours.grid, linewidth=1)
        # A level that is hardly ever taken keeps a stump, so that all are seen.
        places, times = taken[kind]
        height = np.maximum(0.85 * times / most, 0.04)
        ax.vlines(places, base, base + height, color=colours.qlora, linewidth=4, label=kind)
        error = quantization_error(weight, kind, block_size)
        ticks.append((base + 0.4, f"{kind}\nloses {percent(error.relative, 1)}"))
    ax.set_yticks([place for place, _ in ticks], [name for _, name in ticks])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-len(KINDS) - 0.05, _TALL + 0.05)
    ax.set_xlim(-1.05, 1.05)
    ax.set_xlabel(f"weight, over the largest of its block of {block_size}")
    ax.set_title(f"W, {short(module)}: where the weights are, and the sixteen levels")
    ax.spines["left"].set_visible(False)
    return ax


def _taken(weight: np.ndarray, kind: Kind, block_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Which levels there are, and how many weights take each. FP4 and int4 have zero twice: it is one."""
    places, same = np.unique(levels(kind), return_inverse=True)
    return places, np.bincount(same[quantize(weight, kind, block_size).codes], minlength=len(places))
