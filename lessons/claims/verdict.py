"""Does a sentence hold? From one number a seed to an effect with its interval, and from effects to a verdict.

An effect is the mean over seeds with Student's 95 % interval. A sentence says one of two things of it: that it is more
than a target, or that it is the same as a target, within a margin. Each condition under which it was tried gets an
answer of its own:

    yes          the interval lies on the sentence's side
    no           it lies on the other side, or what could be there is too small to matter
    undecided    neither: more seeds would tell

All yes: it holds. All no: it does not hold here. Some yes, some not: it depends, on the conditions, which are named.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

Answer = Literal["yes", "no", "undecided"]
VERDICTS = HOLDS, FAILS, DEPENDS, OPEN = "holds", "does not hold here", "depends", "undecided"


@dataclass(frozen=True)
class Says:
    """What a sentence says of its effects. more: above `target`, and what is less than `matters` above it is nothing;
    else: within `matters` of the target."""

    more: bool = True
    target: float = 0.0
    matters: float = 0.0


@dataclass(frozen=True)
class Effect:
    """One condition's effect: the mean over seeds, and the ends of its 95 % interval, all in the claim's unit."""

    mean: float
    low: float
    high: float
    seeds: int


def interval(values: Sequence[float], share: float = 0.95) -> Effect:
    """mean ± t s / sqrt(n), with n - 1 degrees of freedom (Student 1908). Of one value nothing is known around it.

    Values that are all equal have an interval of no width: what is exact is exact.
    """
    n = len(values)
    mean = math.fsum(values) / n
    if all(value == values[0] for value in values):
        width = 0.0 if n > 1 else math.inf
        return Effect(values[0], values[0] - width, values[0] + width, n)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = float(stats.t.ppf((1 + share) / 2, n - 1)) * spread / math.sqrt(n)
    return Effect(mean, mean - half, mean + half, n)


def computed(value: float) -> Effect:
    """An effect that no seed moves, such as a count of weights."""
    return Effect(value, value, value, 0)


def answer(effect: Effect, says: Says) -> Answer:
    """Is the sentence right of this effect?"""
    low, high = effect.low - says.target, effect.high - says.target
    if says.more:
        if high < says.matters or high <= 0:
            return "no"
        return "yes" if low > 0 else "undecided"
    if -says.matters <= low and high <= says.matters:
        return "yes"
    return "no" if low > says.matters or high < -says.matters else "undecided"


def verdict(answers: dict[str, Answer]) -> tuple[str, str]:
    """(verdict, on what it depends) of a sentence, from each condition's answer; the second empty if all agree."""
    by_answer = {kind: [name for name, said in answers.items() if said == kind] for kind in ("yes", "no", "undecided")}
    kinds = [kind for kind, names in by_answer.items() if names]
    if len(kinds) == 1:
        return {"yes": HOLDS, "no": FAILS, "undecided": OPEN}[kinds[0]], ""
    on = "; ".join(f"{kind}: {' / '.join(by_answer[kind])}" for kind in kinds)
    return (DEPENDS if "yes" in kinds else OPEN), on
