"""From how many examples on does fine-tuning beat a prompt? One task, reached in three ways."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from engine.errors import InputError
from engine.measure.shares import wilson
from engine.run.run import Run
from visualize.plots.axes import axes_or_new, themed
from visualize.theme import METHOD_LINES, palette


@themed
def plot_crossing(
    run: Run | Sequence[Run],
    *,
    module: str | None = None,
    step: int | None = None,
    ax: Axes | None = None,
    shown: pd.Series | None = None,
    told: float | None = None,
) -> Axes:
    """The held-out score against the number of examples, on an axis that doubles; shares with their 95 % intervals.

    run: fine-tunings of one task that differ in how many examples they trained on. shown: the same task few-shot, a
    score (0 to 1) for each number of examples in the prompt (the index). told: its score by an instruction alone.
    step: the evaluated step to take (default: each run's last). module: not used. Raises InputError if a run was not
    graded on its task.
    """
    runs = sorted([run] if isinstance(run, Run) else run, key=lambda one: one.examples)
    tuned = pd.Series([_score(one, step) for one in runs], [one.examples for one in runs])
    graded = runs[0].questions
    ax, colours, method = axes_or_new(ax, figsize=(12, 6)), palette(), runs[0].method
    lines = [(tuned, colours.method(method), METHOD_LINES.get(method, "-"), "o", "fine-tuned on the examples")]
    if shown is not None:
        lines.append((shown, colours.delta, "-.", "s", "few-shot: the examples in the prompt"))
    for scores, colour, style, mark, label in lines:
        ends = np.array([wilson(score * graded, graded) for score in scores]).T
        away = 100 * np.abs(ends - scores.to_numpy())
        ax.errorbar(
            [_place(n) for n in scores.index], 100 * scores, yerr=away, color=colour, linestyle=style, marker=mark,
            markersize=9, capsize=4, elinewidth=1.2, label=label,
        )  # fmt: skip
    if told is not None:
        ax.axhline(
            100 * told, color=colours.foreground, linestyle=(0, (6, 3)), label="told: an instruction, no example"
        )
    every = sorted({n for scores, *_ in lines for n in scores.index})
    ax.set_xticks([_place(n) for n in every], [f"{n:,}" for n in every])
    ax.set_ylim(-3, 105)
    ax.set_xlabel("examples")
    ax.set_ylabel("held out: exactly right (%)")
    ax.set_title(f"{runs[0].task}: told, shown, or fine-tuned")
    ax.grid(axis="y")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def _place(examples: float) -> float:
    """Where a number of examples stands: its power of two, with no example one place before the first."""
    return float(np.log2(examples)) if examples else -1.0


def _score(run: Run, step: int | None) -> float:
    if run.task not in run.skills:
        raise InputError(f"run {run.name} was not graded on its task; hold a part of the data out")
    scores = run.skills[run.task]
    return float(scores.iloc[-1] if step is None else scores.loc[:step].iloc[-1])
