"""When did which layer move? The size of each layer's change, step by step."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from engine.run.run import Run
from visualize.naming import layer_of, short
from visualize.plots.axes import axes_or_new, themed
from visualize.theme import palette

_MOST_NAMED = 8  # lines in the legend: of more layers, the first and the last are named


@themed
def plot_norms(run: Run, *, module: str | None = None, step: int | None = None, ax: Axes | None = None) -> Axes:
    """The norm of delta-W beside that of W, in per cent, at every captured step up to `step`: one line a layer.

    A layer's is of all its matrices together (the root of the sum of squares); the first layer is the palest line.
    Matrices outside the layers are dashed. module: its own line besides. Raises InputError for a module or step that
    was not captured, if the run holds no norms, or if the base is not at hand.
    """
    if module is not None:
        run.shape(module)
    moved = run.norms.loc[:step, run.modules] ** 2
    size = pd.Series({name: float(np.linalg.norm(run.weight(name))) ** 2 for name in run.modules})
    layers = pd.Series({name: layer_of(name) for name in run.modules}, dtype="Int64")
    ax = axes_or_new(ax)
    colours = palette()
    numbers = sorted(layers.dropna().unique())
    for at, number in enumerate(numbers):
        own = layers.index[layers.eq(number).fillna(False)]
        share = 100 * np.sqrt(moved[own].sum(axis=1) / size[own].sum())
        named = len(numbers) <= _MOST_NAMED or at in (0, len(numbers) - 1)
        strength = 0.25 + 0.75 * (at + 1) / len(numbers)
        label = f"layer {number}" if named else None
        ax.plot(share.index, share, color=colours.delta, alpha=strength, label=label)
    for name in layers.index[layers.isna()]:
        share = 100 * np.sqrt(moved[name] / size[name])
        ax.plot(share.index, share, color=colours.W, linestyle="--", label=short(name))
    if module is not None:
        share = 100 * np.sqrt(moved[module] / size[module])
        ax.plot(share.index, share, color=colours.A, linestyle=":", linewidth=3, label=short(module))
    ax.set_ylim(bottom=0)
    ax.set_xlabel("step")
    ax.set_ylabel("norm of delta-W (% of W's)")
    ax.set_title(f"{run.what}: how far each layer has moved")
    ax.grid(axis="y")
    ax.legend()
    return ax
