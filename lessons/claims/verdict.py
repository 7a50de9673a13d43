"""Does a sentence hold? One rule, the same for yes and for no, from effects with their intervals to a verdict.

A sentence says of an effect that it is more than a target, less than it, or the same; `margin` is how much matters, in
the claim's unit, fixed before anything is tried, with a sentence why. Each condition gets an answer of its own:

    yes          the interval lies beyond the margin on the sentence's side
    no           it lies on the other side of that margin ("same": wholly outside of it)
    undecided    neither: more seeds or more questions would tell
    ceiling      both scores are so high that there was no room to differ; floor: so low
    censored     the level was not reached, or the best setting is the edge of what was tried
    missing      not yet tried

What is asked of many conditions is answered by chance for some of them: the answers of a family are corrected for
their number (Holm 1979, "A simple sequentially rejective multiple test procedure").

All yes: it holds. All no: it does not. Yes here and no there: it depends, and on what is said. Anything else, a missing
arm too, leaves it undecided, unless every condition ended at a ceiling or floor, or censored. What arithmetic says
without any chance is called exact.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from lessons.claims.intervals import Effect

Answer = Literal["yes", "no", "undecided", "ceiling", "floor", "censored", "missing"]
VERDICTS = HOLDS, EXACT, FAILS, DEPENDS, OPEN, NO_ROOM, CENSORED, UNTRIED = (
    "holds", "exact", "does not hold here", "depends", "undecided", "ceiling or floor", "censored", "not yet tried",
)  # fmt: skip
LEVEL = 0.05  # of a family's answers, how likely is a single wrong one at most?


@dataclass(frozen=True)
class Says:
    """What a sentence says of its effects, compared with `target`. margin: how much matters; why: that much, in words.

    top: the highest score there is, where effects are differences of scores (points: 100); 0 if they are not.
    """

    side: Literal["more", "less", "same"] = "more"
    margin: float = 0.0
    why: str = ""
    target: float = 0.0
    top: float = 100.0


def room(effect: Effect, says: Says) -> Answer | None:
    """Could its scores have differed by more than the margin? "ceiling" or "floor" if not, None if so.

    It takes two scores: there is no room above the lower of them at the ceiling, nor below the higher one at the floor.
    """
    if len(effect.arms) < 2 or not says.top:
        return None
    if min(effect.arms) >= says.top - says.margin:
        return "ceiling"
    return "floor" if max(effect.arms) <= says.margin else None


def chances(effect: Effect, says: Says) -> tuple[float, float]:
    """(p of yes, p of no): how likely is an effect as far out as this one where that answer is just not true?

    One-sided, by the t distribution that the interval comes from; the interval at 95 % lies beyond the margin exactly
    if one of them is below 0.025. For "same" the first is that of two one-sided tests (Schuirmann 1987).
    """
    if effect.tries:
        return _chances_of_a_share(effect, says)
    off = effect.mean - says.target

    def beyond(distance: float) -> float:
        """p of an effect that is at most 0, when this far above it was measured."""
        if not math.isfinite(effect.se):
            return 1.0
        if effect.se == 0:
            return 0.0 if distance > 0 else 1.0
        return float(stats.t.sf(distance / effect.se, effect.df))

    above, below = beyond(off - says.margin), beyond(-off - says.margin)
    within = max(beyond(says.margin - off), beyond(off + says.margin))
    if says.side == "same":
        return within, min(above, below)
    if says.side == "more":
        return above, beyond(says.margin - off)
    return below, beyond(off + says.margin)


def _chances_of_a_share(effect: Effect, says: Says) -> tuple[float, float]:
    """The same by the binomial distribution. Raises ValueError for a sentence that says "the same"."""
    if says.side == "same":
        raise ValueError("a share is said to be more or less than a target")
    bound = (says.target + (says.margin if says.side == "more" else -says.margin)) / 100
    hits = round(effect.mean * effect.tries / 100)
    above, below = (stats.binomtest(hits, effect.tries, bound, alternative=way).pvalue for way in ("greater", "less"))
    return (above, below) if says.side == "more" else (below, above)


def holm(ps: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Which of these are below the level, so that a single wrong one among all is no likelier than it?

    In order from the smallest, each against level / (how many are left); the first that fails ends it.
    """
    order = np.argsort(ps, kind="stable")
    passed = np.cumprod(np.asarray(ps)[order] <= level / np.arange(len(ps), 0, -1)).astype(bool)
    found = np.zeros(len(ps), bool)
    found[order] = passed
    return found.tolist()


def answers(family: Sequence[tuple[Effect | None, Says]]) -> list[Answer]:
    """The answer of each condition of a family; None is one that was not tried."""
    found: list[Answer | None] = []
    open_ones: list[tuple[int, Answer, float]] = []
    for at, (effect, says) in enumerate(family):
        if effect is None:
            found.append("missing")
        elif effect.limit == "exact":
            found.append("yes" if says_so(effect.mean, says) else "no")
        elif effect.limit:
            found.append(effect.limit)
        elif (limit := room(effect, says)) is not None:
            found.append(limit)
        else:
            yes, no = chances(effect, says)
            open_ones.append((at, "yes" if yes <= no else "no", min(1.0, 2 * min(yes, no))))
            found.append(None)
    decided = holm([p for *_, p in open_ones])
    for (at, said, _), sure in zip(open_ones, decided, strict=True):
        found[at] = said if sure else "undecided"
    return [said for said in found if said is not None]


def says_so(value: float, says: Says) -> bool:
    """Is the sentence right of a number that has no spread? A margin of 0 asks for the target itself, or for more."""
    off = value - says.target
    if says.side == "same":
        return abs(off) <= says.margin
    return (off if says.side == "more" else -off) > says.margin


def verdict(said: Mapping[str, Answer], exact: bool = False) -> tuple[str, str]:
    """(verdict, on what it depends or what stands in the way) from each condition's answer; the second empty if all
    agree. exact: they are facts of arithmetic."""
    groups = {kind: [name for name, answer in said.items() if answer == kind] for kind in dict.fromkeys(said.values())}
    kinds = set(groups)
    on = "; ".join(f"{kind}: {' / '.join(names)}" for kind, names in groups.items()) if len(kinds) > 1 else ""
    if kinds <= {"missing"}:
        return UNTRIED, ""
    if kinds == {"yes"}:
        return (EXACT if exact else HOLDS), ""
    if kinds == {"no"}:
        return FAILS, ""
    if kinds >= {"yes", "no"}:
        return DEPENDS, on
    if kinds <= {"ceiling", "floor"}:
        return NO_ROOM, on
    return (CENSORED if kinds == {"censored"} else OPEN), on
