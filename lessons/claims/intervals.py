"""How sure is an effect? From scores of every question with every seed to a mean with its 95 % interval.

Another seed would give another training, and other questions another score: an interval that covers only the one is
too narrow. Seeds and questions are therefore drawn again, both at once (the pigeonhole bootstrap: Owen 2007, "The
pigeonhole bootstrap", Annals of Applied Statistics 1), and whatever is computed from the scores is computed again from
each draw. Five seeds are few: one fewer is drawn than there are, which leaves the spread unbiased (Rao & Wu 1988), and
the interval is mean ± t · spread with Satterthwaite's degrees of freedom, of which seeds have n - 1, questions m - 1.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

Array = np.ndarray
Limit = Literal["", "ceiling", "floor", "censored", "exact"]
SHARE = 0.95  # of such intervals hold what is true
DRAWS = 1000
FEW = 0.05  # share of the draws that may have no value (a level that is not always reached)


@dataclass(frozen=True)
class Effect:
    """mean, with the interval from low to high, in a claim's unit; se and df: the spread and freedom it comes from.

    seeds, questions: of how many (0: nothing there is random). limit: why it cannot speak, if so. arms: the scores that
    were compared, in points of 100, where room to differ is a question. tries: of a share, of how many it is one.
    """

    mean: float
    low: float
    high: float
    se: float = 0.0
    df: float = math.inf
    seeds: int = 0
    questions: int = 0
    limit: Limit = ""
    arms: tuple[float, ...] = ()
    tries: int = 0

    def limited(self, limit: Limit) -> "Effect":
        return replace(self, limit=limit)


class Draws:
    """Questions and seeds, drawn again and again; the first draw is what there is, each once.

    A set of questions has a name: what is asked in several arms is drawn together, so that differences stay paired.
    """

    def __init__(self, count: int = DRAWS, seed: int = 0) -> None:
        self.count, self.seed = count, seed
        self.asked: dict[str, int] = {}
        self._drawn: dict[str, Array] = {}

    def _weights(self, name: str, among: int, taken: int) -> Array:
        """(draws, among): how much each one counts, 1 in sum."""
        if name in self._drawn:
            return self._drawn[name]
        rng = np.random.default_rng([self.seed, *name.encode()])
        weights = rng.multinomial(taken, np.full(among, 1 / among), size=self.count) / taken
        weights[0] = 1 / among
        self._drawn[name] = weights
        return weights

    def mean(self, scores: Array, name: str = "questions") -> Array:
        """(..., questions) -> (draws, ...): the mean over the questions called so, in every draw.

        Raises ValueError if another number of questions went by that name.
        """
        scores = np.asarray(scores, float)
        many = scores.shape[-1]
        if self.asked.setdefault(name, many) != many:
            raise ValueError(f"{name} has {self.asked[name]} questions here and {many} there")
        return np.moveaxis(scores @ self._weights(name, many, many).T, -1, 0)

    def seeds(self, among: int) -> Array:
        """(draws, seeds): how much each seed counts."""
        return self._weights("seeds", among, max(1, among - 1))


def effect(per_seed: Callable[[Draws], Array], *, least: float = 0.0, arms: Sequence[float] = ()) -> Effect:
    """What `per_seed` gives, averaged over seeds, with an interval over seeds and questions.

    per_seed: (draws, seeds), computed from `Draws.mean` of the scores; what questions do not move may be one row.
    A value that is missing (NaN) with any seed as it was measured, or in more than `FEW` of the draws, is censored.
    least: the interval reaches at least so far to both sides (see `unseen`). Of one seed nothing is known around it.
    """
    draws = Draws(DRAWS)
    values = np.atleast_2d(np.asarray(per_seed(draws), float))
    seeds, asked = values.shape[1], [many for many in draws.asked.values() if many > 1]
    questions = max(asked, default=0)
    middle = float(values[0].mean())
    if not np.isfinite(values[0]).all() or np.mean(~np.isfinite(values).all(axis=1)) > FEW:
        known = values[0][np.isfinite(values[0])]
        middle = float(known.mean()) if known.size else math.nan
        return Effect(middle, -math.inf, math.inf, math.inf, 1, seeds, questions, "censored", tuple(arms))
    if seeds == 1 and not asked:
        return Effect(middle, -math.inf, math.inf, math.inf, 1, 1, 0, "", tuple(arms))
    values = values[np.isfinite(values).all(axis=1)]
    among = draws.seeds(seeds)
    both = (among[: len(values)] * values).sum(axis=1)
    parts = [(float(values[0].var(ddof=1)) / seeds, seeds - 1)] if seeds > 1 else []
    parts += [(float(values.mean(axis=1).var(ddof=1)), min(asked) - 1)] if asked and len(values) > 1 else []
    se = float(both[1:].std(ddof=1)) if len(values) > 1 else parts[0][0] ** 0.5
    df = _freedom(parts)
    half = float(stats.t.ppf((1 + SHARE) / 2, df)) * se
    if half < least:
        se, half = se * least / half if half else least / float(stats.t.ppf((1 + SHARE) / 2, df)), least
    return Effect(middle, middle - half, middle + half, se, df, seeds, questions, "", tuple(arms))


def _freedom(parts: Sequence[tuple[float, int]]) -> float:
    """Of a sum of variances, each with its own degrees of freedom (Satterthwaite 1946)."""
    total = sum(variance for variance, _ in parts)
    if not total:
        return float(min((freedom for _, freedom in parts), default=1))
    return total**2 / sum(variance**2 / freedom for variance, freedom in parts)


def unseen(questions: int, scale: float = 100.0) -> float:
    """How large may a share be of which `questions` questions showed nothing? Clopper and Pearson's end for 0 of them.

    Answers that are alike on every question asked may differ on others: an interval has at least this width.
    """
    return scale * float(stats.binomtest(0, questions).proportion_ci(SHARE, method="exact").high)


def mean_effect(values: Sequence[float], least: float = 0.0) -> Effect:
    """Of one number a seed, which no questions moved: Student's interval. least: as `effect`."""
    return effect(lambda draws: np.asarray(values, float)[None], least=least)


def share_effect(hits: int, tries: int) -> Effect:
    """Of so many things that happened in so many independent tries, in per cent: Clopper and Pearson's interval."""
    ends = stats.binomtest(hits, tries).proportion_ci(SHARE, method="exact")
    return Effect(100 * hits / tries, 100 * float(ends.low), 100 * float(ends.high), tries=tries)


def exact_effect(value: float) -> Effect:
    """What arithmetic gives, such as a count of weights: no seed and no question moves it."""
    return Effect(value, value, value, limit="exact")


def compared(some: Mapping[str, Array], others: Mapping[str, Array]) -> Effect:
    """Points by which `some` is above `others`: sets of questions by name, each (seeds, questions) of right or wrong.

    Both were asked the same questions with the same seeds. All sets together make one mean, each question counting as
    much as any other.
    """
    sizes = {name: scores.shape[-1] for name, scores in some.items()}
    total = sum(sizes.values())

    def per_seed(draws: Draws) -> Array:
        return sum(  # type: ignore[return-value]
            100 * sizes[name] / total * draws.mean(np.subtract(some[name], others[name], dtype=float), name)
            for name in sizes
        )

    levels = [sum(100 * float(arm[name].mean()) * sizes[name] / total for name in sizes) for arm in (some, others)]
    return effect(per_seed, least=unseen(total), arms=levels)
