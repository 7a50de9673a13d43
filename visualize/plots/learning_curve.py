"""How many examples are enough? Held-out answers against the size of the training set, a line a kind of data."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from engine.errors import InputError
from engine.measure.shares import wilson
from engine.run.run import Run
from visualize.plots.axes import axes_or_new, themed
from visualize.theme import palette


@themed
def plot_learning_curve(
    run: Run | Sequence[Run] | Mapping[str, Sequence[Run]],
    *,
    module: str | None = None,
    step: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """One point a run: the examples that it was trained on, and the share of held-out questions answered exactly.

    run: one, several, or several kinds by name, a line each. The score is that of the last evaluation (up to `step`)
    of the run's own task. Whiskers: 95 % of what other questions of that kind would give (Wilson 1927). module: not
    used. Raises InputError for a run that does not say what it was trained on, or was not graded on it.
    """
    kinds = run if isinstance(run, Mapping) else {"": [run] if isinstance(run, Run) else run}
    ax = axes_or_new(ax)
    colours = palette()
    tones, marks = [colours.delta, colours.wrong, colours.qlora, colours.A], "osD^"
    everywhere: set[int] = set()
    for nth, (kind, runs) in enumerate(kinds.items()):
        points = sorted(_point(one, step) for one in runs)
        sizes, scores, graded = (np.array(values) for values in zip(*points, strict=True))
        everywhere |= {int(size) for size in sizes}
        low, high = np.array([wilson(score * n, n) for score, n in zip(scores, graded, strict=True)]).T
        bars = 100 * np.array([np.maximum(scores - low, 0), np.maximum(high - scores, 0)])
        ax.errorbar(sizes, 100 * scores, bars, color=tones[nth % 4], marker=marks[nth % 4], markersize=8,
                    linestyle=("-", "--", ":", "-.")[nth % 4], capsize=4, elinewidth=1.4, label=kind)  # fmt: skip
    ax.set_xscale("log")
    ax.set_xticks(sorted(everywhere), [f"{size:,}" for size in sorted(everywhere)])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(-4, 104)
    ax.set_xlabel("training examples")
    ax.set_ylabel("held out, exactly right (%, higher is better)")
    ax.set_title(f"{next(iter(kinds.values()))[0].what}: how many examples are enough?")
    ax.grid(axis="y")
    if len(kinds) > 1:
        ax.legend()
    return ax


def _point(run: Run, step: int | None) -> tuple[int, float, int]:
    """Examples trained on, share right, and of how many questions."""
    if run.task not in run.skills:
        raise InputError(f"run {run.name} was not graded on its task; fine-tune with held-out data")
    return run.examples, float(run.skills[run.task].loc[:step].iloc[-1]), min(run.questions, 100)
