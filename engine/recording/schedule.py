"""When is what captured, and within which budget? Schedules of steps, and the choice between exact and summarised."""

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.errors import InputError, shown
from engine.run.sketch import LEVELS, Level

Every = int | Literal["auto"] | Mapping[int, int] | Collection[int] | Callable[[int], bool]
EvaluateAt = int | Callable[[int], bool]
DEFAULT_BUDGET = "1GB"
EVALUATIONS = 12  # about, by default
FUNCTION = "a function of the step"  # what a run says of a schedule that it cannot hold
AUTO = "auto"  # and of evaluations whose number the time decided
_AUTO_BYTES = 150_000_000  # what "auto" aims for
HEADER = 150  # bytes that a file's header spends on a tensor, at most about
STEPS = 10**11  # more than there can be; the name of a capture has room for it
_MOST = 1_000_000  # evaluations that are told apart, and steps of which a function of the step is asked beforehand
_MANY = 1_000  # steps that a loop of unknown length is taken to have when room is allotted


@dataclass(frozen=True)
class Steps:
    """A schedule that is counted without going through its steps, of which there may be a billion: these parts, which
    share none."""

    parts: tuple[range | frozenset[int], ...]

    def __call__(self, step: int) -> bool:
        return any(step in part for part in self.parts)

    def count(self, first: int, last: int) -> int:
        """How many there are from `first` to `last`, both included."""
        return sum(_below(part, last + 1) - _below(part, first) for part in self.parts)


def _below(part: range | frozenset[int], end: int) -> int:
    if isinstance(part, range):
        return len(range(part.start, min(part.stop, end), part.step))
    return sum(step < end for step in part)


def count_steps(due: Callable[[int], bool], first: int, last: int) -> int:
    """At how many steps from `first` to `last` something is due. A function of one's own is asked of the first million;
    that it goes on like this is taken for granted, of what serves only to say and to allot."""
    if last < first:
        return 0
    if isinstance(due, Steps):
        return due.count(first, last)
    asked = min(last, first + _MOST - 1)
    found = sum(1 for step in range(first, asked + 1) if due(step))
    return found if asked == last else round(found * (last + 1 - first) / _MOST)


def check_capture(every: Every, evaluate_at: EvaluateAt, budget: str | int | None, modules: Any) -> None:
    """Raises InputError for what is no schedule, no size or no patterns of names."""
    capture_schedule(every, 1, None)
    evaluation_schedule(evaluate_at, None)
    if budget is not None:
        parse_bytes(budget)
    patterns = modules if isinstance(modules, list | tuple) else [modules]
    if modules is not None and not (patterns and all(isinstance(one, str) and one for one in patterns)):
        raise InputError(f"modules is {shown(modules)}; give patterns of names, such as '*.q_proj'")


def capture_schedule(every: Every, bytes_each: int, total: int | None, aim: int = _AUTO_BYTES) -> Callable[[int], bool]:
    """Which steps are captured, besides step 0 and the last.

    every: a number n, each n-th step; {0: 1, 100: 10}, each step at first and from step 100 each 10th; a list of
    steps; a function of the step; or "auto": all at first, then sparser, some `aim` bytes in all. bytes_each: of one
    capture. total: the number of steps, if known. Raises InputError for anything else.
    """
    if callable(every):
        return every
    if isinstance(every, Mapping):
        return _strides(every)
    if not isinstance(every, str | int) and isinstance(every, Collection):
        whole = [step for step in every if type(step) is int and 0 <= step < STEPS]
        steps = frozenset(whole)
        if len(whole) < len(every):
            raise InputError(f"every is {shown(every)}; a list of steps holds whole numbers from 0 on")
        return Steps((steps,))
    if every != "auto":
        if type(every) is not int or not 1 <= every < STEPS:
            raise InputError(f"every is {shown(every)}; capture every 1st, 2nd, ... step, or 'auto'")
        return Steps((range(0, STEPS, every),))
    room = min(80, max(12, aim // max(1, bytes_each)))
    if total is None:  # an endless loop: ever sparser, so that the run grows with the logarithm of its steps
        return lambda step: step <= 8 or math.floor(math.log(step, 1.15)) > math.floor(math.log(step - 1, 1.15))
    dense = room // 4
    stride = max(1, math.ceil((total - dense) / (room - dense)))
    sparse = dense + 1 + (total - dense - 1) % stride  # the first from which a whole number of strides ends at the last
    return Steps((range(dense + 1), range(sparse, STEPS, stride)))


def _strides(every: Mapping[int, int]) -> Callable[[int], bool]:
    """{0: 1, 100: 10}: the stride that holds from each step on. Before the first one named, nothing is captured."""
    whole = all(type(n) is int and 0 <= n < STEPS for n in (*every, *every.values()))
    if not every or not whole or not all(every.values()):
        raise InputError(f"every is {shown(dict(every))}; give the stride from each step on, such as {{0: 1, 100: 10}}")
    starts = sorted(every)
    return Steps(
        tuple(range(start, end, every[start]) for start, end in zip(starts, [*starts[1:], STEPS], strict=True))
    )


def evaluation_schedule(at: EvaluateAt, total: int | None) -> Callable[[int], bool]:
    """Which steps are evaluated. at: a function of the step, or a number: step 0, the last, and about so many between,
    closer together at first, when most is learned and lost. Without a known total, step 0 only. Raises InputError for
    a number below 1.
    """
    if callable(at):
        return at
    if type(at) is not int or not 1 <= at < STEPS:
        raise InputError(f"evaluate_at is {shown(at)}; evaluate at least once between the first step and the last")
    if total is not None and at >= 3 * total:  # closer together than the steps are
        return Steps((range(STEPS),))
    at = min(at, _MOST)
    return Steps((frozenset(round((total or 0) * (part / at) ** 1.5) for part in range(at + 1 if total else 1)),))


def named(every: Every) -> Any:
    """What run.json says of it."""
    if callable(every):
        return FUNCTION
    return {str(k): v for k, v in every.items()} if isinstance(every, Mapping) else _as_json(every)


def _as_json(every: Any) -> Any:
    return every if isinstance(every, int | str) else sorted(every)


def parse_bytes(budget: str | int) -> int:
    """ "200MB" -> 200,000,000. Raises InputError for what is no size."""
    found = re.fullmatch(r"\s*([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*([KMGT]?)B?\s*", shown(budget).strip("'").upper())
    if not found or float(found[1]) <= 0:
        raise InputError(f"budget is {shown(budget)}; give a size such as '200MB', '2GB' or a number of bytes")
    return int(float(found[1]) * 1000 ** " KMGT".index(found[2] or " "))


def readable(size: int) -> str:
    """200,000,000 -> "200 MB"."""
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size / 1000:.3g} kB"


@dataclass(frozen=True)
class Size:
    """What one part costs, in bytes. once: beside the captures. exact: in each. shape: of its delta, if a matrix."""

    once: int
    exact: int
    shape: tuple[int, ...] | None

    def sketch(self, level: Level) -> int:
        assert self.shape is not None
        shapes = level.shapes(self.shape).values()
        return HEADER * len(shapes) + 4 * sum(math.prod(shape) for shape in shapes)


def count_captures(captured: Callable[[int], bool], total: int | None, first: int = 0) -> int:
    """How many captures there will be from step `first` on, that one and the last included."""
    last = first + _MANY if total is None else max(total, first)
    ends = {first, last}
    return count_steps(captured, first, last) + sum(not captured(end) for end in ends)


def allot(sizes: Mapping[str, Size], captures: int, budget: int | None) -> dict[str, Level | None]:
    """What is kept of each part, so that the whole run stays within the budget: None for all of it, or a sketch.

    Vectors are always kept. The richest sketch that fits for every matrix is taken; what is left then buys exactness,
    for the smallest matrices first, so that as many as possible have it.
    """
    whole = {name: size.once + captures * size.exact for name, size in sizes.items()}
    if budget is None or sum(whole.values()) <= budget:
        return dict.fromkeys(sizes)
    matrices = {name: size for name, size in sizes.items() if size.shape is not None}
    room = budget - sum(cost for name, cost in whole.items() if name not in matrices)
    for level in LEVELS:
        least = {name: min(captures * size.sketch(level), whole[name]) for name, size in matrices.items()}
        if sum(least.values()) <= room:
            break
    else:
        raise InputError(
            f"budget={readable(budget)} has no room for {captures} captures of even the norms of {len(matrices)} "
            f"matrices and all vectors ({readable(budget - room + sum(least.values()))}); give more, or capture "
            "fewer steps (every=) or modules"
        )
    room -= sum(least.values())
    chosen: dict[str, Level | None] = dict.fromkeys(sizes)
    for name in sorted(matrices, key=whole.__getitem__):
        extra = whole[name] - least[name]
        if extra > max(0, room) and extra > 0:
            chosen[name] = level
        else:
            room -= extra
    return chosen
