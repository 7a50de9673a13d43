"""What is in a folder of many adapters? A table of all, and how alike they are: the overlap of what they write.

Overlap is phi of Hu et al. (2021, section 7.2) between the column spaces of two changes of one matrix, beside chance.
Of a LoRA adapter that is B's: B begins at zero, so nothing but training is in it, where A keeps its random start.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, effective_n_jobs

from engine import linear
from engine.errors import InputError
from engine.inspect.diagnose import diagnose, norms_of
from engine.measure.subspaces import moving_directions
from engine.reading import check_name
from engine.run.adapters.adapter import CONFIG
from engine.run.adapters.computed import METHODS as COMPUTED
from engine.run.run import Run
from engine.terminal import progress_bar

MODULES = 12  # matrices by which adapters are compared, evenly spread over those that most of them share
_LARGEST = 4_000_000  # weights of a change that is no product of factors: its directions cost too much beyond
_BLOCK = 2048  # columns of one matrix product: bounds the memory
_SHARE = 16  # adapters that a process reads before it forgets their base
_last: list[Run] = []
T = TypeVar("T")


@dataclass(frozen=True)
class Many:
    """table: one row an adapter (the index: its path in the folder): method, rank, alpha, targets, base, modules, norm
    (of all its change), verdict ("fault", "doubt" or "fine"), says, nearest, overlap and chance (of the nearest).
    overlap, chance: adapter x adapter, means over the matrices that both changed; NaN where there is none, or one of
    the two writes in all directions, which overlap with anything. modules: those matrices. unread: path -> why."""

    table: pd.DataFrame
    overlap: np.ndarray
    chance: np.ndarray
    modules: list[str]
    unread: dict[str, str]


def find_adapters(folder: str | Path) -> list[Path]:
    """Every folder below that holds an adapter, sorted. Raises InputError if there is none."""
    place = check_name(folder)
    found = sorted(config.parent for config in place.rglob(CONFIG)) if place.is_dir() else []
    if not found:
        raise InputError(f"{folder} holds no adapters (no {CONFIG} in it or below)")
    return found


def read_many(
    folder: str | Path, *, base: str | Path | None = None, modules: int = MODULES, jobs: int = 1, progress: bool = True
) -> Many:
    """Read all and compare each with each. One that cannot be read is listed in `unread`, and stops nothing.

    jobs: processes, or what joblib's own backends make of it, as within `joblib.parallel_config(...)`. base: the model
    of all, where their settings do not say. Raises InputError if there is none, none can be read, or for no processes.
    """
    try:
        return _read_many(folder, base, modules, jobs, progress)
    finally:
        _last.clear()


def _read_many(folder: str | Path, base: str | Path | None, modules: int, jobs: int, progress: bool) -> Many:
    if jobs == 0:
        raise InputError("0 processes read nothing; give --jobs 1 or more, or -1 for one a core")
    places = find_adapters(folder)
    names = [os.path.relpath(place, check_name(folder)) for place in places]
    bar = progress_bar(places, "adapters", disable=not progress)
    read = _each(partial(_row, base=base), bar, len(places), jobs)
    unread = {name: one for name, one in zip(names, read, strict=True) if isinstance(one, str)}
    kept = [
        (name, place, one) for name, place, one in zip(names, places, read, strict=True) if not isinstance(one, str)
    ]
    if not kept:
        raise InputError(f"of the {len(places)} adapters in {folder} none can be read: {next(iter(unread.values()))}")
    chosen = _shared([one["shapes"] for _, _, one in kept], modules)
    bar = progress_bar([place for _, place, _ in kept], "directions", disable=not progress)
    bases = _each(partial(_directions, base=base, modules=chosen), bar, len(kept), jobs)
    overlap, chance = _compare(bases, chosen)
    table = pd.DataFrame([{k: v for k, v in one.items() if k != "shapes"} for _, _, one in kept],
                         index=[name for name, _, _ in kept])  # fmt: skip
    return Many(_with_nearest(table, overlap, chance), overlap, chance, chosen, unread)


def _each(work: Callable[[Path], T], places: Iterable[Path], count: int, jobs: int) -> list[T]:
    """What the work makes of each, in order. Processes take them in shares: who works for joblib stays when all is
    done, and must not keep a base in memory."""
    processes = effective_n_jobs(jobs)
    if processes == 1:
        return [work(place) for place in places]
    shares = _shares(places, min(_SHARE, -(-count // processes)))
    return [one for share in Parallel(n_jobs=jobs)(delayed(_share)(work, share) for share in shares) for one in share]


def _shares(places: Iterable[Path], size: int) -> Iterator[list[Path]]:
    rest = iter(places)
    while share := list(islice(rest, size)):
        yield share


def _share(work: Callable[[Path], T], places: list[Path]) -> list[T]:
    try:
        return [work(place) for place in places]
    finally:
        _last.clear()


def _open(place: Path, base: str | Path | None) -> Run:
    """Of those whose base had to be loaded a process keeps the last: the next adapter of that base finds it there."""
    run = Run.from_adapter(place, base)
    if run.method.upper() in COMPUTED:
        _last[:] = [run]
    return run


def _row(place: Path, base: str | Path | None) -> dict | str:
    """One adapter's row, and the shapes of its matrices; or why it cannot be read."""
    try:
        run = _open(place, base)
        norms = norms_of(run)
        findings = diagnose(run)
    except InputError as error:
        return str(error)
    options = run.info.method.options
    wanted = options.get("target_modules")
    return {
        "method": run.method,
        "rank": options.get("r"),
        "alpha": options.get("lora_alpha"),
        "targets": ", ".join(sorted(wanted)) if isinstance(wanted, list) else wanted,
        "base": run.info.model.source,
        "modules": len(run.info.modules),
        "norm": float(np.sqrt(np.sum(np.square(list(norms.values()))))) if norms else np.nan,
        "verdict": findings[0].level,
        "says": findings[0].what,
        "shapes": {name: run.shape(name)[0] for name in run.modules},
    }


def _shared(shapes: list[dict[str, int]], most: int) -> list[str]:
    """The matrices that the most adapters change, evenly spread: at least two have to share one."""
    counts = Counter(name for one in shapes for name in one)
    often = max(counts.values(), default=0)
    names = [name for name, count in counts.items() if count == often and (often > 1 or len(shapes) == 1)]
    return [names[at] for at in np.unique(np.linspace(0, len(names) - 1, min(most, len(names))).astype(int))]


def _directions(place: Path, base: str | Path | None, modules: list[str]) -> dict[str, np.ndarray]:
    """module -> the directions that an adapter writes, (out, n), orthonormal; without those that did not move."""
    run, found = _open(place, base), {}
    for name in modules:
        if name in run.modules and (run.kind(name) == "lora" or np.prod(run.shape(name)) <= _LARGEST):
            with contextlib.suppress(InputError):
                found[name] = moving_directions(run, name, side="out")
    return found


def _compare(bases: list[dict[str, np.ndarray]], modules: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Mean overlap and chance over the modules that a pair shares: (n, n) each."""
    count = len(bases)
    total, chance, shared = np.zeros((count, count)), np.zeros((count, count)), np.zeros((count, count))
    for name in modules:
        for out in {one[name].shape[0] for one in bases if name in one}:
            have = [at for at, one in enumerate(bases) if name in one and one[name].shape[0] == out]
            phi, ranks = _overlaps([bases[at][name] for at in have])
            pairs = np.ix_(have, have)
            larger = np.maximum.outer(ranks, ranks)
            told = larger < out
            total[pairs] += np.where(told, phi, 0)
            chance[pairs] += np.where(told, larger / out, 0)
            shared[pairs] += told
    with np.errstate(invalid="ignore"):
        return total / shared, chance / shared


def _overlaps(columns: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """phi of each with each, (n, n), and their ranks. All products at once, in blocks of columns."""
    ranks = np.array([one.shape[1] for one in columns])
    starts = np.concatenate([[0], np.cumsum(ranks)[:-1]])
    every = np.concatenate(columns, axis=1).astype(np.float32)
    summed = np.empty((len(columns), len(columns)))
    first = 0
    while first < len(columns):
        last = first + 1
        while last < len(columns) and starts[last] + ranks[last] - starts[first] <= _BLOCK:
            last += 1
        block = every[:, starts[first] : starts[last - 1] + ranks[last - 1]]
        squares = np.square(block.T @ every)
        rows = np.add.reduceat(squares, starts[first:last] - starts[first], axis=0)
        summed[first:last] = np.add.reduceat(rows, starts, axis=1)
        first = last
    return np.minimum(summed / np.minimum.outer(ranks, ranks), 1), ranks


def _with_nearest(table: pd.DataFrame, overlap: np.ndarray, chance: np.ndarray) -> pd.DataFrame:
    beyond = np.where(np.isnan(overlap), -np.inf, overlap - chance)
    np.fill_diagonal(beyond, -np.inf)
    at = beyond.argmax(axis=1)
    rows = np.arange(len(table))
    known = np.isfinite(beyond[rows, at])
    return table.assign(
        nearest=[table.index[one] if has else "" for one, has in zip(at, known, strict=True)],
        overlap=np.where(known, overlap[rows, at], np.nan),
        chance=np.where(known, chance[rows, at], np.nan),
    )


def distances(many: Many) -> np.ndarray:
    """sqrt(1 - s), s the overlap beyond chance: 0 for the same subspaces, 1 for strangers and if nothing is shared."""
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = (many.overlap - many.chance) / (1 - many.chance)
    found = np.sqrt(1 - np.clip(np.nan_to_num(alike, nan=0.0), 0, 1))
    np.fill_diagonal(found, 0)
    return found


def placed(many: Many) -> pd.DataFrame:
    """The table with a place for each on a map, x and y: classical scaling of the distances (Torgerson 1952), and
    `shown`, the share of all squared distance that two dimensions hold."""
    squared = np.square(distances(many))
    centred = -(squared - squared.mean(0) - squared.mean(1)[:, None] + squared.mean()) / 2
    values, vectors = linear.eigen(centred)
    two = np.maximum(values[::-1][:2], 0)
    at = np.zeros((len(squared), 2))
    at[:, : len(two)] = vectors[:, ::-1][:, : len(two)] * np.sqrt(two)
    whole = values[values > 0].sum()
    return many.table.assign(x=at[:, 0], y=at[:, 1], shown=float(two.sum() / whole) if whole > 0 else 1.0)
