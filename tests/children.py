"""Where do cases run that may hang, crash or eat memory? In a child that is watched, and killed, and its case named."""

import contextlib
import gc
import multiprocessing
import resource
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# A server that has imported everything and forks: a hundred starts then cost seconds, and a kill falls into the work.
FORKS = multiprocessing.get_context("forkserver")
PRELOADED = (
    "engine", "engine.training.finetune", "transformers.trainer", "peft", "datasets", "lessons.teaching.stage",
    "lessons.claims.ledger", "lessons.teaching.walk", "visualize.plots", "ipykernel.ipkernel", "ipykernel.kernelapp",
    "ipykernel.zmqshell", "matplotlib_inline.backend_inline", "ipywidgets", "anywidget",
)  # fmt: skip
FORKS.set_forkserver_preload([*PRELOADED])
SECONDS = 30  # a case may take: some hundred times what it does
MOST_WRONG = 30
MEMORY = 1_000_000_000  # bytes that a case may take beside what is loaded: some hundred times its files


def try_each(
    case: Callable[[Any], str], cases: Iterable[Any], seconds: float = SECONDS, memory: int = MEMORY
) -> Counter[str]:
    """How did the cases end, how often? Raises AssertionError that names those which did not end as they should.

    case: a function of a module, which gives the name of its end, and raises what should not be. A child that hangs is
    killed, and another goes on after that case, as after one that crashed.
    """
    ends, wrong, todo = Counter[str](), list[str](), list(cases)
    while todo and len(wrong) < MOST_WRONG:
        ours, theirs = FORKS.Pipe()
        child = FORKS.Process(target=_work, args=(theirs, case, todo, memory), daemon=True)
        child.start()
        theirs.close()
        wait = seconds + 300  # until the server has started
        while todo:
            one = todo.pop(0)
            try:
                if not ours.poll(wait):
                    wrong.append(f"{one!r}: no end after {wait} seconds")
                    break
                (well, end), wait = ours.recv(), seconds
            except EOFError:
                child.join()
                wrong.append(f"{one!r}: its process ended with {child.exitcode}")
                break
            if well:
                ends[end] += 1
            else:
                wrong.append(f"{one!r}: {end}")
        child.kill()
        child.join()
        ours.close()
    assert not wrong, "\n".join([f"{len(wrong)} of {len(wrong) + ends.total()} cases:", *wrong])
    return ends


def _work(pipe: Connection, case: Callable[[Any], str], todo: list[Any], memory: int) -> None:
    gc.freeze()
    warnings.simplefilter("ignore")
    if Path("/proc/self/status").exists():
        used = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (used + memory, used + memory))
    for one in todo:
        try:
            pipe.send((True, case(one)))
        except BrokenPipeError:
            return
        except BaseException as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            with contextlib.suppress(BrokenPipeError):
                pipe.send((False, f"{type(error).__name__}: {str(error)[:300]} ({place.filename}:{place.lineno})"))
