"""What does it cost to watch a training? With the address there, and with its page open in a browser, in turn.

The browser runs before training begins, as a reader's does, and opens the page as a tab after the first step. It is
headless and on the same machine, without a graphics card: what it draws, the processor draws, while training wants the
same cores. Opening the page costs once; what watching costs is seen in the second half of the training: by the clock,
which other things move too, and as the processor's time that browser and server took of what there was.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote
from urllib.request import Request, urlopen

import psutil
from transformers import TrainerCallback

from benchmarks.browser import FLAGS
from benchmarks.capture import model_of, train
from benchmarks.figures import Figure, Unmeasured, in_turn, own_seconds, slower_by
from glasstune import CaptureCallback
from visualize.page import live

TITLE = "What it costs to watch a training"
STEPS, BATCH = 900, (16, 32)  # half a minute and more for each half: the page shows something new every few seconds
REPEATS = int(os.environ.get("GLASSTUNE_BENCH_REPEATS", "3"))


class Reader(TrainerCallback):
    """Has a browser, which opens the page as a tab after the first step."""

    def __init__(self, said: list[str], browser: str, folder: Path) -> None:
        self.said = said
        options = ["--headless", f"--user-data-dir={folder}", "--remote-debugging-port=0", *FLAGS]
        quiet: Any = subprocess.DEVNULL
        self.browser = subprocess.Popen([browser, *options, "about:blank"], stdout=quiet, stderr=quiet)
        said_port = folder / "DevToolsActivePort"
        while not said_port.exists() or "\n" not in (text := said_port.read_text()):
            time.sleep(0.1)
        self.door = f"http://127.0.0.1:{text.split()[0]}/json/new?"
        time.sleep(2)  # until it rests

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 1:
            link = self.said[-1].removeprefix("watch it: ")
            with urlopen(Request(self.door + quote(link, safe=":/"), method="PUT")):
                pass

    def close(self) -> None:
        self.browser.terminate()
        self.browser.wait()


class Halves(TrainerCallback):
    """The seconds of each half of a training, and what these processes and theirs had used at its marks."""

    def __init__(self, beside: Callable[[], list[int]]) -> None:
        self.beside = beside
        self.used: list[float] = []
        self.known: dict[int, float] = {}  # what each process had used when it was last seen

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.at = [time.perf_counter()]

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step in (STEPS // 2, STEPS):
            self.at.append(time.perf_counter())
            for number in self.beside():
                self.known |= processor_seconds(number)
            self.used.append(sum(self.known.values()))

    @property
    def seconds(self) -> list[float]:
        return [end - begin for begin, end in pairwise(self.at)]

    @property
    def share(self) -> float:
        """Of all the time that all processors had in the second half, in %."""
        return 100 * (self.used[1] - self.used[0]) / self.seconds[1] / (psutil.cpu_count() or 1)


def processor_seconds(number: int) -> dict[int, float]:
    """Of a process and of each that it started, by its number."""
    found = {}
    process = psutil.Process(number)
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            times = one.cpu_times()
            found[one.pid] = times.user + times.system
    return found


def watched(seen: list[Halves], method: str, shown: bool, browser: str | None = None) -> float:
    """Seconds of a training's second half; all that is known of its halves is added to `seen`."""
    said: list[str] = []
    reader: Reader | None = None
    model = model_of("embedded", method)
    halves = Halves(lambda: [reader.browser.pid, live._beside[-1].pid] if reader else [])
    with tempfile.TemporaryDirectory() as folder, patch.object(live.terminal, "note", said.append):
        callbacks: list[TrainerCallback] = [CaptureCallback(Path(folder) / "run", say=False, live=shown), halves]
        if browser:
            callbacks.insert(0, reader := Reader(said, browser, Path(folder) / "browser"))
        try:
            train(model, STEPS, BATCH, callbacks)
        finally:
            if reader:
                reader.close()
    seen.append(halves)
    return halves.seconds[1]


def measure() -> Iterator[Figure | Unmeasured]:
    browser = shutil.which("chromium")
    cases: dict[str, tuple[Any, ...]] = {"captured": (False,), "nobody looks": (True,)}
    if browser:
        cases["its page is open"] = (True, browser)
    for method in ("lora", "full"):
        watched([], method, False)  # the first training of a process is slower than all others
        seen: dict[str, list[Halves]] = {name: [] for name in cases}
        tasks: dict[str, Callable[[], float]] = {
            name: partial(watched, seen[name], method, *how) for name, how in cases.items()
        }
        times = in_turn(tasks, REPEATS, warm_up=0, clock=own_seconds)
        plain, what = times.pop("captured"), f"embedded, {method}, {STEPS} steps"
        yield Figure(f"{what}: one step, captured", "s", [one / (STEPS - STEPS // 2) for one in plain])
        for name, values in times.items():
            yield Figure(f"{what}: live, {name}, slower by", "%", slower_by(values, plain), "at most 3 %")
        if browser:
            opened = seen["its page is open"]
            share = [one.share for one in opened]
            yield Figure(f"{what}: live, browser and server, of the processors' time", "%", share, "at most 3 %")
            lost = [a.seconds[0] - b.seconds[0] for a, b in zip(opened, seen["captured"], strict=True)]
            yield Figure(f"{what}: live, seconds that opening the page took from training", "s", lost)
    if not browser:
        yield Unmeasured("a training whose page is open", "there is no Chromium on this machine")
