"""What does the model say now? Questions with its real answers below them, marked right or wrong."""

import pandas as pd
from manim import VGroup

from visualize.mobjects.text import fitted, sit
from visualize.theme import Palette

RIGHT_MARK, WRONG_MARK = "\N{CHECK MARK}", "\N{MULTIPLICATION X}"  # the mark repeats what colour says


class AnswerTable(VGroup):
    """Two lines for each row of a Run's `answers`: the prompt, and what the model said. `width` in units.

    marked: with right or wrong before each answer, where the question has one right answer.
    """

    EACH = 0.98  # units from one question to the next

    def __init__(self, answers: pd.DataFrame, width: float, colours: Palette, marked: bool = True) -> None:
        super().__init__()
        self.answers, self.marked = answers, marked
        for line, row in enumerate(answers.itertuples()):
            good = colours.right if row.correct else colours.wrong
            mark = f"{RIGHT_MARK if row.correct else WRONG_MARK} " if marked else ""
            self.add(sit(fitted(row.prompt, width, 32, colours.muted), 0, -line * self.EACH))
            said = fitted(mark + row.answer, width, 36, good if marked else colours.foreground)
            self.add(sit(said, 0, -line * self.EACH - 0.41))

    def at(self, left: float, top: float) -> "AnswerTable":
        """The whole with its first line there."""
        return self.shift([left, top, 0])


class AnswerLine(AnswerTable):
    """One row of a Run's `answers` in one line: the prompt, at most `width` units, and what the model said."""

    def __init__(self, answers: pd.DataFrame, width: float, rest: float, colours: Palette) -> None:
        super().__init__(answers.iloc[:1], rest, colours)
        if len(answers):
            asked = sit(fitted(answers.prompt.iloc[0], width, 32, colours.muted), 0, 0)
            self.submobjects[0] = asked
            sit(self[1], asked.get_right()[0] + 0.3, 0)


def questions(answers: pd.DataFrame, task: str | None, of_task: int, of_old: int) -> list[str]:
    """The first prompts of the task and the first of the old skills: always the same ones, whatever they show."""
    own, old = answers[answers.skill == task].prompt.unique(), answers[answers.skill != task].prompt.unique()
    return [*own[:of_task], *old[:of_old]]


def answers_at(answers: pd.DataFrame, step: int, prompts: list[str]) -> pd.DataFrame:
    """The answers to these prompts at the last evaluation up to this step, in the order of the prompts."""
    known = answers[(answers.step <= step) & answers.prompt.isin(prompts)]
    latest = known[known.step == known.step.max()]
    return latest.sort_values("prompt", key=lambda column: column.map(prompts.index), kind="stable")
