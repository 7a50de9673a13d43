"""Which rate does a method get? One that is chosen on other questions and with other seeds than it is judged by.

A sweep goes on until both its edges are worse than the best, so that no method is held back by the grid: beyond an edge
that is as good as the best there may be a better one. One that has not found its best after `WIDER` more rates is
censored. Of equals the gentlest is taken.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lessons.claims.claim import CHOOSING, Results
from lessons.claims.readings import kept, scores
from lessons.claims.trials import Result
from lessons.claims.trials.training import Training

WIDER = 4
By = Callable[[Result], float]  # one training's score: higher is better


class Chosen(NamedTuple):
    """training: at the rate that was chosen. inside: both edges of the sweep are worse. scores: rate -> score."""

    training: Training
    inside: bool
    scores: dict[float, float]


def by_learning(result: Result) -> float:
    """Of two that learn, the one whose held-out loss is lower, to a hundredth of a nat."""
    return -round(float(scores(result["at"][-1], "new_loss").mean()), 2)


def by_keeping(result: Result) -> float:
    """Points that the old skills kept when the new task was learned, to a whole point; nothing if it never was."""
    found = kept(result, "exact")
    return round(found) if np.isfinite(found) else -np.inf


def choose(r: Results, training: Training, grid: Sequence[float], by: By) -> Chosen:
    """The training at its best rate, from this grid or beyond it, each rate twice as high as the one before."""
    rates = sorted(grid)
    for _ in range(WIDER + 1):
        found = _scores(r, training, rates, by)
        best = max(rates, key=lambda rate: (found[rate], -rate))
        low, high = (found[edge] == found[best] for edge in (rates[0], rates[-1]))  # an edge that is as good, too
        if not (low or high):
            return Chosen(replace(training, rate=best), True, found)
        if not np.isfinite(found[best]):
            break
        rates = [rates[0] / 2, *rates] if low else [*rates, rates[-1] * 2]
    return Chosen(replace(training, rate=best), False, found)


def _scores(r: Results, training: Training, rates: Sequence[float], by: By) -> dict[float, float]:
    """Of each rate, the mean over the seeds that choose."""
    asked = {
        rate: [replace(training, rate=rate, side="choose", seed=seed, matrices=False) for seed in CHOOSING]
        for rate in rates
    }
    r.need([trial for trials in asked.values() for trial in trials])
    return {rate: float(np.mean([by(result) for result in r.need(trials)])) for rate, trials in asked.items()}
