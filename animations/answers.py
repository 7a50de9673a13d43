"""What did the model say, and when? Captured answers as lines of text for a film."""

import numpy as np
import pandas as pd
from manim import VGroup

from engine.run import Run
from visualize.mobjects.text import fitted, on_line
from visualize.theme import Palette

RIGHT_MARK, WRONG_MARK = "\N{CHECK MARK}", "\N{MULTIPLICATION X}"


def at_step(run: Run, step: int) -> pd.DataFrame:
    """The answers of the last evaluation at or before this step; empty if there was none."""
    known = run.answers[run.answers.step <= step]
    return known[known.step == known.step.max()]


def watched(run: Run, task: int, old: int) -> list[str]:
    """Which probe prompts a film follows: the first `task` of the task's own, and the first `old` of others."""
    first = run.answers[run.answers.step == run.answers.step.min()]
    own = first[first.skill == run.task].head(task)
    return [*own.prompt, *first[first.skill != run.task].head(task + old - len(own)).prompt]


class Answers(VGroup):
    """Questions, and below each what the model answered at a step, marked right or wrong by its grader.

    shown: (prompt, answer, correct) of each, for the suite to hold against the Run.
    """

    def __init__(
        self, run: Run, prompts: list[str], step: int, top_left: np.ndarray, width: float, colours: Palette
    ) -> None:
        super().__init__()
        rows = at_step(run, step).set_index("prompt")
        self.run, self.step, self.shown = str(run.path), step, list[tuple[str, str, bool]]()
        for prompt in (prompt for prompt in prompts if prompt in rows.index):
            row = rows.loc[prompt]
            self.shown.append((prompt, row.answer, bool(row.correct)))
            place = top_left + np.array([0, -1.0 * (len(self.shown) - 1), 0])
            asked = on_line(fitted(prompt, width, 40, colours.muted), place)
            mark = RIGHT_MARK if row.correct else WRONG_MARK
            said = fitted(f"{mark}  {row.answer}", width, 48, colours.right if row.correct else colours.wrong)
            self.add(asked, on_line(said, place + np.array([0, -0.5, 0])))


def contrasting(first: Run, second: Run) -> str | None:
    """A probe prompt that both runs were asked, and that tells most apart: before training, after one, after the other.

    Among equals, one that the base got right, and then the shortest. None if they share no prompt.
    """
    asked = [(first, 0), (first, first.steps[-1]), (second, second.steps[-1])]
    base, one, two = (at_step(run, step).set_index("prompt") for run, step in asked)
    common = [prompt for prompt in base.index if prompt in one.index and prompt in two.index]

    def worth(prompt: str) -> tuple[int, bool, int]:
        said = {frame.loc[prompt].answer for frame in (base, one, two)}
        return len(said), bool(base.loc[prompt].correct), -len(prompt)

    return max(common, key=worth, default=None)
