"""What is read from the trials of a real LLM? Scores question by question, seed by seed, and effects of them."""

from collections.abc import Mapping, Sequence

import numpy as np

from lessons.claims.intervals import Array, Draws, Effect, effect, mean_effect, share_effect, unseen
from lessons.claims.llm.trial import Result, Tuning

# Nats a token of the held-out answers: where methods are compared, each having learned as much. At 1, which was tried
# first, some arms were not there with every draw of the questions, and nothing could be said.
LEARNED = 1.5
RIGHT_OR_WRONG = ("few_shot",)  # answers that are alike on every question asked may differ on others


class NotTried(Exception):
    """A seed of an arm that a reading needs has not been tried."""


class Trials:
    """The finished trials by arm: `trials("full")` gives one result a seed."""

    def __init__(self, arms: Mapping[str, Tuning], found: Mapping[Tuning, Result], seeds: int) -> None:
        self.arms, self.found, self.seeds = arms, found, seeds
        self.read: set[Tuning] = set()  # arms, since this was last emptied

    def __call__(self, arm: str) -> list[Result]:
        """Raises NotTried if one is missing."""
        self.read.add(self.arms[arm])
        wanted = [self.arms[arm].with_seed(seed) for seed in range(self.seeds)]
        if any(trial not in self.found for trial in wanted):
            raise NotTried(arm)
        return [self.found[trial] for trial in wanted]

    def scores(self, arm: str, measure: str) -> Array:
        """(graded steps, seeds, questions); of the first seeds' questions as many as every seed has."""
        each = [[grade["items"][measure]["values"] for grade in one["grades"]] for one in self(arm)]
        few = min(len(values) for steps in each for values in steps)
        return np.array([[values[:few] for values in steps] for steps in each]).swapaxes(0, 1)

    def steps(self, arm: str) -> list[int]:
        return self(arm)[0]["steps"]


def change(t: Trials, arm: str, measure: str, *, start: int = 0, end: int = -1, scale: float = 1.0) -> Effect:
    """A measure at one graded step minus another."""
    scores = t.scores(arm, measure)
    arms = [scale * float(scores[at].mean()) for at in (start, end)] if scale == 100 else []
    least = unseen(scores.shape[-1]) if measure in RIGHT_OR_WRONG else 0.0
    return effect(lambda draws: scale * draws.mean(scores[end] - scores[start], measure), least=least, arms=arms)


def beside(t: Trials, arm: str, other: str, measure: str) -> Effect:
    """A measure at the end of one arm minus another's, of the same questions."""
    first, second = (t.scores(name, measure)[-1] for name in (arm, other))
    return effect(lambda draws: draws.mean(first - second, measure))


def rise_beside(t: Trials, arm: str, other: str, measure: str) -> Effect:
    """How much more a measure has risen in one arm than in the other, at the end."""
    rises = [t.scores(name, measure)[-1] - t.scores(name, measure)[0] for name in (arm, other)]
    return effect(lambda draws: draws.mean(rises[0] - rises[1], measure))


def when_learned(draws: Draws, t: Trials, arm: str, measure: str) -> Array:
    """(draws, seeds): a measure's rise when the held-out loss first falls to `LEARNED`; NaN where it does not.

    Between two grades a straight line is drawn.
    """
    losses, values = (
        np.stack([draws.mean(step, name) for step in t.scores(arm, name)]) for name in ("new_loss", measure)
    )  # (steps, draws, seeds)
    found = np.full(losses.shape[1:], np.nan)
    for at in range(len(losses) - 1, 0, -1):
        here = (losses[at - 1] > LEARNED) & (losses[at] <= LEARNED)
        part = (losses[at - 1] - LEARNED) / np.where(here, losses[at - 1] - losses[at], 1.0)
        found = np.where(here, values[at - 1] + part * (values[at] - values[at - 1]) - values[0], found)
    return found


def at_equal_learning(t: Trials, arm: str, other: str, measure: str) -> Effect:
    """How much more a measure has risen in one arm than in the other, when both have learned as much."""
    return effect(lambda draws: when_learned(draws, t, arm, measure) - when_learned(draws, t, other, measure))


def going_on(t: Trials, arm: str, measure: str) -> Effect:
    """How much more a measure has risen at the end than when the task was learned."""

    def per_seed(draws: Draws) -> Array:
        scores = t.scores(arm, measure)
        return draws.mean(scores[-1] - scores[0], measure) - when_learned(draws, t, arm, measure)

    return effect(per_seed)


def overfitting(t: Trials, arm: str) -> Effect:
    """Held-out loss at the end minus at the grade before."""
    return change(t, arm, "new_loss", start=-2)


def form_beside_facts(t: Trials, arm: str) -> Effect:
    """At the first grade: points of agreement with the base's own words lost, minus points of probability of the right
    fact among four lost."""
    words, facts = t.scores(arm, "agreement"), t.scores(arm, "facts")
    return effect(
        lambda draws: 100 * (draws.mean(words[0] - words[1], "agreement") - draws.mean(facts[0] - facts[1], "facts"))
    )


def of_matrices(t: Trials, arm: str, what: str, other: str = "", minus: float = 0.0) -> Effect:
    """The mean over matrices of one of `trial.matrices`, seed by seed, less another arm's or a number."""
    values = [float(np.mean(one["matrices"][what])) for one in t(arm)]
    others = [float(np.mean(one["matrices"][what])) for one in t(other)] if other else [minus] * len(values)
    return mean_effect([a - b for a, b in zip(values, others, strict=True)])


def told(t: Trials, arm: str, repeats: int) -> Effect:
    """Secrets that are said word for word when asked for, of those that stood so often in the data."""
    said: Sequence[bool] = [
        told
        for one in t(arm)
        for told, count in zip(one["secrets"]["told"], one["secrets"]["repeats"], strict=True)
        if count == repeats
    ]
    return share_effect(sum(said), len(said))
