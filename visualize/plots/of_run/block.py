"""What becomes of one block of weights in four bits? Each weight, and the level that it is moved to."""

import numpy as np
from matplotlib.axes import Axes

from engine.errors import InputError
from engine.measure.quantize import Kind, levels, quantize
from visualize.naming import short
from visualize.plots.axes import axes_or_new, themed
from visualize.plots.given import OneRun, matrix_of
from visualize.theme import palette


@themed
def plot_block(
    run: OneRun,
    *,
    module: str | None = None,
    ax: Axes | None = None,
    kind: Kind = "nf4",
    block_size: int = 64,
    block: int = 0,
) -> Axes:
    """The weights of one block of W in their order, as dots, and where quantisation puts them, as strokes.

    The lines across are the sixteen levels times the block's largest magnitude, whose dot is ringed. block: which one,
    counted row by row. run: a Run, or a model's name with `module`. Raises InputError for a block that is not there, or
    if the weights are not at hand.
    """
    if block_size < 1:
        raise InputError(f"block_size is {block_size}; a block has at least 1 weight, and bitsandbytes' have 64")
    module, weight = matrix_of(run, module)
    blocks = -(-weight.size // block_size)
    if not 0 <= block < blocks:
        raise InputError(
            f"block is {block}; {module} has {blocks} blocks of {block_size} weights, from 0 to {blocks - 1}"
        )
    part = slice(block * block_size, min((block + 1) * block_size, weight.size))
    before, after = weight.reshape(-1)[part], quantize(weight, kind, block_size).values().reshape(-1)[part]
    largest = int(np.abs(before).argmax())
    ax = axes_or_new(ax, figsize=(13, 6.4))
    colours = palette()
    at = np.arange(len(before))
    for level in levels(kind) * abs(before[largest]):
        ax.axhline(level, color=colours.grid, linewidth=1.2, zorder=0)
    ax.vlines(at, before, after, color=colours.wrong, linewidth=1.6)
    ax.plot(at, after, "_", color=colours.qlora, markersize=9, markeredgewidth=3, label=f"in four bits ({kind})")
    ax.plot(at, before, "o", color=colours.W, markersize=5, label="weight")
    ax.plot(largest, before[largest], "o", markersize=15, markerfacecolor="none", markeredgecolor=colours.foreground,
            markeredgewidth=1.8, linestyle="none", label="the largest: the block's scale")  # fmt: skip
    ax.set_xlim(-1, len(before))
    ax.set_ylim(*(1.12 * abs(before[largest]) * np.array([-1, 1]) if before[largest] else (-1, 1)))
    ax.set_xlabel(f"place in block {block} of {blocks}")
    ax.set_ylabel("weight")
    error = float(np.sqrt(np.mean((before - after) ** 2, dtype=np.float64)))
    ax.set_title(f"W, {short(module)}, block {block}: moved by {error:.2g} (root mean square)", pad=34)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, borderaxespad=0.2)
    return ax
