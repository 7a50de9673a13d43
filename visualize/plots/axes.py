"""What do all plots share? Where they draw, in which theme, and how a signed matrix becomes an image."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from engine.language.speaking import tr
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
    return (min(12.0, max(5.8, 5.0 * width / out + 2.6)), 6.6) if width <= 2 * out else (12.0, 9.4 * out / width + 1.9)


def figure_of(ax: Axes) -> Figure | SubFigure:
    return ax.get_figure()  # type: ignore[return-value]


def heat(
    ax: Axes,
    values: np.ndarray,
    title: str,
    *,
    limit: float | None = None,
    aspect: Literal["equal", "auto"] = "equal",
    bar: bool = True,
) -> None:
    """One signed matrix, one cell a weight, zero in the ground's colour; beside it the scale in the weights' unit.

    limit: the magnitude that takes the strongest colour (default: of the values).
    aspect: "auto" fills the axes.
    """
    limit = limit_of(values) if limit is None else limit
    image = ax.imshow(
        values, cmap=diverging_map(current_theme()), vmin=-limit, vmax=limit, aspect=aspect, rasterized=True
    )
    ax.set_title(title)
    ax.set_xlabel(tr("in ({count})", count=values.shape[1]))
    ax.set_ylabel(tr("out ({count})", count=values.shape[0]))
    for spine in ax.spines.values():
        spine.set_visible(True)
    if bar:
        scale = figure_of(ax).colorbar(image, ax=ax, fraction=0.05, pad=0.03, aspect=25)
        scale.set_label(tr("weight"), labelpad=8)
        scale.outline.set_visible(False)
