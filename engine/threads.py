"""On how many threads is a model computed, and what do they do while they wait for each other?

A small model's products are tiny, so the threads that share them wait for each other thousands of times a second.
OpenMP lets a thread that waits spin. On an idle machine that saves time; where another process wants the core, one
thread spins while its fellow is not allowed to run, and two threads take many times as long as one. If they sleep at
once, waking them costs more than they save: two then take longer than one. So in commands and lessons they spin for a
moment, and then sleep, which is near the best in both cases (`benchmarks/threads.py`). As a library, imported after
PyTorch has chosen, Glasstune takes no more threads than there are cores that nobody else uses.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Executor

POLICY = "OMP_WAIT_POLICY"  # of every OpenMP that PyTorch is built with: GNU's, LLVM's (macOS) and Intel's (Windows)
SPINS = "GOMP_SPINCOUNT"  # of GNU's alone: how often a thread that waits looks, before it sleeps
# 40 steps of LoRA with two threads, beside the better of one and two: with 0 looks 1.5 times on an idle machine and 1.2
# beside a busy process; with 500, 1.2 and 1.3; with 1,000, 1.0 and 1.5; with 10,000, 1.1 and 3 (two cores of a server).
_LOOKS = 500
_SMALL = 10_000_000  # weights
_ENOUGH = 4  # threads of a small model: two take 0.65 of one's time, so more save little, and cost a class much
_LOOK = 0.2  # seconds for which the machine is watched


def sleep_while_waiting() -> None:
    """Threads that wait soon sleep, in this process and those that it starts: said before PyTorch is loaded, or not at
    all. What the user has set stays."""
    if "torch" not in sys.modules and POLICY not in os.environ:
        os.environ[POLICY] = "PASSIVE"
        os.environ.setdefault(SPINS, str(_LOOKS))


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


@contextmanager
def workers(number: int) -> "Iterator[Executor]":
    """Threads that read and compute side by side, each alone: where every one of them called BLAS on all cores, which
    spin as OpenMP's do, two took three times as long (`benchmarks/adapters.py`)."""
    from concurrent.futures import ThreadPoolExecutor

    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(number) as pool:
        yield pool


def _idle_cores() -> float:
    """How many of the cores that this process may use has nobody used for a moment?"""
    import psutil

    busy = psutil.cpu_percent(_LOOK, percpu=True)
    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(busy))
    return sum(100 - busy[core] for core in mine if core < len(busy)) / 100
