"""What is read from trainings? Their last grade, the best rate, what was kept when the new task was learned to 80 %."""

from collections.abc import Sequence

import numpy as np

from engine.measure.matched import when_learned
from lessons.claims.claim import Results
from lessons.claims.trials import Result
from lessons.claims.trials.training import Training

LEARNED = 0.8  # share of held-out answers right at which methods are compared: matched new-task accuracy


def number(value: float | None) -> float:
    """A stored number; null stands for what was not finite (a training that diverged)."""
    return np.inf if value is None else value


def last(results: Results, training: Training, column: str = "new") -> list[float]:
    """The last grade, a seed: shares in points (0 to 100), losses in nats."""
    scale = 1 if column.endswith("loss") else 100
    return [scale * number(result[column][-1]) for result in results(training)]


def minus(some: Sequence[float | None], others: Sequence[float | None]) -> list[float | None]:
    """Seed by seed; None where either is missing or infinite."""
    return [
        None if one is None or other is None or not np.isfinite([one, other]).all() else one - other
        for one, other in zip(some, others, strict=True)
    ]


def best(results: Results, sweep: Sequence[Training]) -> Training:
    """Of a sweep of rates, the one that learns the new task best, on average over seeds; of equals, the lowest loss."""

    def order(training: Training) -> tuple[float, float]:
        return float(np.mean(last(results, training))), -float(np.mean(last(results, training, "new_loss")))

    return max(sweep, key=order)


def best_rates(results: Results, sweep: Sequence[Training]) -> list[float]:
    """The best rate of each seed by itself: the lowest held-out loss at the end."""
    losses = np.array([last(results, training, "new_loss") for training in sweep])
    return [sweep[index].rate for index in losses.argmin(axis=0)]


def lost(results: Results, training: Training) -> list[float]:
    """Points of the old skills that the whole training cost."""
    return [100 * (result["old"][0] - result["old"][-1]) for result in results(training)]


def kept(results: Results, training: Training) -> list[float | None]:
    """Points that the old skills still had when the new task was first right to `LEARNED`, a seed.

    Between two grades a straight line is drawn. None where the training did not get there.
    """
    return [kept_when_learned(result) for result in results(training)]


def kept_when_learned(result: Result, level: float = LEARNED) -> float | None:
    found = when_learned(result["new"], level, result["old"])
    return 100 * found[0] if found else None


def most_kept(results: Results, sweep: Sequence[Training]) -> list[float | None]:
    """The same at the sweep's gentlest rate: of those that get there with every seed, the one that keeps most."""
    found = [kept(results, training) for training in sweep]
    whole = [values for values in found if all(value is not None for value in values)]
    return (
        max(whole, key=lambda values: sum(v for v in values if v is not None)) if whole else [None] * len(results.seeds)
    )
