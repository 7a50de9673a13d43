"""How long does one wait for `glasstune inspect` of two models of seven billion weights, and in how much memory?

Two sharded bfloat16 checkpoints of 14 GB each, made here: once, for reading them alone takes minutes.
`GLASSTUNE_PAIR_GB` makes smaller ones, to try the benchmark itself.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.checkpoints import forget, make, read
from benchmarks.figures import Figure, Unmeasured, cpu_seconds, peak_of

TITLE = "Inspecting a pair of checkpoints of 14 GB"
WIDTH, INNER = 4096, 14336
_INSPECT = "import sys; from engine.inspect.__main__ import main; main(sys.argv[1:])"


def _children() -> float:
    """Processor time of the processes that this one has started, and that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def measure() -> Iterator[Figure | Unmeasured]:
    gigabytes = float(os.environ.get("GLASSTUNE_PAIR_GB", "14"))
    each = f"{gigabytes:g} GB each"
    with tempfile.TemporaryDirectory() as place:
        free = shutil.disk_usage(place).free / 1e9
        if free < 2.5 * gigabytes:
            yield Unmeasured("glasstune inspect of a pair of checkpoints", f"{free:.0f} GB are free on this disk")
            return
        pair = [make(Path(place) / name, gigabytes, seed, WIDTH, INNER) for seed, name in enumerate("ab")]
        size = sum(path.stat().st_size for folder in pair for path in folder.glob("*.safetensors")) / 1e9
        forget(pair)
        began = time.perf_counter()
        reading = cpu_seconds(lambda: read(pair))
        alone = time.perf_counter() - began
        forget(pair)
        began, before = time.perf_counter(), _children()
        peak = peak_of(_INSPECT, *pair)
        took, spent = time.perf_counter() - began, _children() - before
    yield Figure(f"{each}: both together", "GB", [size])
    yield Figure(f"{each}: reading both, from the disk", "s", [alone])
    yield Figure(f"{each}: glasstune inspect of both, from the disk", "s", [took])
    yield Figure(f"{each}: time beside reading", "times", [took / alone], "at most 2")
    yield Figure(f"{each}: reading both, processor time", "s", [reading])
    yield Figure(f"{each}: glasstune inspect of both, processor time", "s", [spent])
    yield Figure(f"{each}: peak memory of glasstune inspect", "MB", [peak / 1e6], "below 1000")
