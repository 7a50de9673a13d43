"""How many examples are enough? Held-out answers against the size of the training set, a line a kind of data."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from visualize.naming import proper
from visualize.plots.axes import axes_or_new, themed
from visualize.plots.given import OneRun, as_runs
from visualize.plots.points import UNSAID, point_of, whiskers
from visualize.theme import palette


@themed
def plot_learning_curve(
    runs: OneRun | Sequence[OneRun] | Mapping[str, Sequence[OneRun]],
    *,
    step: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """One point a run: the examples that it was trained on, and the share of held-out questions answered exactly.

    runs: one, several, or several kinds by name, a line each. The score is that of the last evaluation (up to `step`)
    of the run's own task. Whiskers: 95 % of what other questions of that kind would give (Wilson 1927); none where the
    run does not say on how many it was graded. Raises InputError for a run that does not say what it was trained on, or
    was not graded on it.
    """
    kinds = {
        kind: list(as_runs(some).values()) for kind, some in (runs if isinstance(runs, Mapping) else {"": runs}).items()
    }
    ax = axes_or_new(ax)
    colours = palette()
    tones, marks = [colours.delta, colours.wrong, colours.qlora, colours.A], "osD^"
    everywhere: set[int] = set()
    unsaid = False
    for nth, (kind, several) in enumerate(kinds.items()):
        points = sorted(point_of(one, step) for one in several)
        sizes, away = [point.examples for point in points], whiskers(points)
        everywhere |= set(sizes)
        unsaid |= bool(np.isnan(away).any())
        ax.errorbar(
            sizes, [100 * point.score for point in points], away, color=tones[nth % 4], marker=marks[nth % 4],
            markersize=8, linestyle=("-", "--", ":", "-.")[nth % 4], capsize=4, elinewidth=1.4, label=kind,
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_xticks(sorted(everywhere), [f"{size:,}" for size in sorted(everywhere)])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(-4, 104)
    ax.set_xlabel("training examples" + (f" ({UNSAID})" if unsaid else ""))
    ax.set_ylabel("held out, exactly right (%, higher is better)")
    ax.set_title(f"{proper(next(iter(kinds.values()))[0].what)}: how many examples are enough?")
    ax.grid(axis="y")
    if len(kinds) > 1:
        ax.legend()
    return ax
