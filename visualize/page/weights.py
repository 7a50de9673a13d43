"""Which of a run's weights fit into the page, and how are they written?

Factors of LoRA go in as they are, in half precision. A change that was kept whole is written as the steps between one
captured step and the next, each weight rounded to a grain that is a share of how far its matrix moved; what rounding
left over at one step is in the next one, so errors do not add up. Of matrices too large for either, a small picture.
A step at which a weight is no number goes in in no form: none of them could say so.
"""

import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.run.sketch import Level, block_means, sketch_factors
from visualize.naming import percent
from visualize.page.pieces import Pieces, gzipped

GRAINS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)  # of the root mean square of a matrix' last change
SIDES = (128, 64, 32, 16, 8)
_MOST_STEPS, _LEAST_STEPS = 60, 3
_BASE64 = 4 / 3


class Packed(NamedTuple):
    """steps: the captured steps that went in. form: "factors", "grains", "pictures" or "none". pieces: one a step.

    scales: module -> what its int8 values are multiplied by. left_out: sentences for the reader.
    """

    form: str
    steps: list[int]
    pieces: list[dict[str, Any]]
    scales: dict[str, float]
    left_out: list[str]


def spread(steps: Sequence[int], wanted: Sequence[int], count: int) -> list[int]:
    """At most `count` of `steps`: the first and the last, then those in `wanted`, then evenly among the others."""
    if len(steps) <= count:
        return list(steps)
    chosen = {steps[0], steps[-1]}
    for pool in ([step for step in steps if step in set(wanted)], list(steps)):
        room = count - len(chosen)
        others = [step for step in pool if step not in chosen]
        if room > 0 and others:
            places = np.unique(np.linspace(0, len(others) - 1, min(room, len(others))).round().astype(int))
            chosen |= {others[place] for place in places}
    return sorted(chosen)


def _numbers(run: Any, are: Callable[[int], bool]) -> list[int]:
    """The captured steps up to the last whose weights `are` numbers: what has diverged stays so."""
    steps = list(run.steps)
    while steps and not are(steps[-1]):
        steps.pop()
    return steps


def _finite(run: Any, modules: list[str]) -> Callable[[int], bool]:
    """Whether every change of a step is finite."""
    return lambda step: all(np.isfinite(run.norm(module, step)) for module in modules)


def pack_factors(pieces: Pieces, run: Any, modules: list[str], wanted: Sequence[int], room: int) -> Packed | None:
    """B and A of every module, at as many steps as fit into `room` bytes; None if not even the last one does."""

    def at(step: int) -> dict[str, np.ndarray]:
        found = {}
        for module in modules:
            factors = run.factors(module, step)
            # The scaling goes into B: B A is delta-W then, whatever scaled it.
            with np.errstate(over="ignore", invalid="ignore"):  # what is no number there is left out
                found[f"{module}#B"] = (factors.B * np.float32(factors.scaling)).astype(np.float16)
                found[f"{module}#A"] = factors.A.astype(np.float16)
        return found

    def are(step: int) -> bool:
        return all(np.isfinite(one).all() for one in at(step).values())

    if not (numbers := _numbers(run, are)):
        return _no_numbers()
    trial = Pieces()
    trial.add_tensors(at(numbers[-1]))
    count = min(room // max(1, trial.size), _MOST_STEPS)
    if count < 1:
        return None
    steps = spread(numbers, wanted, max(count, 2))[-count:] if count < 2 else spread(numbers, wanted, count)
    steps = [step for step in steps if are(step)]
    left_out = _fewer(run, numbers, steps, "in half precision, ")
    return Packed("factors", steps, [pieces.add_tensors(at(step)) for step in steps], {}, left_out)


def pack_grains(pieces: Pieces, run: Any, modules: list[str], wanted: Sequence[int], room: int) -> Packed | None:
    """The whole change of every module, rounded as finely and at as many steps as fit into `room` bytes."""
    are = _finite(run, modules)
    if not (numbers := _numbers(run, are)):
        return _no_numbers()
    last = {name: run.delta(name, numbers[-1]) for name in modules}
    size = {name: float(np.sqrt(np.mean(np.square(delta, dtype=np.float64)))) for name, delta in last.items()}
    count = min(len(numbers), 24)
    while count >= min(_LEAST_STEPS, len(numbers)):
        steps = [step for step in spread(numbers, wanted, count) if are(step)]
        # A sample of matrices tells how large all will be.
        for grain in GRAINS:
            if _bytes_of(run, modules, steps, size, grain) * _BASE64 <= room:
                coded, missed = _coded(run, modules, steps, size, grain)
                trial = Pieces()
                listed = [trial.add_tensors(one) for one in coded]
                if trial.size > room:
                    continue
                note = (
                    f"weights are rounded to {grain:g} of how far their matrix moved: "
                    f"what is shown misses {percent(missed, 1)} of the change at its last step"
                )
                scales = {name: grain * size[name] for name in modules}
                return Packed("grains", steps, pieces.join(trial, listed), scales, [*_fewer(run, numbers, steps), note])
        count = count * 3 // 4
    return None


def _steps_of(run: Any, name: str, steps: list[int], scale: float) -> tuple[list[np.ndarray], float]:
    """int8 differences between the steps' changes in units of `scale`, and the squared error at the last of them."""
    found, reached = list[np.ndarray](), np.zeros((), np.float32)
    delta: np.ndarray = np.zeros((), np.float32)
    for step in steps:
        delta = run.delta(name, step)
        units = np.zeros(np.shape(delta), np.int8)
        if scale > 0:
            units = np.rint(np.clip((delta - reached) / np.float32(scale), -127, 127)).astype(np.int8)
        reached = reached + units * np.float32(scale)
        found.append(units)
    return found, float(np.sum(np.square(delta - reached, dtype=np.float64)))


def _bytes_of(run: Any, modules: list[str], steps: list[int], size: dict[str, float], grain: float) -> float:
    sample = [name for at, name in enumerate(modules) if len(run.shape(name)) == 2 and at % 7 == 0] or modules
    taken = sum(
        len(gzipped(units.tobytes(), zlib.Z_RLE))
        for name in sample
        for units in _steps_of(run, name, steps, grain * size[name])[0]
    )
    weights, among = (sum(float(np.prod(run.shape(name))) for name in names) for names in (modules, sample))
    return taken * weights / max(among, 1)


def _coded(
    run: Any, modules: list[str], steps: list[int], size: dict[str, float], grain: float
) -> tuple[list[dict[str, np.ndarray]], float]:
    coded: list[dict[str, np.ndarray]] = [{} for _ in steps]
    missed = whole = 0.0
    for name in modules:
        units, error = _steps_of(run, name, steps, grain * size[name])
        missed, whole = missed + error, whole + size[name] ** 2 * float(np.prod(run.shape(name)))
        for at, one in enumerate(units):
            coded[at][name] = one
    return coded, float(np.sqrt(missed / whole)) if whole else 0.0


def pack_pictures(
    pieces: Pieces, run: Any, modules: list[str], wanted: Sequence[int], room: int,
    picture: Callable[[str, int, int], np.ndarray],
) -> Packed:  # fmt: skip
    """A small picture of every module (means of blocks), as large and at as many steps as fit into `room` bytes."""
    shapes = {name: run.shape(name) for name in modules}
    are = _finite(run, modules)
    if not (numbers := _numbers(run, are)):
        return _no_numbers()
    for count in (24, 12, 6, 2, 1):
        steps = spread(numbers, wanted, max(2, count))[-count:] if count == 1 else spread(numbers, wanted, count)
        steps = [step for step in steps if are(step)]
        for side in SIDES:
            values = sum(min(side, shape[0]) * min(side, shape[1]) for shape in shapes.values())
            if values * len(steps) * _BASE64 > room:
                continue
            found = {name: [np.asarray(picture(name, step, side), np.float32) for step in steps] for name in modules}
            limits = {name: max(float(np.abs(one).max(initial=0)) for one in found[name]) / 127 for name in modules}
            coded = [
                {name: np.rint(found[name][at] / (limits[name] or 1)).astype(np.int8) for name in modules}
                for at in range(len(steps))
            ]
            note = f"a matrix is shown as a picture of at most {side} x {side} blocks, each the mean of its weights"
            return Packed("pictures", steps, [pieces.add_tensors(one) for one in coded], limits,
                          [*_fewer(run, numbers, steps), note])  # fmt: skip
    return Packed("none", [], [], {}, ["no weights: not even small pictures of them fit into the size that was chosen"])


def picture_of(run: Any, module: str, step: int, side: int) -> np.ndarray:
    """A small picture of a change: means of blocks, at most side x side."""
    if run.is_sketched(module):
        picture = run.sketch(module, step).picture
        return block_means(picture, side) if picture.size else np.zeros((1, 1), np.float32)
    if run.kind(module) == "lora":
        return sketch_factors(run.factors(module, step), Level(0, side)).picture
    return block_means(run.delta(module, step), side)


def _no_numbers() -> Packed:
    return Packed("none", [], [], {}, ["weights: at no captured step are they all numbers"])


def _fewer(run: Any, numbers: list[int], steps: list[int], how: str = "") -> list[str]:
    """What is said of the captured steps that are not among `steps`; numbers: those before all was lost."""
    lost = run.steps[len(numbers) :]
    return [
        *([f"{len(steps)} of the {len(run.steps)} captured steps"] if len(steps) < len(run.steps) else []),
        *([f"what was trained from step {lost[0]} on: {how}its weights are not all numbers"] if lost else []),
    ]
