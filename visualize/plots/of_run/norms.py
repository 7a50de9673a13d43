"""When did which layer move? The size of each layer's change, step by step."""

from collections import Counter
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from engine.errors import InputError
from engine.measure.layers import Layer, layers_of
from engine.run.run import as_run
from visualize.naming import layer_name, proper, short
from visualize.plots.axes import axes_or_new, themed
from visualize.plots.given import OneRun, drawn_together
from visualize.theme import palette

_MOST_NAMED = 8  # lines in the legend: of more layers, the first and the last are named


@themed
def plot_norms(run: OneRun, *, module: str | None = None, step: int | None = None, ax: Axes | None = None) -> Axes:
    """The norm of delta-W beside that of W, in per cent, at every captured step up to `step`: one line a layer.

    A layer's is of all its matrices together (the root of the sum of squares); the first layer is the palest line.
    Of a model with several stacks of layers, as one that sees and writes, each has its own kind of line.
    Matrices outside the layers are dashed. module: its own line besides. Where only one step was captured, as of a
    saved adapter, the layers stand side by side instead. Raises InputError for a module or step that was not captured,
    if the run holds no norms, or if the base is not at hand.
    """
    run = as_run(run)
    if module is not None:
        run.shape(module)
    drawn = drawn_together(run)
    moved = run.norms.loc[:step, drawn] ** 2
    if moved.empty:
        raise InputError(f"run {run.name} captured nothing by step {step}; give a later one")
    size = pd.Series({name: float(np.linalg.norm(run.weight(name))) ** 2 for name in drawn})
    inside = layers_of(drawn)

    def share(names: list[str]) -> pd.Series:
        whole = size[names].sum()  # not a number where W was zero, as biases often are
        return 100 * np.sqrt(moved[names].sum(axis=1) / (whole if whole else np.nan))

    layers = dict.fromkeys(inside.values())
    by_layer = {layer: share([name for name in inside if inside[name] == layer]) for layer in layers}
    outside = [name for name in drawn if name not in inside]
    times = Counter(map(short, outside))
    others = {short(name) if times[short(name)] == 1 else name: share([name]) for name in outside}
    own = {} if module is None else {short(module): share([module])}
    ax = axes_or_new(ax)
    (_side_by_side if len(moved) == 1 else _over_steps)(ax, by_layer, others, own)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("norm of delta-W (% of W's)")
    when = f", {run.when(moved.index[0])}" if len(moved) == 1 else ""
    ax.set_title(f"{proper(run.what)}: how far each layer has moved{when}")
    ax.grid(axis="y")
    if ax.get_legend_handles_labels()[1]:
        ax.legend()
    return ax


def _stacks(by_layer: dict[Layer, pd.Series]) -> list[tuple[list[Layer], Any, str]]:
    """Each stack of layers, with the line and the mark that tell it from the others; most models have one."""
    towers = list(dict.fromkeys(layer.tower for layer in by_layer))
    looks = zip(towers, cycle(("-", "-.", (0, (1, 1)))), cycle("os^D"), strict=False)
    return [([layer for layer in by_layer if layer.tower == tower], line, mark) for tower, line, mark in looks]


def _over_steps(
    ax: Axes, by_layer: dict[Layer, pd.Series], others: dict[str, pd.Series], own: dict[str, pd.Series]
) -> None:
    colours = palette()
    for layers, line, _ in _stacks(by_layer):
        for nth, layer in enumerate(layers):
            named = len(by_layer) <= _MOST_NAMED or nth in (0, len(layers) - 1)
            strength, label = 0.25 + 0.75 * (nth + 1) / len(layers), layer_name(layer) if named else None
            share = by_layer[layer]
            ax.plot(share.index, share, linestyle=line, color=colours.delta, alpha=strength, label=label)
    for name, share in others.items():
        ax.plot(share.index, share, color=colours.W, linestyle="--", label=name)
    for name, share in own.items():
        ax.plot(share.index, share, color=colours.A, linestyle=":", linewidth=3, label=name)
    ax.set_xlabel("step")


def _side_by_side(
    ax: Axes, by_layer: dict[Layer, pd.Series], others: dict[str, pd.Series], own: dict[str, pd.Series]
) -> None:
    colours = palette()
    for layers, line, mark in _stacks(by_layer):
        tower = layers[0].tower
        said = "all matrices of a layer" + (f" of {tower}" if tower else "")
        shares = [by_layer[layer].iloc[0] for layer in layers]
        ax.plot(
            [layer.number for layer in layers], shares, marker=mark, linestyle=line, color=colours.delta, label=said
        )
    for name, share in others.items():
        ax.axhline(share.iloc[0], color=colours.W, linestyle="--", label=name)
    for name, share in own.items():
        ax.axhline(share.iloc[0], color=colours.A, linestyle=":", linewidth=3, label=name)
    if by_layer:
        ax.set_xlabel("layer")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:  # an adapter of the head alone, say: there is nothing along the axis
        ax.set_xticks([])
