"""What does it cost to watch a training? With the address there, and with its page open in a browser, in turn.

The browser is headless and on the same machine, without a graphics card: what it draws, the processor draws, while
training wants the same cores. Nobody watches a GPU's training at such a price.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from transformers import TrainerCallback

from benchmarks.browser import FLAGS
from benchmarks.capture import model_of, train
from benchmarks.figures import Figure, Unmeasured, in_turn, own_seconds, seconds, slower_by
from glasstune import CaptureCallback
from visualize.page import live

TITLE = "What it costs to watch a training"
STEPS, BATCH, REPEATS = 300, (16, 32), 4


class Reader(TrainerCallback):
    """Opens the page when training has begun, and closes it at the end."""

    def __init__(self, said: list[str], browser: str, folder: Path) -> None:
        self.said, self.browser, self.folder = said, browser, folder

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 1:
            link = self.said[-1].removeprefix("watch it: ")
            options = ["--headless", f"--user-data-dir={self.folder}", "--remote-debugging-port=0", *FLAGS]
            quiet: Any = subprocess.DEVNULL
            self.open = subprocess.Popen([self.browser, *options, link], stdout=quiet, stderr=quiet)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.open.terminate()
        self.open.wait()


def watched(method: str, shown: bool, browser: str | None = None) -> float:
    """Seconds of one training, whose model is made before the clock starts."""
    said: list[str] = []
    model = model_of("embedded", method)
    with tempfile.TemporaryDirectory() as folder, patch.object(live.terminal, "note", said.append):
        callbacks: list[TrainerCallback] = [CaptureCallback(Path(folder) / "run", say=False, live=shown)]
        if browser:
            callbacks.insert(0, Reader(said, browser, Path(folder) / "browser"))
        return seconds(lambda: train(model, STEPS, BATCH, callbacks))


def measure() -> Iterator[Figure | Unmeasured]:
    browser = shutil.which("chromium")
    for method in ("lora", "full"):
        tasks: dict[str, Callable[[], float]] = {
            "captured": partial(watched, method, False),
            "nobody looks": partial(watched, method, True),
        }
        if browser:
            tasks["its page is open"] = partial(watched, method, True, browser)
        tasks["captured"]()  # the first training of a process is slower than all others
        times = in_turn(tasks, REPEATS, warm_up=0, clock=own_seconds)
        plain = times.pop("captured")
        what = f"embedded, {method}, {STEPS} steps"
        yield Figure(f"{what}: one step, captured", "s", [one / STEPS for one in plain])
        for name, values in times.items():
            yield Figure(f"{what}: live, {name}, slower by", "%", slower_by(values, plain), "at most 3 %")
    if not browser:
        yield Unmeasured("a training whose page is open", "there is no Chromium on this machine")
