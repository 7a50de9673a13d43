"""On how many threads is a model computed, and what do they do while they wait for each other?

A small model's products are tiny, so the threads that share them wait for each other thousands of times a second.
OpenMP lets a thread that waits spin. On an idle machine that saves time; where another process wants the core, one
thread spins while its fellow is not allowed to run, and two threads take many times as long as one
(`benchmarks/threads.py`). Commands and lessons therefore let them sleep. As a library, imported after PyTorch has
chosen, Glasstune takes no more threads than there are cores that nobody else uses.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

POLICY = "OMP_WAIT_POLICY"  # of every OpenMP that PyTorch is built with: GNU's, LLVM's (macOS) and Intel's (Windows)
_SMALL = 10_000_000  # weights
_ENOUGH = 4  # threads of a small model: two take 0.65 of one's time, so more save little, and cost a class much
_LOOK = 0.2  # seconds for which the machine is watched


def sleep_while_waiting() -> None:
    """Threads that wait sleep, in this process and those that it starts: said before PyTorch is loaded, or not at all.

    What the user has set stays.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault(POLICY, "PASSIVE")


def suitable(weights: int) -> int:
    """How many threads for a model of so many weights? Never more than PyTorch would take, or was told to."""
    import torch
    from joblib import cpu_count  # knows what a process is bound to, and a container's share of time

    threads = min(torch.get_num_threads(), cpu_count())
    if weights < _SMALL:
        threads = min(threads, _ENOUGH)
    if threads > 1 and os.environ.get(POLICY, "").upper() != "PASSIVE":
        threads = min(threads, max(1, round(_idle_cores())))
    return threads


@contextmanager
def on_threads(number: int) -> Iterator[None]:
    """PyTorch computes on so many threads inside, and on as many as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _idle_cores() -> float:
    """How many of the cores that this process may use has nobody used for a moment?"""
    import psutil

    busy = psutil.cpu_percent(_LOOK, percpu=True)
    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(busy))
    return sum(100 - busy[core] for core in mine if core < len(busy)) / 100
