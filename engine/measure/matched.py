"""How are runs compared fairly? At the same new-task score, and where one measured line is clearly above another.

A run that learned less has mostly forgotten less: old skills are compared at the moment when the new task was learned
equally well. Between two evaluations a straight line is drawn; beyond the last one nothing is known, and nothing said.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from engine.errors import InputError
from engine.measure.shares import newcombe
from engine.run.run import Run


class Matched(NamedTuple):
    """step: when the new task first reached the level (between two evaluations, so not whole). kept: the mean of the
    old skills then, 0 to 1."""

    step: float
    kept: float


def learning_path(run: Run) -> pd.DataFrame:
    """Learning against forgetting, one row an evaluated step (the index): `learned`, the new task's exact score, and
    `kept`, the mean of all old skills' exact scores, 0 to 1.

    Raises InputError if the run was not graded on its task and on old skills.
    """
    scores = run.skills
    if run.task not in scores or scores.shape[1] < 2:
        raise InputError(
            f"run {run.name} was not graded on its task and on old skills; fine-tune with held-out data, whose answers "
            "fit into max_length, and skills=20"
        )
    return pd.DataFrame({"learned": scores[run.task], "kept": scores.drop(columns=run.task).mean(axis=1)})


def matched(run: Run, level: float) -> Matched | None:
    """Where the new task first reached `level` (0 to 1), and what was kept of the old skills; None if it never did.

    Raises as `learning_path`.
    """
    path = learning_path(run)
    found = when_learned(path.learned.to_numpy(), level, path.index.to_numpy(float), path.kept.to_numpy())
    return Matched(*found) if found else None


def when_learned(learned: Sequence[float], level: float, *others: Sequence[float]) -> tuple[float, ...] | None:
    """Each of `others`, measured at the same moments, as it was when `learned` first reached `level`; None if never."""
    reached = np.flatnonzero(np.asarray(learned) >= level)
    if not reached.size:
        return None
    after = int(reached[0])
    before = max(0, after - 1)
    low, high = learned[before], learned[after]
    part = 1.0 if high == low else (level - low) / (high - low)
    return tuple(float(each[before] + part * (each[after] - each[before])) for each in others)


def overtaken(
    counts: Sequence[float], rising: Sequence[float], asked: int, level: float, of: int
) -> tuple[float, float]:
    """Between which numbers of examples does `rising` come to be above `level`, and stays there?

    The last of the `counts`, which ascend, at which it is clearly below (0: at none), and the first from which on it is
    clearly above (infinity: it is not so at the last). rising, level: shares of right answers, 0 to 1, to so many
    questions, `asked` and `of`. Clearly: the interval of their difference is without nought.
    """
    apart = [newcombe(share * asked, asked, level * of, of) for share in rising]
    below = [count for count, (_, high) in zip(counts, apart, strict=True) if high < 0]
    above = math.inf
    for count, (low, _) in zip(reversed(counts), reversed(apart), strict=True):
        if low <= 0:
            break
        above = count
    return (below[-1] if below else 0), above
