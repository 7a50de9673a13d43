"""How does a film begin with two models that differ in one thing? Both are asked the same while they learn, and what
they say is shown as it was captured; the audience is asked what the difference is."""

from typing import ClassVar

import pandas as pd
from manim import DOWN, LEFT, ORIGIN, RIGHT, UP, Animation, Dot, FadeIn, FadeOut, Line, Text, VGroup

from animations.studio.film import FilmScene
from engine.errors import InputError
from engine.run.run import Run
from visualize.mobjects.answers import RIGHT_MARK, WRONG_MARK
from visualize.mobjects.text import fitted, label, sit

LETTERS = ("A", "B")
PLACES = (-3.5, 3.5)  # where the two stand, in units from the middle
WIDE = 6.4


class AskedTwice(FilmScene):
    """Two runs of one task, evaluated at the same steps. A subclass says which they are, what is said before the first
    answer changes, and what is asked at the end."""

    headed = False
    begins: ClassVar[tuple[str, str]]  # caption, spoken

    def pair(self) -> tuple[Run, Run]:
        raise NotImplementedError

    def ask(self, last: pd.Series) -> None:
        """The end, when both have learned. last: what they said then, and whether it was right."""
        raise NotImplementedError

    def construct(self) -> None:
        # Before training
        rows = self.heard()
        self.question = sit(fitted(rows.prompt.iloc[0], 13.0, 60, self.colours.foreground), 0, 2.3, ORIGIN)
        self.line = Line(6.4 * LEFT, 6.4 * RIGHT, color=self.colours.muted).shift(2.1 * DOWN)
        marker = Dot(self.line.get_start(), radius=0.14, color=self.colours.foreground)
        letters = VGroup(
            sit(label(letter, 56, self.colours.foreground, bold=True), x, 0.95, ORIGIN)
            for letter, x in zip(LETTERS, PLACES, strict=True)
        )
        said = [self.said(rows.iloc[0], side) for side in (0, 1)]
        stamp = self.stamp_both(int(rows.step.iloc[0]))
        self.add(self.question, self.line, marker, letters, stamp, *said)
        self.say(*self.begins)

        # While they learn
        every = [*rows.iloc[1:].iterrows()]
        for _, row in every[-1:] if self.renderer.skip_animations else every:
            share = row.step / max(1, rows.step.iloc[-1])
            moves: list[Animation] = [marker.animate.move_to(self.line.point_from_proportion(share))]
            stamp = self.swap(stamp, self.stamp_both(int(row.step)))
            for side, old in enumerate(said):
                new = self.said(row, side)
                if new.original_text != old.original_text:
                    moves += [FadeOut(old, shift=0.3 * UP), FadeIn(new, shift=0.3 * UP)]
                    said[side] = new
            self.play(*moves, run_time=0.25 if len(moves) == 1 else 0.45)
        self.attend(said[1])
        self.ask(rows.iloc[-1])
        self.finish()

    def heard(self) -> pd.DataFrame:
        """The first question of the task that both were asked while they learned, whatever they said: step, prompt,
        answer_a, right_a, answer_b, right_b.

        Raises InputError where they were not asked the same.
        """
        a, b = (
            run.answers[run.answers.skill == run.task][["step", "prompt", "answer", "correct"]].rename(
                columns={"answer": f"answer_{letter}", "correct": f"right_{letter}"}
            )
            for run, letter in zip(self.pair(), "ab", strict=True)
        )
        both = a.merge(b, on=["step", "prompt"], how="inner", sort=False)
        if both.empty:
            raise InputError(f"{self.names()} were not asked the same question at any step")
        return both[both.prompt == both.prompt.iloc[0]].sort_values("step", kind="stable").reset_index(drop=True)

    def said(self, row: pd.Series, side: int) -> Text:
        letter = "ab"[side]
        good = bool(row[f"right_{letter}"])
        mark, colour = (RIGHT_MARK, self.colours.right) if good else (WRONG_MARK, self.colours.wrong)
        return sit(fitted(f"{mark} {row[f'answer_{letter}']}", WIDE, 84, colour), PLACES[side], -0.5, ORIGIN)

    def stamp_both(self, step: int) -> Text:
        return self.corner(f"{self.names()}, step {step}")

    def names(self) -> str:
        first, second = (str(fitted(run.name, 3.0, 28).original_text) for run in self.pair())
        return f"run {first} and {second}"
