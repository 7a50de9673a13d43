"""What does a training look like in a terminal? Its loss, how far each layer moved, and what it answers now.

That is for a terminal that redraws; a file or a pipe gets a line now and then, a notebook one bar.
"""

import math
import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from transformers import TrainerCallback

from engine.errors import printable
from engine.language.speaking import tr
from engine.measure.layers import by_layer
from engine.notebook import in_notebook
from engine.recording.recorder import Recorder
from engine.terminal import Terminal, progress_bar, say

BLOCKS = " ▁▂▃▄▅▆▇█"
_WIDE, _ROWS, _ANSWERS = 32, 8, 6
_LINES = 10  # of a training in a file


def view(title: str, recorder: Callable[[], Recorder | None]) -> "View":
    """What suits the place that standard error leads to. recorder: who captures this training, once it has begun."""
    if in_notebook():
        return Bar(title)
    terminal = Terminal(stderr=True)
    return Screen(title, terminal, recorder) if terminal.is_terminal and not terminal.is_dumb_terminal else Lines(title)


class View(TrainerCallback):
    """A training as it is shown; `close` it, however it ended."""

    def __init__(self, title: str) -> None:
        self.title = title

    def close(self) -> None:
        """Leave the terminal as it was."""

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.close()


class Bar(View):
    """Steps and the loss."""

    bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar = progress_bar(total=state.max_steps, title=self.title, unit="step")

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self.bar.set_postfix_str(f"loss {logs['loss']:.3f}", refresh=False)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.update(state.global_step - self.bar.n)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


class Lines(View):
    """A line at the first logged step, and whenever another tenth is done."""

    said = -1

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            now, last = state.global_step, state.max_steps
            tenth = now * _LINES // last
            if tenth > self.said:
                self.said = tenth
                said = tr("{what}: step {step} of {last}, loss {loss}", what=self.title, step=now, last=last,
                          loss=f"{logs['loss']:.3f}")  # fmt: skip
                say(said, sys.stderr)


class Screen(View):
    """A few lines that are drawn anew four times a second; what else is printed meanwhile stands above them."""

    def __init__(self, title: str, terminal: Terminal, recorder: Callable[[], Recorder | None]) -> None:
        super().__init__(title)
        self.recorder = recorder
        self.seen: Recorder | None = None
        self.losses: list[float] = []
        self.rate: float | None = None
        self.step = self.steps = self.first = 0
        self.began = time.monotonic()
        self.live = Live(console=terminal, get_renderable=self.drawn, refresh_per_second=4)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.steps, self.first, self.began = state.max_steps, state.global_step, time.monotonic()
        self.live.start()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self.losses.append(logs["loss"])
            self.rate = logs.get("learning_rate")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.step = state.global_step

    def close(self) -> None:
        self.live.stop()

    def drawn(self) -> RenderableType:
        """The whole view, as it is now."""
        self.seen = self.recorder() or self.seen  # at the end, what it was at last
        norms = by_layer(self.seen.norms) if self.seen else {}
        answers = self.seen.answers if self.seen else []
        rows = Table.grid(padding=(0, 2))
        rows.add_row(self.title, ProgressBar(self.steps or 1, self.step, width=_WIDE), self._when())
        if self.losses:
            rate = "" if self.rate is None else f"   {tr('learning rate {rate}', rate=f'{self.rate:.2g}')}"
            rows.add_row(tr("loss"), Text(blocks(self.losses), "green"), f"{self.losses[-1]:.3f}{rate}")
        if len(norms) > _ROWS:
            rows.add_row(tr("norms of the change"), Text(blocks(list(norms.values())), "cyan"), _furthest(norms))
        elif norms:
            rows.add_row(tr("norms of the change"))
            for name, norm in norms.items():
                said_name = tr("layer {number}", number=name[6:]) if name.startswith("layer ") else name
                rows.add_row(f"  {said_name}", Text(bar(norm, max(norms.values())), "cyan"), f"{norm:.3g}")
        said = Table.grid(padding=(0, 1))
        if answers and self.seen:
            rows.add_row(tr("at step {step} it says", step=self.seen.answered))
        for answer in answers[:_ANSWERS]:
            mark = Text("✓", "green") if answer["correct"] else Text("✗", "red")
            said.add_row(" ", mark, _cut(answer["prompt"], 44), "→", Text(_cut(answer["answer"], 24), "bold"))
        return Group(rows, said)

    def _when(self) -> str:
        done, took = self.step - self.first, time.monotonic() - self.began
        now = tr("step {step} of {last}", step=self.step, last=self.steps)
        if not done > 0 or self.step >= self.steps:
            return f"{now}   {_clock(took)}"
        return f"{now}   {_clock(took)}, {tr('{time} left', time=_clock(took / done * (self.steps - self.step)))}"


def blocks(values: list[float]) -> str:
    """Numbers as a line of blocks from zero up; of many, the mean of neighbours, and "?" for what is no number."""
    size = max(1, math.ceil(len(values) / _WIDE))
    means = [sum(part) / len(part) for at in range(0, len(values), size) if (part := values[at : at + size])]
    most = max((value for value in means if math.isfinite(value)), default=0.0) or 1.0
    return "".join(
        BLOCKS[max(1, min(8, math.ceil(8 * value / most)))] if math.isfinite(value) else "?" for value in means
    )


def bar(value: float, most: float) -> str:
    """A length, in eighths of a character."""
    if not (math.isfinite(value) and most > 0 and math.isfinite(most)):
        return "?" if not math.isfinite(value) else ""
    eighths = round(8 * _WIDE * value / most)
    return "█" * (eighths // 8) + (" ▏▎▍▌▋▊▉"[eighths % 8].strip())


def _furthest(norms: dict[str, float]) -> str:
    name = max(norms, key=lambda one: norms[one])
    return f"{name} moved furthest: {norms[name]:.3g}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _cut(text: Any, most: int) -> str:
    line = printable(" ".join(str(text).split()))  # before it is measured: escapes are longer
    return line if len(line) <= most else line[: most - 1] + "…"
