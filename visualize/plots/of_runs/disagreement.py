"""Do loss and answers tell the same story? One skill's path through training, loss against right answers."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from engine.errors import InputError
from engine.measure.disagreement import disagreements, evaluations
from visualize.naming import proper
from visualize.plots.axes import axes_or_new, themed
from visualize.plots.given import Runs, as_runs
from visualize.theme import palette

_LEAST = 0.01  # nats: a smaller loss is drawn as this, for the axis is logarithmic


@themed
def plot_disagreement(
    runs: Runs,
    *,
    step: int | None = None,
    ax: Axes | None = None,
    skill: str | None = None,
) -> Axes:
    """Every evaluation of a skill as a point, joined in order: loss, nats a token, from bad to good, and share right.

    Training that goes well goes to the right and upwards. Where a later point lies further right and lower, the loss
    improved and the answers got worse: the widest such pair of each run is joined in the colour of what is wrong.
    runs: one or several, a path each. skill: by default the one whose answers got most worse while its loss fell, or
    else the first graded. step: up to it. A run that was not graded on that skill is left out. Raises InputError if a
    run was not graded at all, none on that skill, or none by that step.
    """
    named = as_runs(runs)
    table = evaluations(named, [skill] if skill else None)
    if step is not None:
        first = table.step.min()
        table = table[table.step <= step]
        if table.empty:
            raise InputError(f"nothing was graded by step {step}; the first evaluation is of step {first}")
    table = table[table.skill == (skill or _most_parted(table))]
    ax = axes_or_new(ax, figsize=(11, 6.6))
    colours = palette()
    tones = (colours.muted, colours.A, colours.delta, colours.qlora)
    marked, notes = "loss better, answers worse", []
    drawn = [name for name in named if name in set(table.run)]
    for nth, name in enumerate(drawn):
        path = table[table.run == name].reset_index(drop=True)
        loss, right = path.loss.clip(lower=_LEAST), 100 * path.exact
        ax.plot(loss, right, "osD^"[nth % 4] + ("-", "--", ":", "-.")[nth % 4], color=tones[nth % 4], linewidth=1.8,
                markersize=7, label=name if len(drawn) > 1 else "evaluation")  # fmt: skip
        notes += [(loss[at], right[at], path.step[at]) for at in (0, len(path) - 1)]
        for row in _forward(path).head(1).itertuples():
            ends = [at for step in (row.high_step, row.low_step) for at in path.index[path.step == step]]
            ax.plot(loss[ends], right[ends], color=colours.wrong, linewidth=5, alpha=0.8, label=marked, zorder=3)
            marked = "_"  # named once
            notes += [(loss[at], right[at], path.step[at]) for at in ends]
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.margins(0.1, 0.12)
    ax.invert_xaxis()
    taken = np.zeros((0, 2))
    for x, y, at in notes:  # where two would lie on each other, the first stays
        place = ax.transData.transform((x, y))
        if not (np.abs(taken - place) < (55, 22)).all(axis=1).any():
            taken = np.vstack([taken, place])
            ax.annotate(f"step {at}", (x, y), xytext=(9, 9), textcoords="offset points", fontsize=12)
    ax.set_xlabel("loss (nats a token; further right is better)")
    ax.set_ylabel("exactly right (%, higher is better)")
    ax.set_title(f"{proper(named[drawn[0]].what)}: loss and answers on {proper(table.skill.iloc[0])}")
    ax.grid()
    ax.legend(loc="best")
    return ax


def _forward(table: pd.DataFrame) -> pd.DataFrame:
    """Within one training, the later with the lower loss and the worse answers: the widest gap first."""
    found = disagreements(table)
    return found[found.in_time.astype(bool)]


def _most_parted(table: pd.DataFrame) -> str:
    later = _forward(table)
    return str(later.skill.iloc[0] if len(later) else table.skill.iloc[0])
