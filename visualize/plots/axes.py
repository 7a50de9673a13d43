"""What do all plots share? Where they draw, which module they take, and how a signed matrix becomes an image."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from engine.measure import norm
from engine.run.base import base_weight
from engine.run.run import Run
from visualize.theme import current_theme, diverging_map, limit_of, palette, rc

P = ParamSpec("P")
T = TypeVar("T")


def themed(plot: Callable[P, T]) -> Callable[P, T]:
    """Draw in the current theme, whatever matplotlib's settings are around it."""

    @wraps(plot)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        with plt.rc_context(rc(palette())):
            return plot(*args, **kwargs)

    return drawn


def axes_or_new(ax: Axes | None, **options: Any) -> Axes:
    """The given axes, or those of a new figure."""
    return plt.subplots(**options)[1] if ax is None else ax


def matrix_size(shape: tuple[int, ...]) -> tuple[float, float]:
    """Inches for one matrix with its scale, whichever way it is longer."""
    out, width = shape
    return (min(12.0, max(5.8, 5.0 * width / out + 2.6)), 6.6) if width <= 2 * out else (12.0, 12.0 * out / width + 2.4)


def figure_of(ax: Axes) -> Figure | SubFigure:
    return ax.get_figure()  # type: ignore[return-value]


def choose_module(run: Run, module: str | None, step: int | None) -> str:
    """The module asked for, or the one that moved furthest by this step."""
    if module is not None:
        run.shape(module)  # an unknown one is named here, before anything is drawn
        return module
    return max(run.modules, key=lambda name: norm(run, name, step))


def matrix_of(run: Run | str, module: str | None, step: int | None) -> tuple[str, np.ndarray]:
    """A module's name and its W, (out, in), as it was before training.

    run: a Run, or a base model's name ("embedded") or folder, for which `module` must be given; of that, W is as the
    model's files keep it.
    """
    if isinstance(run, Run):
        module = choose_module(run, module, step)
        return module, run.weight(module)
    if module is None:
        raise TypeError("a model's name instead of a Run needs module=... too")
    return module, base_weight(run, f"{module}.weight")


def last_step(run: Run, step: int | None) -> int:
    return run.steps[-1] if step is None and run.steps else step or 0


def heat(ax: Axes, values: np.ndarray, title: str, *, bar: bool = True) -> None:
    """One signed matrix, one cell a weight, zero in the ground's colour; beside it the scale in the weights' unit."""
    limit = limit_of(values)
    image = ax.imshow(
        values, cmap=diverging_map(current_theme()), vmin=-limit, vmax=limit, aspect="equal", rasterized=True
    )
    ax.set_title(title)
    ax.set_xlabel(f"in ({values.shape[1]})")
    ax.set_ylabel(f"out ({values.shape[0]})")
    for spine in ax.spines.values():
        spine.set_visible(True)
    if bar:
        scale = figure_of(ax).colorbar(image, ax=ax, fraction=0.05, pad=0.03, aspect=25)
        scale.set_label("weight", labelpad=8)
        scale.outline.set_visible(False)  # type: ignore[operator]
