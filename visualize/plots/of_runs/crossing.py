"""From how many examples on does fine-tuning beat a prompt? One task, reached in three ways."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from engine.measure.shares import wilson
from visualize.naming import proper
from visualize.plots.axes import axes_or_new, themed
from visualize.plots.given import Runs, as_runs
from visualize.plots.points import UNSAID, Point, point_of, whiskers
from visualize.theme import METHOD_LINES, palette


@themed
def plot_crossing(
    runs: Runs,
    *,
    step: int | None = None,
    ax: Axes | None = None,
    shown: pd.Series | None = None,
    asked: int | None = None,
    told: float | None = None,
) -> Axes:
    """The held-out score against the number of examples, on an axis that doubles; whiskers: 95 % intervals.

    runs: fine-tunings of one task that differ in how many examples they trained on; each says on how many questions it
    was graded, or has no whisker. shown: the same task few-shot, a score (0 to 1) for each number of examples in the
    prompt (the index); asked: on how many questions it was graded (default: not known, so no whiskers). told: its score
    by an instruction alone. step: the last evaluation up to it (default: each run's last). Raises InputError if a run
    was not graded on its task.
    """
    named = list(as_runs(runs).values())
    tuned = sorted(point_of(run, step) for run in named)
    ax, colours, method = axes_or_new(ax, figsize=(12, 6)), palette(), named[0].method
    lines = [(tuned, colours.method(method), METHOD_LINES.get(method, "-"), "o", "fine-tuned on the examples")]
    if shown is not None:
        few = [Point(int(n), float(score), *_interval(score, asked)) for n, score in shown.items()]
        lines.append((few, colours.delta, "-.", "s", "few-shot: the examples in the prompt"))
    for points, colour, style, mark, label in lines:
        away = whiskers(points)
        ax.errorbar(
            [_place(point.examples) for point in points], [100 * point.score for point in points], yerr=away,
            color=colour, linestyle=style, marker=mark, markersize=9, capsize=4, elinewidth=1.2,
            label=f"{label}\n({UNSAID})" if np.isnan(away).any() else label,
        )  # fmt: skip
    if told is not None:
        ax.axhline(
            100 * told, color=colours.foreground, linestyle=(0, (6, 3)), label="told: an instruction, no example"
        )
    every = sorted({point.examples for points, *_ in lines for point in points})
    ax.set_xticks([_place(n) for n in every], [f"{n:,}" for n in every])
    ax.set_ylim(-3, 105)
    ax.set_xlabel("examples")
    ax.set_ylabel("held out: exactly right (%)")
    ax.set_title(f"{proper(str(named[0].task))}: told, shown, or fine-tuned")
    ax.grid(axis="y")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def _interval(score: float, asked: int | None) -> tuple[float, float]:
    return wilson(score * asked, asked) if asked else (np.nan, np.nan)


def _place(examples: float) -> float:
    """Where a number of examples stands: its power of two, with no example one place before the first."""
    return float(np.log2(examples)) if examples else -1.0
