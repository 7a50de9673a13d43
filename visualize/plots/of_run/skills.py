"""What was learned, and what was forgotten? Every skill at every evaluated step."""

from typing import Literal

import numpy as np
from matplotlib.axes import Axes

from engine.errors import InputError
from engine.language.speaking import tr
from engine.measure import forgetting
from engine.run.run import as_run
from engine.school.curriculum import SKILLS
from visualize.naming import proper
from visualize.plots.axes import axes_or_new, figure_of, themed
from visualize.plots.given import OneRun
from visualize.theme import current_theme, diverging_map, ink_on, palette, score_map


@themed
def plot_skills(
    run: OneRun,
    *,
    step: int | None = None,
    ax: Axes | None = None,
    value: Literal["exact", "forgetting"] = "exact",
) -> Axes:
    """One row a skill, the task first, one column an evaluated step (up to `step`).

    value: "exact", the share of held-out questions answered exactly, in per cent, higher is better; or "forgetting",
    the loss minus the loss before training (or at the first evaluation), nats a token, higher is more forgotten. Where
    no answer was graded, as a Trainer's own evaluation grades none, or not one was exactly right at any step, as long
    ones hardly ever are, it is the loss, too, and the title says so.
    Raises InputError if the run was not evaluated, or not by this step.
    """
    run = as_run(run)
    if run.skill_losses.empty:
        raise InputError(f"run {run.name} was not evaluated on skills; fine-tune with skills=20 to draw this")
    if run.skill_losses.loc[:step].empty:
        first = run.skill_losses.index[0]
        raise InputError(f"run {run.name} was not evaluated by step {step}; its first evaluation is of step {first}")
    title = tr("{what}: what it can do, step by step", what=proper(run.what))
    scores = run.skills.loc[:step]
    if value == "exact" and not scores.notna().to_numpy().any():
        value, title = "forgetting", tr("{what}: answers not graded, so the loss, step by step", what=proper(run.what))
    elif value == "exact" and not scores.to_numpy().any():
        value = "forgetting"
        title = tr("{what}: no answer exactly right, so the loss, step by step", what=proper(run.what))
    frame = (run.skills if value == "exact" else forgetting(run)).loc[:step]
    names = [run.task] * (run.task in frame) + [name for name in frame if name != run.task]
    table = frame[names].to_numpy().T
    ax = axes_or_new(ax, figsize=(12, max(4.8, 0.42 * len(names) + 1.9)))
    if value == "exact":
        image = ax.imshow(100 * table, cmap=score_map(current_theme()), vmin=0, vmax=100, aspect="auto")
        label, cells = tr("exactly right (%, higher is better)"), [[f"{100 * v:.0f}" for v in row] for row in table]
    else:
        limit = float(np.abs(table[np.isfinite(table)]).max(initial=0.0)) or 1.0
        digits = 1 if limit >= 1 else 2
        image = ax.imshow(table, cmap=diverging_map(current_theme()), vmin=-limit, vmax=limit, aspect="auto")
        begun = run.skill_losses.index[0]
        before, later = tr("loss minus before (nats a token)"), tr("loss minus step {step} (nats a token)", step=begun)
        label, cells = later if begun else before, [[f"{v:+.{digits}f}" for v in row] for row in table]
    fills = image.to_rgba(100 * table if value == "exact" else table, bytes=True)
    for row, texts in enumerate(cells):
        for column, text in enumerate(texts):
            ax.text(column, row, text, ha="center", va="center", fontsize=12, color=ink_on(fills[row, column]))
    called = {name: tr(SKILLS[name].title) if name in SKILLS else proper(name) for name in names}
    titles = [tr("task: {name}", name=proper(name)) if name == run.task else called[name] for name in names]
    ax.set_yticks(range(len(names)), titles)
    ax.set_xticks(range(len(frame)), [str(s) for s in frame.index])
    ax.tick_params(length=0)
    if run.task in frame:
        ax.axhline(0.5, color=palette().background, linewidth=6)
    ax.set_xlabel(tr("step (as evaluated)"))
    ax.set_title(title)
    for spine in ax.spines.values():
        spine.set_visible(False)
    figure_of(ax).colorbar(image, ax=ax, fraction=0.03, pad=0.02).set_label(label, labelpad=8)
    return ax
