"""What does capturing cost? Training with it, without it, and with what people use now, in turn; memory; growth."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from benchmarks.figures import Figure, peak_bytes, ratios, seconds
from engine import CaptureCallback
from engine.capture.recorder import Recorder
from engine.models import load_model
from engine.run import EMBEDDED

TITLE = "What capturing costs a training, beside what people use now"

# SmolLM-135M's shape. Time and memory do not depend on the values, so these are random.
LARGE = LlamaConfig(
    hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
    vocab_size=49152, tie_word_embeddings=True, max_position_embeddings=2048,
)  # fmt: skip
LONG = 500  # steps of a fine-tuning of a model that size, for the share that the default dozen of captures takes


def model_of(size: str, method: str) -> nn.Module:
    """size: "embedded" or "135M". method: "full" or "lora"."""
    torch.manual_seed(0)
    model = load_model(EMBEDDED) if size == "embedded" else LlamaForCausalLM(LARGE)
    if method == "lora":
        model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    return model


def train(model: nn.Module, steps: int, batch: tuple[int, int], callbacks: list[TrainerCallback]) -> None:
    """A plain Trainer over random tokens. batch: (sequences, tokens of each)."""
    tokens = torch.randint(0, model.config.vocab_size, batch).tolist()
    rows = [{"input_ids": row, "labels": row} for row in tokens]
    with tempfile.TemporaryDirectory() as scratch:
        settings = TrainingArguments(
            scratch, max_steps=steps, per_device_train_batch_size=batch[0], learning_rate=1e-4, report_to=[],
            save_strategy="no", disable_tqdm=True, logging_steps=max(1, steps // 10), dataloader_pin_memory=False,
            use_cpu=not torch.cuda.is_available(),
        )  # fmt: skip
        trainer = Trainer(model, settings, train_dataset=rows * 2, callbacks=callbacks)
        trainer.remove_callback(PrinterCallback)
        trainer.train()


# --- what people use now, at the same steps ------------------------------------------------------------------------


class At(TrainerCallback):
    """Does something with the model at some steps, as many a training script does."""

    def __init__(self, steps: set[int], what: Callable[[nn.Module, int], object]) -> None:
        self.steps, self.what = steps, what

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step in self.steps:
            self.what(kwargs["model"], state.global_step)


@contextmanager
def histograms(steps: set[int], folder: Path) -> Iterator[TrainerCallback]:
    """TensorBoard's histogram of every trained weight."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))

    def add(model: nn.Module, step: int) -> None:
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                writer.add_histogram(name, parameter.detach(), step)

    yield At(steps, add)
    writer.close()


@contextmanager
def state_dicts(steps: set[int], folder: Path) -> Iterator[TrainerCallback]:
    """torch.save of every trained weight."""

    def save(model: nn.Module, step: int) -> None:
        trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
        torch.save(trained, folder / f"{step}.pt")

    yield At(steps, save)


@contextmanager
def watched(steps: set[int], folder: Path, model: nn.Module) -> Iterator[TrainerCallback]:
    """wandb.watch of the weights, offline, as often as the other contenders come to it on average."""
    import wandb

    run = wandb.init(mode="offline", dir=str(folder), project="benchmark", settings=wandb.Settings(silent=True))
    run.watch(model, log="parameters", log_freq=max(1, max(steps) // len(steps)))
    yield At(set(range(1, max(steps) + 1)), lambda _, step: run.log({"step": step}))
    run.unwatch(model)
    run.finish()


def contenders(size: str, method: str, steps: int, batch: tuple[int, int]) -> dict[str, Callable[[], float]]:
    """name -> a whole training with it, on a fresh model whose making is not timed. Gives its seconds."""
    with tempfile.TemporaryDirectory() as scratch:  # which steps are captured by default, for the others to do the same
        recorder = Recorder(model_of(size, method), Path(scratch) / "run", total=steps, say=False)
        chosen = {step for step in range(1, steps + 1) if recorder._captured_at(step) or step == steps}
        recorder.finish(0, "stopped")

    def plain(model: nn.Module, folder: Path) -> None:
        train(model, steps, batch, [])

    def captured(model: nn.Module, folder: Path) -> None:
        train(model, steps, batch, [CaptureCallback(folder / "run", say=False)])

    def peer(using: Callable[..., Any], model: nn.Module, folder: Path) -> None:
        with using(chosen, folder, *([model] if using is watched else [])) as callback:
            train(model, steps, batch, [callback])

    tasks = {"plain": plain, "capture": captured, "torch.save": partial(peer, state_dicts)}
    with suppress(ImportError):
        import torch.utils.tensorboard  # noqa: F401

        tasks["TensorBoard histograms"] = partial(peer, histograms)
    with suppress(ImportError):
        import wandb  # noqa: F401

        tasks["wandb.watch"] = partial(peer, watched)
    return {name: partial(_fresh, task, size, method) for name, task in tasks.items()}


def _fresh(task: Callable[[nn.Module, Path], None], size: str, method: str) -> float:
    """Seconds of one training: its model is made before the clock starts."""
    with tempfile.TemporaryDirectory() as scratch:
        return seconds(partial(task, model_of(size, method), Path(scratch)))


def overhead(size: str, method: str, steps: int, batch: tuple[int, int], repeats: int, goal: str) -> list[Figure]:
    """How much longer each contender trains than the plain Trainer, in %. All of them in turn."""
    tasks = contenders(size, method, steps, batch)
    times: dict[str, list[float]] = {name: [] for name in tasks}
    tasks["plain"]()  # the first training of a process is slower than all others
    for _ in range(repeats):
        for name, task in tasks.items():
            times[name].append(task())
    plain = times.pop("plain")
    what = f"{size}, {method}, {steps} steps"
    figures = [Figure(f"{what}: one step of the plain Trainer", "s", [t / steps for t in plain])]
    for name, values in times.items():
        slower = [100 * (ratio - 1) for ratio in ratios(values, plain)]
        figures.append(Figure(f"{what}: {name}, slower by", "%", slower, goal if name == "capture" else ""))
    for name, values in times.items():
        if name != "capture":
            figures.append(Figure(f"{what}: {name}, times as long as capture", "x", ratios(values, times["capture"])))
    if size != "embedded":
        share = [
            100 * (ours - alone) / (alone * LONG / steps) for ours, alone in zip(times["capture"], plain, strict=True)
        ]
        figures.append(
            Figure(
                f"{size}, {method}: the same captures in a run of {LONG} steps, slower by", "%", share, "at most 1 %"
            )
        )
    return figures


# --- memory ----------------------------------------------------------------------------------------------------------


def say_peak(size: str, method: str, steps: int, batch: tuple[int, int], capturing: bool) -> None:
    """Train once, and print the most bytes that this process had in memory."""
    with tempfile.TemporaryDirectory() as scratch:
        callbacks = [CaptureCallback(Path(scratch) / "run", every=1, say=False)] if capturing else []
        train(model_of(size, method), steps, batch, callbacks)
    print(peak_bytes())


def peak_memory(*arguments: Any) -> int:
    """The same of a process of its own, which began with nothing in memory."""
    code = f"from benchmarks.capture import say_peak; say_peak(*{arguments!r})"
    said = subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    return int(said.stdout.split()[-1])


def memory(size: str, method: str, steps: int, batch: tuple[int, int], repeats: int) -> Figure:
    """What capture adds to the peak, in copies of the trained weights."""
    trained = sum(4 * p.numel() for p in model_of(size, method).parameters() if p.requires_grad)
    extra = []
    for _ in range(repeats):
        without, with_it = (peak_memory(size, method, steps, batch, capturing) for capturing in (False, True))
        extra.append((with_it - without) / trained if method == "full" else (with_it - without) / 1e6)
    unit, goal = ("copies of the trained weights", "at most 1") if method == "full" else ("MB", "nothing to speak of")
    return Figure(f"{size}, {method}: extra peak memory, every step captured", unit, extra, goal)


# --- growth ----------------------------------------------------------------------------------------------------------


def capture_times(model: nn.Module, count: int, modules: list[str] | None = None) -> list[float]:
    """Seconds of each of `count` captures, what is done beside training included."""
    with tempfile.TemporaryDirectory() as scratch:
        recorder = Recorder(model, Path(scratch) / "run", every=1, total=count, modules=modules, budget=None, say=False)
        recorder.start()

        def capture(step: int) -> None:
            recorder.step(step)
            recorder.writer.wait()

        times = [seconds(partial(capture, step)) for step in range(1, count + 1)]
        recorder.finish(count)
    return times


def growth(repeats: int, count: int) -> list[Figure]:
    """Does a capture cost more late in a run, or more for each weight when there are more weights?"""
    model = model_of("embedded", "full")
    layers = [f"model.layers.{n}.*" for n in range(model.config.num_hidden_layers)]
    weights = [
        sum(p.numel() for name, p in model.named_parameters() if name.startswith(layer[:-1])) for layer in layers
    ]
    runs = [capture_times(model, count) for _ in range(repeats)]
    quarter = count // 4
    late = [sum(times[-quarter:]) / sum(times[:quarter]) for times in runs]
    over_steps = [(float(step), 1000 * median(times)) for step, times in enumerate(zip(*runs, strict=True), 1)]
    by_size = [[median(capture_times(model, quarter, layers[:upto])) for upto in range(1, len(layers) + 1)]
               for _ in range(repeats)]  # fmt: skip
    each = [times[-1] / times[0] / (sum(weights) / weights[0]) for times in by_size]
    over_weights = [(float(sum(weights[:upto])), 1000 * median(times))
                    for upto, times in enumerate(zip(*by_size, strict=True), 1)]  # fmt: skip
    return [
        Figure(f"embedded, full: the last quarter of {count} captures beside the first", "x", late, "1: no growth",
               over_steps, ("captured step", "one capture (ms)")),
        Figure(f"embedded, full: a weight's cost in {len(layers)} layers beside one layer", "x", each,
               "at most 1: linear", over_weights, ("captured weights", "one capture (ms)")),
    ]  # fmt: skip


def measure(large: int = 4, small: int = 60, repeats: int = 3) -> list[Figure]:
    """large, small: steps of the two models."""
    figures = []
    for method in ("full", "lora"):
        figures += overhead("embedded", method, small, (32, 64), repeats, "at most 3 %")
        figures += overhead("135M", method, large, (2, 128), 1, "")
        figures.append(memory("135M", method, 3, (2, 32), 1))
    return figures + growth(repeats, 60)
