"""What is read from trainings? What they learned and kept, at the end and when the new task was learned equally well.

Arrays keep their questions on the last axis, so that an interval can draw them again. Shares are in points of 100,
losses in nats a token.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lessons.claims.claim import CHOOSING, Results
from lessons.claims.compact import unpack_bits, unpack_nats, unpack_shares
from lessons.claims.intervals import Array, Draws, Effect, effect, unseen
from lessons.claims.trials import Result
from lessons.claims.trials.training import Training

LEARNED = 0.8  # share of the new task's answers right at which methods are compared
POINTS = ("new", "exact", "choice")  # measures in points; higher is better
UNPACK = {
    "new": unpack_bits,
    "exact": unpack_bits,
    "choice": unpack_shares,
    "text": unpack_nats,
    "new_loss": unpack_nats,
}


def scores(grades: Result, what: str) -> Array:
    """(questions,): one measure of one moment (see `trials.questions.Grades`), in points or nats."""
    if what == "kl":
        return np.array([grades["kl"] if grades["kl"] is not None else np.nan])
    return UNPACK[what](grades[what]) * (100.0 if what in POINTS else 1.0)


def curve(result: Result, what: str) -> Array:
    """(moments, questions): the same over a whole training."""
    return np.stack([scores(grades, what) for grades in result["at"]])


def at_end(rows: Sequence[Result], what: str) -> Array:
    """(seeds, questions): the last grades of a training, with every seed."""
    return np.stack([scores(row["at"][-1], what) for row in rows])


def at_start(rows: Sequence[Result], what: str) -> Array:
    """(seeds, questions): what the base scored."""
    return np.stack([scores(row["at"][0], what) for row in rows])


def at_step(rows: Sequence[Result], what: str, step: int) -> Array:
    """(seeds, questions): at a step that was graded."""
    return np.stack([scores(row["at"][row["steps"].index(step)], what) for row in rows])


def at_moment(rows: Sequence[Result], moment: int, what: str) -> Array:
    """(seeds, questions): at a graded step, by its place among them."""
    return np.stack([scores(row["at"][moment], what) for row in rows])


def best_moment(r: Results, training: Training, what: str) -> int:
    """At which graded step is it best, by other questions and seeds? Its place among the grades."""
    chosen = r.need([replace(training, side="choose", seed=seed, matrices=False) for seed in CHOOSING])
    means = np.mean([curve(row, what).mean(axis=1) for row in chosen], axis=0)
    return int(means.argmin() if what == "new_loss" else means.argmax())


def difference(some: Array, others: Array, what: str) -> Effect:
    """`some` minus `others`, both (seeds, questions) of one measure, question by question."""
    least = unseen(some.shape[-1]) if what in ("new", "exact") else 0.0
    arms = (float(some.mean()), float(others.mean())) if what in POINTS else ()
    return effect(lambda draws: draws.mean(some - others, what), least=least, arms=arms)


# --- when the new task was learned equally well -----------------------------------------------------------


def when_learned(draws: Draws, rows: Sequence[Result], what: str, level: float = LEARNED) -> Array:
    """(draws, seeds): the old, when the new task was first right to `level`; NaN where a training did not get there.

    Between two grades a straight line is drawn.
    """
    return np.stack([_crossing(draws, row, what, level) for row in rows], axis=1)


def first_learned(draws: Draws, row: Result, level: float = LEARNED) -> tuple[Array, Array]:
    """(draws,) each: the first grade at which the new task was right to `level`, and whether there was one."""
    reached = draws.mean(curve(row, "new"), "new") >= 100 * level
    return np.asarray(reached.argmax(axis=1)), np.asarray(reached.any(axis=1))


def _crossing(draws: Draws, row: Result, what: str, level: float) -> Array:
    learned = draws.mean(curve(row, "new"), "new") / 100  # (draws, moments)
    kept = draws.mean(curve(row, what), what)
    after, reached = first_learned(draws, row, level)
    before, every = np.maximum(after - 1, 0), np.arange(len(after))
    low, high = learned[every, before], learned[every, after]
    part = np.where(high > low, (level - low) / np.where(high > low, high - low, 1), 1.0)
    found = kept[every, before] + part * (kept[every, after] - kept[every, before])
    return np.where(reached, found, np.nan)


def kept(row: Result, what: str, level: float = LEARNED) -> float:
    """The same of one training, on its questions as they are."""
    return float(_crossing(Draws(1), row, what, level)[0])


def at_equal_learning(some: Sequence[Result], others: Sequence[Result], what: str, level: float = LEARNED) -> Effect:
    """What `some` keep more than `others`, each when it had learned the new task to `level`."""
    levels = [[kept(row, what, level) for row in rows] for rows in (some, others)]
    return effect(
        lambda draws: when_learned(draws, some, what, level) - when_learned(draws, others, what, level),
        least=unseen(scores(some[0]["at"][0], what).size) if what == "exact" else 0.0,
        arms=[float(np.mean(values)) for values in levels] if what in POINTS else (),
    )


def lost_when_learned(rows: Sequence[Result], what: str, level: float = LEARNED) -> Effect:
    """What learning the new task to `level` cost of the old; more is more forgotten."""
    sign = 1 if what in POINTS else -1
    before = at_start(rows, what)
    return effect(
        lambda draws: sign * (draws.mean(before, what) - when_learned(draws, rows, what, level)),
        least=unseen(before.shape[-1]) if what == "exact" else 0.0,
    )


# --- the best rate ----------------------------------------------------------------------------------------


def best_rates(r: Results, sweep: Sequence[Training]) -> tuple[Array, bool]:
    """(rates, seeds, questions) of held-out losses at the end, and whether the best rate of all lies inside."""
    losses = np.stack([at_end(rows, "new_loss") for rows in r.each(*sweep)])
    best = int(losses.mean(axis=(1, 2)).argmin())
    return losses, 0 < best < len(sweep) - 1


def log_best(draws: Draws, losses: Array, rates: Sequence[float]) -> Array:
    """(draws, seeds): log10 of the rate with the lowest loss; between the rates tried, a parabola's lowest point."""
    means = draws.mean(losses, "new")  # (draws, rates, seeds)
    at = np.clip(means.argmin(axis=1), 1, len(rates) - 2)[:, None]
    low, middle, high = (np.take_along_axis(means, at + shift, axis=1)[:, 0] for shift in (-1, 0, 1))
    bend = low - 2 * middle + high
    shift = np.clip(np.where(bend > 0, (low - high) / (2 * np.where(bend > 0, bend, 1)), 0), -1, 1)
    logs = np.log10(rates)
    return logs[at[:, 0]] + shift * float(np.diff(logs).mean())
