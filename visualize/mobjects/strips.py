"""How do skills fade in a film? A strip a skill, a cell an evaluation, drawn as far as the step shown."""

from typing import Self

import numpy as np
import pandas as pd
from manim import DOWN, LEFT, RESAMPLING_ALGORITHMS, RIGHT, UP, Group, ImageMobject, VGroup

from engine.run.run import Run
from engine.school.curriculum import SKILLS
from visualize.mobjects.matrix import units
from visualize.mobjects.text import fitted, label, sit
from visualize.naming import percent, proper
from visualize.theme import PALETTES, Theme, rgb_of, score_rgba

LINE = 2  # pixels between cells
APART = 14  # pixels between the task's strip and the others


class Strips(Group):
    """Exact scores of a run, the task first: `scores`, step x skill.

    width, row: pixels of all cells together, and of a strip. names: pixels for the skills' names at their left; 0
    leaves names and numbers out.
    """

    def __init__(self, run: Run, width: int, row: int, theme: Theme, names: int = 0) -> None:
        super().__init__()
        self.run, self.theme, self.colours, self.row = run, theme, PALETTES[theme], row
        every = run.skills
        self.scores = every[[name for name in [run.task] if name in every] + [n for n in every if n != run.task]]
        self.column = width // max(1, len(every))
        self.tops = [
            index * row + (APART if index and run.task in every else 0) for index in range(self.scores.shape[1])
        ]
        canvas = np.zeros((self.tops[-1] + row, self.column * len(every), 4), np.uint8)
        self.image = ImageMobject(canvas, scale_to_resolution=0)
        self.image.set_resampling_algorithm(RESAMPLING_ALGORITHMS["nearest"])
        self.image.stretch_to_fit_height(units(canvas.shape[0])).stretch_to_fit_width(units(canvas.shape[1]))
        self.add(self.image)
        self.numbered = names > 0
        self.numbers = VGroup()
        if self.numbered:
            self.add(*(self._name(index, units(names)) for index in range(len(self.tops))), self.numbers)
        self.upto(-1)

    def _y(self, index: int) -> float:
        return float(self.image.get_top()[1]) - units(self.tops[index] + self.row / 2)

    def _name(self, index: int, width: float) -> object:
        name = str(self.scores.columns[index])
        text = SKILLS[name].title if name in SKILLS else proper(name)
        color = self.colours.foreground if name == self.run.task else self.colours.muted
        return sit(fitted(text, width, 32, color), self.image.get_left()[0] - 0.12, self._y(index), RIGHT)

    def shown(self) -> pd.DataFrame:
        """The scores that are drawn now."""
        return self.scores.loc[: self.step]

    def upto(self, step: float) -> Self:
        """Draw the evaluations up to this step, and their last numbers."""
        self.step = step
        canvas = np.empty_like(self.image.pixel_array)
        canvas[...] = *rgb_of(self.colours.background), 255
        colours = score_rgba(self.shown().to_numpy(), self.theme)
        for down, top in enumerate(self.tops):
            for across in range(len(colours)):
                left = across * self.column
                cell = canvas[top : top + self.row - LINE, left : left + self.column - LINE]
                cell[...] = colours[across, down]
        self.image.pixel_array = canvas
        if self.numbered:
            self.remove(self.numbers)
            last = self.shown().iloc[-1:].to_numpy().ravel()
            right = self.image.get_right()[0] + 0.95
            self.numbers = VGroup(
                sit(label(percent(value), 32, self.colours.foreground), right, self._y(index), RIGHT)
                for index, value in enumerate(last)
            )
            self.add(self.numbers)
        return self

    def at(self, left: float, top: float) -> Self:
        """The whole with the upper left corner of its cells there, on an even pixel."""
        corner = np.array([left, top, 0.0])
        return self.shift(np.rint(corner / units(2)) * units(2) - self.image.get_corner(UP + LEFT))

    def below(self, buff: float = 0.3) -> float:
        """Where a line of text below the cells lies."""
        return float((self.image.get_bottom() + DOWN * buff)[1])
