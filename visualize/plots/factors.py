"""How do two thin matrices make a whole one? B, A and their product, side by side."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from engine.run.run import Run
from visualize.naming import short
from visualize.plots.axes import choose_module, heat, last_step, themed
from visualize.theme import palette


@themed
def plot_factors(
    run: Run,
    *,
    module: str | None = None,
    step: int | None = None,
    ax: Axes | None = None,
    figure: Figure | None = None,
) -> np.ndarray:
    """B (out, r), A (r, in) and delta-W = scaling * B A (out, in) of a LoRA module, in true proportions.

    Each has its own colour scale. Returns the three Axes, as an array: B, A, delta-W. `ax` is not used: three are
    needed, in a `figure` or a new one. Raises InputError if the module has no factors.
    """
    module = choose_module(run, module, step)
    factors = run.factors(module, step)
    (out, r), width = factors.B.shape, factors.A.shape[1]
    # True proportions: one scale for all three, as large as height and width allow.
    height, gap, margin = 6.6, 1.25, 1.05
    scale = min((height - 2.1) / out, 11.5 / (r + 2 * width))
    widths = [r * scale, width * scale, width * scale]
    heights = [out * scale, r * scale, out * scale]
    total = margin + sum(widths) + 2 * gap + 1.7
    figure = figure or plt.figure(figsize=(total, height), layout="none")
    lefts = [margin, margin + widths[0] + gap, margin + widths[0] + widths[1] + 2 * gap]
    middle = (height - 0.5) / 2
    axes = np.array([
        figure.add_axes((left / total, (middle - tall / 2) / height, wide / total, tall / height))
        for left, wide, tall in zip(lefts, widths, heights, strict=True)
    ])  # fmt: skip
    colours = palette()
    for ax_, values, name, colour in (
        (axes[0], factors.B, "B", colours.B),
        (axes[1], factors.A, "A", colours.A),
        (axes[2], factors.product(), "delta-W", colours.delta),
    ):
        heat(ax_, values, name, bar=False)
        ax_.set_title(f"{name}, {values.shape[0]} x {values.shape[1]}", color=colour)
        for spine in ax_.spines.values():
            spine.set_color(colour)
            spine.set_linewidth(2)
    axes[0].set_xticks([])
    axes[0].set_xlabel(f"r = {r}")
    axes[1].set_yticks([])
    axes[1].set_ylabel(f"r = {r}", rotation=0, ha="right", va="center")
    for left, sign in ((lefts[1], "\N{MULTIPLICATION SIGN}"), (lefts[2], "=")):
        figure.text((left - 0.85 * gap) / total, middle / height, sign, ha="center", va="center", fontsize=24)
    place = axes[2].get_position()
    scale_axes = figure.add_axes((place.x1 + 0.25 / total, place.y0, 0.22 / total, place.height))
    bar = figure.colorbar(axes[2].images[0], cax=scale_axes)
    bar.set_label("weight")
    figure.suptitle(
        f"{short(module)}, {run.when(last_step(run, step))}: delta-W = {factors.scaling:g} B A", fontsize=17, y=0.985
    )
    return axes
