"""How are scenes rendered side by side? Fresh processes, one scene each at a time, watched, and stopped when one fails.

A worker loads Manim once and takes scene after scene. One that raises is reported with its traceback; one that dies,
or takes longer than it may, is named too.
"""

import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from engine.errors import InputError

# Fresh processes, not forks: Manim's settings are global, and threads do not survive a fork.
_CONTEXT = get_context("spawn")


class Failed(Exception):
    """A job could not be done. `job` says which, `log` why; `said` is the sentence, where it was the user's mistake."""

    def __init__(self, job: Any, why: str, log: str, said: str = "") -> None:
        super().__init__(why)
        self.job, self.why, self.log, self.said = job, why, log, said


class Task(Protocol):
    """What a worker does: a job in, a result out, and `report(seconds)` from time to time."""

    def __call__(self, job: Any, report: Callable[[float], None]) -> Any: ...


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    job: Any = None
    since: float = 0.0

    def give(self, job: Any) -> None:
        self.job, self.since = job, time.monotonic()
        try:
            self.pipe.send(job)
        except OSError:
            raise self.died() from None

    def died(self) -> Failed:
        """What is said where nobody is at the other end of the pipe."""
        self.process.join(5)
        return Failed(self.job, f"its process died (exit code {self.process.exitcode})", "")


def _serve(task: Task, pipe: Connection) -> None:
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # who gave the jobs is gone: so are they
        while (job := pipe.recv()) is not None:
            try:
                result = task(job, lambda seconds: pipe.send(("report", seconds)))
            except BaseException as error:
                said = str(error) if isinstance(error, InputError) else ""
                pipe.send(("failed", (type(error).__name__, traceback.format_exc(), said)))
            else:
                pipe.send(("done", result))


def run_all(
    task: Task,
    jobs: Sequence[Any],
    processes: int,
    limit: float,
    progress: Callable[[Any, float, Any], None],
) -> None:
    """Do every job, in this order, on so many processes.

    progress(job, seconds, result): called at each report, and with a result when a job is done.
    Raises Failed for the first that fails, dies or takes longer than `limit` seconds; then no process is left.
    """
    todo, workers = list(jobs), list[_Worker]()
    try:
        with _interrupts_held():
            for _ in range(min(processes, len(todo))):
                workers.append(_start(task))
        for worker in workers:
            worker.give(todo.pop(0))
        while busy := [worker for worker in workers if worker.job is not None]:
            ready = wait([worker.pipe for worker in busy], timeout=1.0)
            for worker in busy:
                if worker.pipe in ready:
                    _hear(worker, todo, progress)
                elif time.monotonic() - worker.since > limit:
                    raise Failed(worker.job, f"took longer than {limit:.0f} s", "")
        for worker in workers:
            with suppress(OSError):  # its work is done, however it went
                worker.pipe.send(None)
            worker.process.join(5)
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """A process that starts now is deaf to Ctrl-C, for its whole life: whoever is told, ends it.

    We are told at the end, of what came meanwhile too: it is held back, not ignored.
    """
    resource_tracker.ensure_running()  # multiprocessing starts it with its first process, and lets interrupts in then
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(task: Task) -> _Worker:
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_serve, args=(task, theirs), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _hear(worker: _Worker, todo: list[Any], progress: Callable[[Any, float, Any], None]) -> None:
    try:
        kind, value = worker.pipe.recv()
    except (EOFError, OSError):  # the latter where it died before it had read its job
        raise worker.died() from None
    if kind == "failed":
        raise Failed(worker.job, *value)
    if kind == "report":
        progress(worker.job, value, None)
        return
    job, worker.job = worker.job, None
    progress(job, 0.0, value)
    if todo:
        worker.give(todo.pop(0))
