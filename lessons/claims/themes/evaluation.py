"""Can the loss alone be trusted? Where it and the answers disagree, within a run and between runs."""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import combinations, pairwise
from math import comb

import numpy as np

from lessons.claims.claim import Claim, Results, over
from lessons.claims.intervals import Array, Effect, mean_effect, share_effect, unseen
from lessons.claims.readings import scores
from lessons.claims.themes import METHODS, USUAL, plain
from lessons.claims.themes.forgetting import HIGHER
from lessons.claims.themes.tuning import FEW, learning
from lessons.claims.trials import Result
from lessons.claims.verdict import Says

TITLE = "Evaluation"
LUCK = 0.01  # how likely two moments that are equally good may be taken for different
SOME = Says("more", 1, "one in a hundred is what luck alone may give", top=0)
RUNS: Mapping[str, tuple] = {
    method: (plain(method=method), plain(method=method, rate=HIGHER * USUAL[method]), learning(method, **FEW))
    for method in METHODS
}


def luck(some: Array, others: Array) -> float:
    """p of answers that differ so, were both equally good: McNemar's exact test on the questions where they differ."""
    better, worse = int((some > others).sum()), int((some < others).sum())
    return even(min(better, worse), better + worse)


@cache
def even(fewer: int, tosses: int) -> float:
    """p of a fair coin that falls on one side so few times, or fewer, whichever side that is."""
    return min(1.0, 2 * sum(comb(tosses, many) for many in range(fewer + 1)) / 2**tosses)


def against(one: Result, other: Result, among: int) -> bool:
    """Do the answers differ by more than luck, one of `among` comparisons, and the loss says the reverse?"""
    right, other_right = scores(one, "new"), scores(other, "new")
    if luck(right, other_right) >= LUCK / among:
        return False
    gains = right.mean() - other_right.mean()
    return gains * (scores(one, "new_loss").mean() - scores(other, "new_loss").mean()) > 0


def within(r: Results, method: str) -> Effect:
    rows = [row for rows in r.each(*RUNS[method]) for row in rows]
    hits = [any(against(a, b, len(row["at"]) - 1) for a, b in pairwise(row["at"])) for row in rows]
    return share_effect(sum(hits), len(hits))


def misranked(ends: Sequence[Result]) -> float:
    """Of the pairs of models whose answers differ by more than luck, how many does the loss put in the wrong order?
    In per cent; NaN where no pair is so far apart."""
    pairs = list(combinations(ends, 2))
    clear = [pair for pair in pairs if luck(*(scores(one, "new") for one in pair)) < LUCK / len(pairs)]
    return 100 * float(np.mean([against(*pair, len(pairs)) for pair in clear])) if clear else np.nan


def between(r: Results) -> Effect:
    """Of each seed's models: every graded moment after the start of all its runs."""
    by_seed = zip(*r.each(*(run for runs in RUNS.values() for run in runs)), strict=True)
    models = [[grades for row in rows for grades in row["at"][1:]] for rows in by_seed]
    # None seen among so many models is not none: pairs are many more, but those of one model are alike.
    return mean_effect([misranked(ends) for ends in models], least=unseen(sum(map(len, models))))


CLAIMS = (
    Claim(
        "loss-against-answers", "In some runs the loss improves while the answers get worse, or the reverse.",
        "runs with such a stretch between two grades", "% of the runs", SOME, over(within, METHODS),
        design="Spanish words at the usual rate, at a higher one, and on 32 examples again and again. Answers count as "
        "changed if McNemar's exact test says so at 1 %, corrected for the number of stretches; then the loss's sign "
        "is looked at.",
        wrong="Few runs: a share of one in fifty would not be found.",
        student="Grade answers, too: the loss alone can move the other way.",
    ),
    Claim(
        "perplexity-misranks", "Perplexity alone puts some pairs of models in the wrong order.",
        "pairs in the wrong order, of the pairs whose answers differ by more than luck", "% of the pairs", SOME,
        {"spanish": between},
        design="Every graded moment of the same runs, two by two, each seed by itself.",
        wrong="Moments of one run are alike, and one wrong moment makes several wrong pairs.",
        student="Choose checkpoints by what you will be judged on.",
    ),
)  # fmt: skip
