"""What was a training set worth? How many examples a run had, and its score on its task, with what chance allows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from engine.errors import InputError
from engine.measure.shares import wilson
from engine.run.run import Run

UNSAID = "no whisker: not recorded on how many questions"


class Point(NamedTuple):
    """examples: how many a run trained on. score: the share of its task's held-out questions that it answered exactly,
    0 to 1. low, high: where that share would lie of other such questions, at 95 % (Wilson 1927); not a number where the
    run does not say how many were graded."""

    examples: int
    score: float
    low: float
    high: float


def point_of(run: Run, step: int | None) -> Point:
    """A run at its last evaluation, or the last up to `step`.

    Raises InputError if it does not say how many examples it had, or was not graded on its task.
    """
    if run.task not in run.skills:
        raise InputError(f"run {run.name} was not graded on its task; hold a part of the data out")
    scores = run.skills[run.task].loc[:step].dropna()
    if scores.empty:
        raise InputError(f"run {run.name} was not graded on its task by step {step}; give a later one")
    score, at = float(scores.iloc[-1]), scores.index[-1]
    graded = run.graded[run.task].get(at) if run.task in run.graded else None
    low, high = wilson(score * graded, int(graded)) if graded else (np.nan, np.nan)
    return Point(run.examples, score, low, high)


def whiskers(points: Sequence[Point]) -> np.ndarray:
    """How far, in per cent, each point's interval reaches down and up: (2, points)."""
    away = np.array([(point.score - point.low, point.high - point.score) for point in points]).T
    return 100 * np.maximum(away, 0)  # rounding, where a share is 0 or 1
