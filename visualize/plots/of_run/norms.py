"""When did which layer move? The size of each layer's change, step by step."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from engine.errors import InputError
from engine.run.run import as_run
from visualize.naming import layer_of, proper, short
from visualize.plots.axes import axes_or_new, themed
from visualize.plots.given import OneRun, drawn_together
from visualize.theme import palette

_MOST_NAMED = 8  # lines in the legend: of more layers, the first and the last are named


@themed
def plot_norms(run: OneRun, *, module: str | None = None, step: int | None = None, ax: Axes | None = None) -> Axes:
    """The norm of delta-W beside that of W, in per cent, at every captured step up to `step`: one line a layer.

    A layer's is of all its matrices together (the root of the sum of squares); the first layer is the palest line.
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
    layers = pd.Series({name: layer_of(name) for name in drawn}, dtype="Int64")
    inside = layers.dropna().astype(int)

    def share(names: pd.Index) -> pd.Series:
        whole = size[names].sum()  # not a number where W was zero, as biases often are
        return 100 * np.sqrt(moved[names].sum(axis=1) / (whole if whole else np.nan))

    by_layer = pd.DataFrame({number: share(names) for number, names in inside.groupby(inside).groups.items()})
    others = {short(name): share(pd.Index([name])) for name in layers.index[layers.isna()]}
    own = {} if module is None else {short(module): share(pd.Index([module]))}
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


def _over_steps(ax: Axes, by_layer: pd.DataFrame, others: dict[str, pd.Series], own: dict[str, pd.Series]) -> None:
    colours, count = palette(), by_layer.shape[1]
    for nth, (number, share) in enumerate(by_layer.items()):
        named = count <= _MOST_NAMED or nth in (0, count - 1)
        strength = 0.25 + 0.75 * (nth + 1) / count
        label = f"layer {number}" if named else None
        ax.plot(share.index, share, color=colours.delta, alpha=strength, label=label)
    for name, share in others.items():
        ax.plot(share.index, share, color=colours.W, linestyle="--", label=name)
    for name, share in own.items():
        ax.plot(share.index, share, color=colours.A, linestyle=":", linewidth=3, label=name)
    ax.set_xlabel("step")


def _side_by_side(ax: Axes, by_layer: pd.DataFrame, others: dict[str, pd.Series], own: dict[str, pd.Series]) -> None:
    colours = palette()
    ax.plot(by_layer.columns, by_layer.iloc[0], "o-", color=colours.delta, label="all matrices of a layer")
    for name, share in others.items():
        ax.axhline(share.iloc[0], color=colours.W, linestyle="--", label=name)
    for name, share in own.items():
        ax.axhline(share.iloc[0], color=colours.A, linestyle=":", linewidth=3, label=name)
    ax.set_xlabel("layer")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
