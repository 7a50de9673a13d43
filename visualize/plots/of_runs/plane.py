"""What does learning cost? Every run as a path on the plane of learning against forgetting."""

from matplotlib.axes import Axes

from engine.measure.matched import learning_path, matched
from visualize.naming import percent
from visualize.plots.axes import axes_or_new, themed
from visualize.plots.given import Runs, as_runs, looks
from visualize.theme import palette


@themed
def plot_plane(
    runs: Runs,
    *,
    step: int | None = None,
    ax: Axes | None = None,
    level: float | None = None,
) -> Axes:
    """A point an evaluation: across, the new task; up, the mean of the old skills; both exactly right, in per cent.

    runs: one or several. level: a new-task score, 0 to 1, at which the runs are compared: a line, and a ring where each
    path first reaches it. step: draw up to it. Raises InputError if a run was not graded on its task and on old skills.
    """
    named = as_runs(runs)
    ax = axes_or_new(ax, figsize=(12, 7))
    colours = palette()
    if level is not None:
        ax.axvline(
            100 * level,
            color=colours.muted,
            linewidth=1.2,
            linestyle=(0, (1, 2)),
            label=f"compared at {percent(level)}",
        )
    for label, look in looks(named).items():
        one = named[label]
        path = 100 * learning_path(one).loc[:step]
        ax.plot(
            path.learned, path.kept, marker=look.mark, markersize=7, color=look.colour, label=label,
            linestyle=look.line, linewidth=1.8, alpha=0.9,
        )  # fmt: skip
        ax.plot(path.learned.iloc[-1:], path.kept.iloc[-1:], look.mark, markersize=14, color=look.colour)
        met = matched(one, level) if level is not None else None
        if met is not None and level is not None and (step is None or met.step <= step):
            ax.plot([100 * level], [100 * met.kept], "o", markersize=15, mfc="none", mec=colours.foreground, mew=2)
    ax.set(xlim=(-3, 105), ylim=(-3, 105))
    ax.set_xlabel("new task: exactly right (%), to the right: more learned")
    ax.set_ylabel("old skills, mean: exactly right (%)\nup: less forgotten")
    ax.set_title("Learning against forgetting: a small mark an evaluation, a large one the end")
    ax.grid()
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax
