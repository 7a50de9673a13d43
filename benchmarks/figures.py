"""What is a figure that can be trusted? Several runs, contenders in turn, the median with its spread, and ratios.

A benchmark is a file of this folder with a `TITLE` and a function `measure()` that gives `Figure`s one by one, and
`Unmeasured` for what this machine cannot tell.
"""

import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast


@dataclass(frozen=True)
class Figure:
    """One measured quantity. values: one a repeat, in `unit`. goal: what it was to be, in words; empty if none.

    points: how something grows, as (x, y), with the names of both in `axes`; drawn in docs/pictures/growth.png.
    """

    what: str
    unit: str
    values: list[float]
    goal: str = ""
    points: list[tuple[float, float]] = field(default_factory=list)
    axes: tuple[str, str] = ("", "")

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def as_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "unit": self.unit,
            "median": round(self.median, 4),
            "lowest": round(min(self.values), 4),
            "highest": round(max(self.values), 4),
            "repeats": len(self.values),
            "goal": self.goal,
            **({"points": [[x, round(y, 6)] for x, y in self.points], "axes": self.axes} if self.points else {}),
        }


@dataclass(frozen=True)
class Unmeasured:
    """What could not be measured here, and why."""

    what: str
    why: str

    def as_json(self) -> dict[str, Any]:
        return {"what": self.what, "why": self.why}


def seconds(task: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    task()
    return time.perf_counter() - began


def cpu_seconds(task: Callable[[], object]) -> float:
    """Processor time of one call, all threads of this process together: the same on a machine that others use too."""
    began = time.process_time()
    task()
    return time.process_time() - began


def own_seconds(task: Callable[[], object]) -> float:
    """Of a task that times a part of itself, and gives that."""
    return float(cast(Any, task()))


def in_turn(
    tasks: Mapping[str, Callable[[], object]],
    repeats: int = 5,
    warm_up: int = 1,
    clock: Callable[[Callable[[], object]], float] = seconds,
) -> dict[str, list[float]]:
    """Seconds of each task, A B A B ..., so that a machine whose speed drifts is as unfair to all of them."""
    for _ in range(warm_up):
        for task in tasks.values():
            task()
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            times[name].append(clock(task))
    return times


def ratios(times: list[float], of: list[float]) -> list[float]:
    """Pair by pair: how many times as long as the other it took."""
    return [one / other for one, other in zip(times, of, strict=True)]


def slower_by(times: list[float], plain: list[float]) -> list[float]:
    """Pair by pair: how much longer than the plain one it took, in %."""
    return [100 * (ratio - 1) for ratio in ratios(times, plain)]


def peak_bytes() -> int:
    """The most memory that this process held since its program began. getrusage would count its parent's, too."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def peak_of(code: str, *arguments: object) -> int:
    """`peak_bytes` of a process of its own that runs `code` with these in sys.argv[1:]."""
    script = f"{code}\nfrom benchmarks.figures import peak_bytes\nprint(peak_bytes())"
    command = [sys.executable, "-W", "ignore", "-c", script, *map(str, arguments)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(said.stdout.split()[-1])


def host() -> dict[str, Any]:
    """The machine that the figures are from."""
    return {"machine": platform.machine(), "cpus": os.cpu_count(), "python": platform.python_version()}
