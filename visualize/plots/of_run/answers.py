"""What did the model really say, from step to step?"""

import textwrap

import numpy as np
from matplotlib.axes import Axes

from engine.errors import InputError
from engine.language.speaking import tr
from engine.run.run import as_run
from visualize.naming import proper
from visualize.plots.axes import axes_or_new, themed
from visualize.plots.given import OneRun
from visualize.theme import palette

_MOST_STEPS = 5
_MOST_ROWS = 14
_QUESTION, _ANSWER = 25, 17  # characters a line in the two kinds of cell
_LINES = 2


@themed
def plot_answers(run: OneRun, *, step: int | None = None, ax: Axes | None = None, most: int = _MOST_ROWS) -> Axes:
    """A table: one row a question, one column an evaluated step (five at most, the first and the last among them).

    Each cell holds the model's own words, shortened where they are long; right answers carry a tick and the colour
    of what is right. step: up to it. most: questions. Raises InputError if the run has no answers.
    """
    run = as_run(run)
    answers = run.answers if step is None else run.answers[run.answers.step <= step]
    if answers.empty:
        raise InputError(f"run {run.name} holds no answers; fine-tune with an evaluated task or skills=20 to draw this")
    every = sorted(answers.step.unique())
    chosen = [every[at] for at in np.unique(np.linspace(0, len(every) - 1, _MOST_STEPS).round().astype(int))]
    questions = list(dict.fromkeys(zip(answers.skill, answers.prompt, strict=True)))[:most]
    ax = axes_or_new(ax, figsize=(14, 0.78 * len(questions) + 1.3))
    colours = palette()
    ax.set_axis_off()
    lefts = [0.0, *(0.235 + 0.765 * at / len(chosen) for at in range(len(chosen)))]
    ax.set(xlim=(0, 1), ylim=(len(questions) + 0.1, -1.0))
    for left, title in zip(lefts, [tr("asked"), *(tr("step {step}", step=at) for at in chosen)], strict=True):
        ax.text(left, -0.55, title, fontweight="bold", va="center", color=colours.muted)
    said = {(row.step, row.prompt): row for row in answers.itertuples()}
    for at, (_, prompt) in enumerate(questions):
        ax.axhline(at, color=colours.grid, linewidth=1)
        ax.text(0, at + 0.5, shorten(prompt, _QUESTION), va="center", fontsize=14)
        for left, when in zip(lefts[1:], chosen, strict=True):
            row = said.get((when, prompt))
            if row is not None:
                mark, colour = (
                    ("\N{CHECK MARK}", colours.right) if row.correct else ("\N{MULTIPLICATION X}", colours.wrong)
                )
                ax.text(left, at + 0.5, mark, va="center", fontsize=14, color=colour, fontweight="bold")
                text = shorten(str(row.answer), _ANSWER) or tr("(nothing)")
                ax.text(left + 0.02, at + 0.5, text, va="center", fontsize=14, color=colour)
    ax.set_title(tr("{what}: the model's own answers", what=proper(run.what)))
    return ax


def shorten(text: str, width: int) -> str:
    """At most two lines of `width` characters; an ellipsis where something is left out, long words broken."""
    clean = "".join(character if character.isprintable() else " " for character in text)
    lines = textwrap.wrap(clean, width, max_lines=_LINES, placeholder="\N{HORIZONTAL ELLIPSIS}")
    return "\n".join(line if len(line) <= width else line[: width - 1] + "\N{HORIZONTAL ELLIPSIS}" for line in lines)
