"""How long may a regular expression take that somebody else wrote? That is counted before it is used.

Python's `re` tries one way after another, and `(a+)+$` has more of them than there are seconds. A pattern whose ways
could not all be tried in some seconds is refused. What people write to check a sentence has as many, and is mostly done
at once: `fits` tries it, for some seconds at most.
"""

import json
import math
import re
import subprocess
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import regex

from engine.errors import InputError

_LONGEST = 2_000  # characters of a pattern
_LARGEST = 100_000  # the same with what it repeats written out, as it is in memory
_SECONDS = 5.0  # that one is tried on one text
_TRIED = 100_000  # characters of a pattern that is only used where it can be stopped
_BRACE = re.compile(r"(\\N\{[^}]*\}|\\.)|\{(?!\d+\}|\d*,\d*\})", re.DOTALL)
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
    with _used(pattern, where):
        return _ways(_parser.parse(pattern), length)


def check_form(pattern: str, where: object) -> None:
    """Raises InputError for what is no regular expression, or one that `fits` could not be asked of."""
    with _used(pattern, where):
        _check_size(pattern)
        regex.compile(_plain(pattern))


def _plain(pattern: str) -> str:
    """For `regex`, to which braces that count nothing mean something: `{d}` is then itself, as it is in `re`."""
    return _BRACE.sub(lambda found: found[1] or r"\{", pattern)


def fits(pattern: str, text: str, where: object) -> bool:
    """Whether all of a text is as a pattern says. Raises InputError where that could not be told in some seconds."""
    try:
        return regex.fullmatch(_plain(pattern), text, timeout=_SECONDS) is not None
    except TimeoutError:
        raise InputError(
            f"{where}: after {_SECONDS:.0f} s it was not clear whether {pattern[:80]!r} fits an answer of "
            f"{len(text):,} characters; write it simpler, without repeats inside of repeats"
        ) from None


def check_by_trying(patterns: Collection[str], texts: Collection[str], where: object) -> None:
    """Raises InputError as `check`, but for patterns that cannot be counted only where all of them take long on these
    very texts: they are tried in a process of its own, which can be stopped."""
    try:
        check(patterns, texts, where)
        return
    except InputError:
        for pattern in patterns:
            with _used(pattern, where, _TRIED, strict=False):
                _check_size(pattern)
    try:
        subprocess.run([sys.executable, "-I", "-S", "-c", _TRY], input=json.dumps([*map(list, (patterns, texts))]),
                       text=True, timeout=_SECONDS, check=True, capture_output=True)  # fmt: skip
    except (subprocess.SubprocessError, OSError):
        raise InputError(
            f"{where}: its patterns ({max(patterns, key=len)[:80]!r}) take more than {_SECONDS:.0f} s on "
            f"{len(texts)} names; write them simpler, without repeats inside of repeats"
        ) from None


_TRY = """
import json, re, sys
patterns, texts = json.load(sys.stdin)
for pattern in map(re.compile, patterns):
    for text in texts:
        pattern.match(text), pattern.fullmatch(text)
"""


def _check_size(pattern: str) -> None:
    if (size := _size(_parser.parse(pattern))) > _LARGEST:
        raise re.error(f"written out it has {size:,} characters")


@contextmanager
def _used(pattern: str, where: object, longest: int = _LONGEST, strict: bool = True) -> Iterator[None]:
    try:
        if len(pattern) > longest:
            raise re.error(f"it has {len(pattern):,} characters")
        with warnings.catch_warnings():
            warnings.simplefilter("error" if strict else "ignore")  # of what will mean something else one day
            yield
    except (re.error, regex.error, RecursionError, OverflowError, Warning) as error:
        raise InputError(f"{where}: {pattern[:80]!r} is no regular expression that can be used ({error})") from None


def _size(tree: Iterable[tuple[Any, Any]]) -> int:
    """Characters of a pattern in which each repeat is written as often as it is at least."""
    found = 0
    for what, inside in tree:
        match str(what):
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                found += (int(inside[0]) + 1) * _size(inside[2])
            case "SUBPATTERN" | "ASSERT" | "ASSERT_NOT":
                found += _size(inside[-1])
            case "ATOMIC_GROUP":
                found += _size(inside)
            case "BRANCH":
                found += sum(map(_size, inside[1]))
            case "GROUPREF_EXISTS":
                found += _size(inside[1]) + _size(inside[2] or ())
            case _:
                found += 1
    return found


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
