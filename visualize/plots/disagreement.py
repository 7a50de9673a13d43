"""Do loss and answers tell the same story? One skill's path through training, loss against right answers."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from engine.measure.disagreement import disagreements, evaluations
from engine.run import Run
from visualize.plots.axes import axes_or_new, themed
from visualize.theme import palette

_LEAST = 1e-4  # nats: a smaller loss is drawn as this, for the axis is logarithmic


@themed
def plot_disagreement(
    run: Run, *, module: str | None = None, step: int | None = None, ax: Axes | None = None, skill: str | None = None
) -> Axes:
    """Every evaluation of a skill as a point, joined in order: loss, nats a token, from bad to good, and share right.

    Training that goes well goes to the right and upwards. Where two points in a row go to the right and down, the loss
    improved and the answers got worse: that stretch has the colour of what is wrong. skill: by default the one whose
    answers got most worse while its loss fell, or else the first graded. step: up to it. module: not used. Raises
    InputError if the run was not graded, or not on that skill.
    """
    table = evaluations(run, [skill] if skill else None)
    table = table[table.step <= (step if step is not None else table.step.max())]
    path = table[table.skill == (skill or _most_parted(table))].reset_index(drop=True)
    loss, right = path.loss.clip(lower=_LEAST), 100 * path.exact
    parted = [at for at in range(1, len(path)) if loss[at] < loss[at - 1] and right[at] < right[at - 1]]
    ax = axes_or_new(ax, figsize=(11, 6.6))
    colours = palette()
    ax.plot(loss, right, "o-", color=colours.muted, markerfacecolor=colours.foreground, linewidth=1.8, markersize=7,
            markeredgewidth=0, label="evaluation")  # fmt: skip
    for nth, at in enumerate(parted):
        name = "loss better, answers worse" if nth == 0 else None
        ax.plot(loss[at - 1 : at + 1], right[at - 1 : at + 1], color=colours.wrong, linewidth=5, alpha=0.8, label=name)
    for at in sorted({0, len(path) - 1, *parted, *(at - 1 for at in parted)}):
        ax.annotate(f"step {path.step[at]}", (loss[at], right[at]), xytext=(9, 9), textcoords="offset points",
                    fontsize=12)  # fmt: skip
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.margins(0.1, 0.12)
    ax.invert_xaxis()
    ax.set_xlabel("loss (nats a token; further right is better)")
    ax.set_ylabel("exactly right (%, higher is better)")
    ax.set_title(f"{run.what}: loss and answers on {path.skill[0]}")
    ax.grid()
    ax.legend(loc="best")
    return ax


def _most_parted(table: pd.DataFrame) -> str:
    found = disagreements(table)
    later = found[found.in_time.astype(bool)]
    return str(later.skill.iloc[0] if len(later) else table.skill.iloc[0])
