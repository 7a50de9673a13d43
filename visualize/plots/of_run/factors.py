"""How do two thin matrices make a whole one? B, A and their product, side by side."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from engine.language.speaking import tr
from engine.run.run import as_run
from visualize.naming import short
from visualize.plots.axes import heat, themed
from visualize.plots.given import OneRun, choose_module, last_step
from visualize.theme import palette

# In inches: between the matrices, left of them, right of them for the scale; above and below them together.
_GAP, _LEFT, _RIGHT, _ABOVE = 1.25, 1.05, 1.7, 2.1
_WIDE, _TALL = 11.5, 6.6
_PIXELS, _THINNEST, _THICK = 0.02, 0.12, 0.6  # a side has so much a weight, but at least and at most so much in all


@themed
def plot_factors(
    run: OneRun, *, module: str | None = None, step: int | None = None, figure: Figure | None = None
) -> Figure:
    """B (out, r), A (r, in) and delta-W = scaling * B A (out, in) of a LoRA module, in a `figure` or a new one.

    In true proportions, but for a side that would be too thin to see: it is drawn thicker, and the title says so. Each
    has its own colour scale. Raises InputError if the module has no factors.
    """
    run = as_run(run)
    module = choose_module(run, module, step)
    factors = run.factors(module, step)
    (out, r), width = factors.B.shape, factors.A.shape[1]
    borders = _LEFT + 2 * _GAP + _RIGHT
    room, height = (_WIDE, _TALL) if figure is None else figure.get_size_inches() - (borders, 0)
    scale = min((height - _ABOVE) / out, room / (r + 2 * width))  # one for all three
    tall, wide, thin = (max(side * scale, _least(side)) for side in (out, width, r))
    total = borders + thin + 2 * wide if figure is None else room + borders
    figure = figure or plt.figure(figsize=(total, height), layout="none")
    lefts = [_LEFT, _LEFT + thin + _GAP, _LEFT + thin + wide + 2 * _GAP]
    middle = (height - 0.5) / 2

    def place(left: float, wide: float, tall: float) -> Axes:
        return figure.add_axes((left / total, (middle - tall / 2) / height, wide / total, tall / height))

    colours = palette()
    panels = (
        (place(lefts[0], thin, tall), factors.B, "B", colours.B),
        (place(lefts[1], wide, thin), factors.A, "A", colours.A),
        (place(lefts[2], wide, tall), factors.product(), "delta-W", colours.delta),
    )
    for ax, values, name, colour in panels:
        heat(ax, values, name, aspect="auto", bar=False)
        thicker = "\n" + tr("(drawn thicker)") if min(values.shape) * scale < _least(min(values.shape)) else ""
        ax.set_title(f"{name}, {values.shape[0]} x {values.shape[1]}{thicker}", color=colour)
        for spine in ax.spines.values():
            spine.set_color(colour)
            spine.set_linewidth(2)
    (b, *_), (a, *_), (change, *_) = panels
    b.set_xticks([])
    b.set_xlabel(f"r = {r}")
    a.set_yticks([])
    a.set_ylabel(f"r = {r}", rotation=0, ha="right", va="center")
    for left, sign in ((lefts[1], "\N{MULTIPLICATION SIGN}"), (lefts[2], "=")):
        figure.text((left - 0.85 * _GAP) / total, middle / height, sign, ha="center", va="center", fontsize=24)
    scale_axes = place(lefts[2] + wide + 0.25, 0.22, tall)
    figure.colorbar(change.images[0], cax=scale_axes).set_label(tr("weight"))
    figure.suptitle(
        f"{short(module)}, {run.when(last_step(run, step))}: delta-W = {factors.scaling:g} B A", fontsize=17, y=0.985
    )
    return figure


def _least(side: int) -> float:
    """Inches below which the weights along a side would not be seen: some for each, up to what is always enough."""
    return min(max(side * _PIXELS, _THINNEST), _THICK)
