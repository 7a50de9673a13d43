"""What does the choice of threads cost, on an idle machine and beside busy processes? One thread, two, and Glasstune's.

Run it on a machine that nobody else uses: what else runs would stand in both cases.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from joblib import cpu_count

from benchmarks.figures import Figure, Unmeasured
from engine.threads import POLICY, SPINS

TITLE = "Threads: LoRA on the embedded model, and a lesson, idle and with one core left"
GOAL = "at most 1.5 times the better of one and two"
_TUNE = ["glasstune", "finetune", "--steps", "100", "--no-progress", "--out"]
_LESSON = ["lessons", "lora", "--auto", "--no-film", "--out"]
_IDLE = 10  # per cent of all cores that others may use, and the machine still be called idle
# What PyTorch does when it is told a number of threads and nothing else; Glasstune itself would not let it.
_AS_TOLD = """
import runpy, sys, torch
from engine import threads
threads.suitable = lambda weights: torch.get_num_threads()
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""
_OURS = "as Glasstune chooses"
CONTENDERS = {"one thread": "1", "two threads that spin": "2", _OURS: None}


def measure() -> Iterator[Figure | Unmeasured]:
    """Seconds of each contender, once each, and Glasstune's beside the better of the others."""
    used = psutil.cpu_percent(2.0)
    for case, busy in (("idle", 0), ("all cores but one busy", max(1, cpu_count() - 1))):
        if used > _IDLE:
            yield Unmeasured(case, f"others used {used:.0f} % of this machine")
            continue
        for what, command in (("100 LoRA steps", _TUNE), ("the lesson lora", _LESSON)):
            took = {}
            for name, threads in CONTENDERS.items():
                with _busy(busy):
                    took[name] = _seconds(command, threads)
                yield Figure(f"{what}, {case}: {name}", "s", [took[name]])
            ours = took.pop(_OURS)
            yield Figure(
                f"{what}, {case}: as Glasstune chooses, beside the better", "times", [ours / min(took.values())], GOAL
            )


def _seconds(command: list[str], threads: str | None) -> float:
    """Of a command on so many threads; on as many as are chosen for it, if None."""
    chosen = ("OMP_NUM_THREADS", POLICY, SPINS)
    environment = {name: value for name, value in os.environ.items() if name not in chosen}
    how = ["-m"]
    if threads is not None:
        environment |= {"OMP_NUM_THREADS": threads, POLICY: "ACTIVE"}
        how = ["-c", _AS_TOLD]
    with tempfile.TemporaryDirectory() as folder:
        typed = [sys.executable, *how, *command, str(Path(folder) / "out")]
        began = time.perf_counter()
        subprocess.run(typed, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.perf_counter() - began


@contextmanager
def _busy(number: int) -> Iterator[None]:
    """So many processes that never rest."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
