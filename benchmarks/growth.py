"""Does a capture cost more late in a run, or more for each weight when there are more weights?"""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

from torch import nn

from benchmarks.capture import model_of
from benchmarks.figures import Figure, seconds
from engine.recording.recorder import Recorder

TITLE = "How the cost of a capture grows, with steps and with weights"


def capture_times(
    model: nn.Module, count: int, modules: list[str] | None = None, budget: str | None = None
) -> list[float]:
    """Seconds of each of `count` captures, what is done beside training included."""
    with tempfile.TemporaryDirectory() as scratch:
        recorder = Recorder(
            model, Path(scratch) / "run", every=1, total=count, modules=modules, budget=budget, say=False
        )
        recorder.start()

        def capture(step: int) -> None:
            recorder.step(step)
            recorder.writer.wait()

        times = [seconds(partial(capture, step)) for step in range(1, count + 1)]
        recorder.finish(count)
    return times


def measure(repeats: int = 3, count: int = 60) -> Iterator[Figure]:
    """count: of captures in a row."""
    runs = [capture_times(model_of("embedded", "full"), count) for _ in range(repeats)]
    quarter = count // 4
    late = [sum(times[-quarter:]) / sum(times[:quarter]) for times in runs]
    over_steps = [(float(step), 1000 * median(times)) for step, times in enumerate(zip(*runs, strict=True), 1)]
    yield Figure(
        f"embedded, full: the last quarter of {count} captures beside the first", "times", late, "at most 1: no growth",
        over_steps, ("captured step", "one capture (ms)"),
    )  # fmt: skip
    yield from weights(repeats)


def weights(repeats: int) -> Iterator[Figure]:
    """The same layer once, and up to thirty times, all of them summarised: a capture's time, its first not counted."""
    model, counts = model_of("135M", "full"), (1, 5, 10, 20, 30)
    layer = sum(p.numel() for name, p in model.named_parameters() if ".layers.0." in name)
    times = {
        count: capture_times(model, repeats + 1, [f"model.layers.{n}.*" for n in range(count)], f"{15 * count}MB")[1:]
        for count in counts
    }
    each = [long / short / counts[-1] for long, short in zip(times[counts[-1]], times[1], strict=True)]
    yield Figure(
        f"135M, full: a weight's cost in {counts[-1]} layers beside one layer", "times", each, "at most 1: linear",
        [(count * layer / 1e6, median(found)) for count, found in times.items()],
        ("captured weights (millions)", "one capture (s)"),
    )  # fmt: skip
