"""What does it cost to watch a training? With the address there, and with its page open in a browser, in turn.

The browser runs before training begins, as a reader's does, and opens the page as a tab. It is headless and on the same
machine, without a graphics card: what it draws, the processor draws, while training wants the same cores.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote
from urllib.request import Request, urlopen

from transformers import TrainerCallback

from benchmarks.browser import FLAGS
from benchmarks.capture import model_of, train
from benchmarks.figures import Figure, Unmeasured, in_turn, own_seconds, seconds, slower_by
from glasstune import CaptureCallback
from visualize.page import live

TITLE = "What it costs to watch a training"
STEPS, BATCH, REPEATS = 300, (16, 32), 4


class Reader(TrainerCallback):
    """Has a browser, which opens the page as a tab after the first step."""

    def __init__(self, said: list[str], browser: str, folder: Path) -> None:
        self.said = said
        options = ["--headless", f"--user-data-dir={folder}", "--remote-debugging-port=0", *FLAGS]
        quiet: Any = subprocess.DEVNULL
        self.browser = subprocess.Popen([browser, *options, "about:blank"], stdout=quiet, stderr=quiet)
        said_port = folder / "DevToolsActivePort"
        while not said_port.exists() or "\n" not in (said := said_port.read_text()):
            time.sleep(0.1)
        self.door = f"http://127.0.0.1:{said.split()[0]}/json/new?"
        time.sleep(2)  # until it rests

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 1:
            link = self.said[-1].removeprefix("watch it: ")
            with urlopen(Request(self.door + quote(link, safe=":/"), method="PUT")):
                pass

    def close(self) -> None:
        self.browser.terminate()
        self.browser.wait()


def watched(method: str, shown: bool, browser: str | None = None) -> float:
    """Seconds of one training, whose model is made before the clock starts."""
    said: list[str] = []
    model = model_of("embedded", method)
    with tempfile.TemporaryDirectory() as folder, patch.object(live.terminal, "note", said.append):
        callbacks: list[TrainerCallback] = [CaptureCallback(Path(folder) / "run", say=False, live=shown)]
        if browser:
            callbacks.insert(0, reader := Reader(said, browser, Path(folder) / "browser"))
        try:
            return seconds(lambda: train(model, STEPS, BATCH, callbacks))
        finally:
            if browser:
                reader.close()


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
