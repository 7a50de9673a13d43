"""In how many directions did a matrix move? The singular values of delta-W, over the steps."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from engine.errors import InputError
from engine.language.speaking import tr
from engine.measure import numerical_rank, singular_values
from engine.run.run import as_run
from visualize.naming import short
from visualize.plots.axes import axes_or_new, themed
from visualize.plots.given import OneRun, choose_module
from visualize.theme import palette

_MOST_LINES = 32


@themed
def plot_spectrum(run: OneRun, *, module: str | None = None, step: int | None = None, ax: Axes | None = None) -> Axes:
    """The largest singular values of delta-W at every captured step up to `step`, on a logarithmic axis.

    At most 32 lines, darkest first. Where only one step was captured, as of a saved adapter, they stand side by side,
    largest first. Values that are rounding error, as all are at step 0, are left out; the title
    says how many are not at the last step, or of a sketched module how many were kept, and what they miss. Raises
    InputError for a step or module that was not captured.
    """
    run = as_run(run)
    module = choose_module(run, module, step)
    steps = [captured for captured in run.steps if step is None or captured <= step]
    if not steps:
        raise InputError(f"run {run.name} captured nothing by step {step}; its first capture is of step {run.steps[0]}")
    values = np.array([singular_values(run, module, captured)[:_MOST_LINES] for captured in steps])
    ranks = [numerical_rank(row, run.shape(module)) for row in values]
    shown = np.where(np.arange(values.shape[1]) < np.array(ranks)[:, None], values, np.nan)
    ax = axes_or_new(ax)
    colour = palette().delta
    if len(steps) == 1:
        ax.plot(range(1, values.shape[1] + 1), shown[0], "o-", color=colour)
    else:
        for nth, over_steps in enumerate(shown.T):
            strength = 1 - 0.75 * nth / max(1, values.shape[1] - 1)
            ax.plot(steps, over_steps, color=colour, alpha=strength, marker="o", markersize=3)
    if np.isfinite(shown).any():
        ax.set_yscale("log")
        if np.nanmax(shown) < 100 * np.nanmin(shown):  # powers of ten alone would be one or two
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
    if run.is_sketched(module):
        missed = run.sketch(module, steps[-1]).missed
        about = tr(
            "the {count} largest were kept; the others hold {share} % of the energy",
            count=values.shape[1], share=f"{100 * missed**2:.2g}",
        )  # fmt: skip
    else:
        about = _counted(ranks[-1], run.shape(module))
    title = tr("Singular values of delta-W, {module}", module=short(module))
    ax.set_title(f"{title}\n{about}, {run.when(steps[-1])}")
    ax.set_xlabel(tr("step") if len(steps) > 1 else tr("direction, largest first"))
    ax.set_ylabel(tr("singular value (weights' unit)"))
    ax.grid(axis="y")
    return ax


def _counted(rank: int, shape: tuple[int, ...]) -> str:
    kept = tr("at least {count}", count=rank) if rank == _MOST_LINES else str(rank)
    return tr("{kept} of {most} possible are above rounding error", kept=kept, most=min(shape))
