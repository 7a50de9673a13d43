"""What does learning cost? Every run as a path on the plane of learning against forgetting."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from engine.measure.matched import learning_path, matched
from engine.run.run import Run
from visualize.plots.axes import axes_or_new, themed
from visualize.theme import METHOD_LINES, palette

_MARKS = "os^Dvph"  # runs of one method share its colour, so marks tell them apart


@themed
def plot_plane(
    run: Run | Sequence[Run],
    *,
    module: str | None = None,
    step: int | None = None,
    ax: Axes | None = None,
    labels: Sequence[str] | None = None,
    level: float | None = None,
) -> Axes:
    """A point an evaluation: across, the new task; up, the mean of the old skills; both exactly right, in per cent.

    run: one or several. labels: what each is called (default: its name). level: a new-task score, 0 to 1, at which
    the runs are compared: a line, and a ring where each path first reaches it. step: draw up to it. module: not used.
    Raises InputError if a run was not graded on its task and on old skills.
    """
    runs = [run] if isinstance(run, Run) else list(run)
    names = [one.name for one in runs] if labels is None else list(labels)
    ax = axes_or_new(ax, figsize=(12, 7))
    colours = palette()
    if level is not None:
        ax.axvline(
            100 * level, color=colours.muted, linewidth=1.2, linestyle=(0, (1, 2)), label=f"compared at {level:.0%}"
        )
    for at, (one, label) in enumerate(zip(runs, names, strict=True)):
        path, colour = 100 * learning_path(one).loc[:step], colours.method(one.method)
        ax.plot(
            path.learned, path.kept, marker=_MARKS[at % len(_MARKS)], markersize=7, color=colour, label=label,
            linestyle=METHOD_LINES.get(one.method, "-"), linewidth=1.8, alpha=0.9,
        )  # fmt: skip
        ax.plot(path.learned.iloc[-1:], path.kept.iloc[-1:], _MARKS[at % len(_MARKS)], markersize=14, color=colour)
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
