"""What does the ledger say of a claim? Read from `lessons/claims/claims.json`, for films that show its intervals.

A film shows what was tried and leaves out the rest: a claim that was withdrawn, or was not tried yet, is simply not
there. Nothing of the ledger's code is loaded.
"""

import json
from typing import Any, NamedTuple

from engine.derived import ROOT
from visualize.naming import proper

KEPT = ROOT / "lessons" / "claims" / "claims.json"


class Tried(NamedTuple):
    """One condition under which a sentence was tried: the mean of what was measured, its 95 % interval, in `unit`.

    holds: "yes", "no", or what else the ledger says of it.
    """

    name: str
    mean: float
    low: float
    high: float
    unit: str
    holds: str


class Claim(NamedTuple):
    sentence: str
    verdict: str
    effect: str
    seeds: int
    tried: list[Tried]
    unmeasured: list[str]  # what the ledger answers under conditions that gave no interval: "censored"


def claim(name: str) -> Claim | None:
    """None for a claim that is not in the ledger, or of which nothing was measured with an interval."""
    try:
        row = json.loads(KEPT.read_text(encoding="utf-8"))[name]
        found = [_tried(where, one, str(row["unit"])) for where, one in row["conditions"].items()]
        known = [one for one in found if one]
        rest = [str(one["answer"]) for one, seen in zip(row["conditions"].values(), found, strict=True) if not seen]
        made = Claim(str(row["sentence"]), str(row["verdict"]), str(row["effect"]), int(row["seeds"]), known, rest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return made if made.tried and made.seeds > 1 else None


def _tried(name: str, condition: dict[str, Any], unit: str) -> Tried | None:
    effect = condition["effect"]
    ends = [effect[end] for end in ("mean", "low", "high")]
    if any(not isinstance(end, int | float) for end in ends):
        return None
    mean, low, high = map(float, ends)
    return Tried(proper(name), mean, low, high, unit, str(condition["answer"]))
