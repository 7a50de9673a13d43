"""How long may a regular expression take that somebody else wrote? That is counted before it is used.

Python's `re` tries one way after another, and `(a+)+$` has more of them than there are seconds. A pattern whose ways
could not all be tried in some seconds is refused.
"""

import math
import re
import warnings
from collections.abc import Collection, Iterable
from re import _parser  # type: ignore[attr-defined]
from typing import Any

from engine.errors import InputError

_LONGEST = 2_000  # characters of a pattern
_WORK = 2e8  # ways times characters: some seconds


def check(patterns: Collection[str], texts: Collection[str], where: object) -> None:
    """Raises InputError, naming `where` they stand, for patterns that are none or that would take too long on these
    texts."""
    longest = max(map(len, texts), default=0)
    work = 0.0
    for pattern in patterns:
        work += len(texts) * longest * ways(pattern, longest, where)
        if work > _WORK:
            raise InputError(
                f"{where}: the pattern {pattern[:80]!r} could take for ever on {len(texts)} names; write it simpler, "
                "without repeats inside of repeats"
            )


def ways(pattern: str, length: int, where: object = "pattern") -> float:
    """In how many ways, at most, can it be laid along a text of this length? Infinite for more than can be counted.

    Raises InputError for what is no regular expression.
    """
    try:
        if len(pattern) > _LONGEST:
            raise re.error(f"it has {len(pattern):,} characters")
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of what will mean something else one day
            return _ways(_parser.parse(pattern), length)
    except (re.error, RecursionError, OverflowError, Warning) as error:
        raise InputError(f"{where}: {pattern[:80]!r} is no regular expression that can be used ({error})") from None


def _ways(tree: Iterable[tuple[Any, Any]], length: int) -> float:
    found = 1.0
    for what, inside in tree:
        match str(what):
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                least, most, repeated = inside
                most = min(int(most), length)
                each = _ways(repeated, length)
                found *= max(1, most - least + 1)
                found *= 1.0 if each <= 1 else each**most if most * math.log2(each) < 100 else math.inf
            case "SUBPATTERN":
                found *= _ways(inside[-1], length)
            case "ATOMIC_GROUP":
                found *= _ways(inside, length)
            case "BRANCH":
                found *= sum(_ways(one, length) for one in inside[1])
            case "ASSERT" | "ASSERT_NOT" | "GROUPREF" | "GROUPREF_EXISTS":
                return math.inf
    return found
