"""What does capturing cost? Training with it, without it, and with what people use now, in turn; and memory."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from peft import (
    AdaLoraConfig,
    HRAConfig,
    IA3Config,
    LoHaConfig,
    LoraConfig,
    OFTConfig,
    PeftConfig,
    VeraConfig,
    get_peft_model,
)
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from benchmarks.figures import Figure, Unmeasured, in_turn, own_seconds, peak_of, ratios, seconds, slower_by
from engine.models import load_model
from engine.recording.schedule import capture_schedule
from engine.recording.trained import find_trained
from engine.recording.writer import size_of
from engine.run.base import EMBEDDED
from glasstune import CaptureCallback, QLoRA

TITLE = "What capturing costs a training, beside what people use now"

# SmolLM-135M's shape. Time and memory do not depend on the values, so these are random.
LARGE = LlamaConfig(
    hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
    vocab_size=49152, tie_word_embeddings=True, max_position_embeddings=2048,
)  # fmt: skip
ADAPTED: dict[str, dict[str, Any]] = {
    "lora": {}, "rank-stabilised LoRA": {"use_rslora": True}, "DoRA": {"use_dora": True},
    "LoRA from PiSSA": {"init_lora_weights": "pissa"}, "LoRA from OLoRA": {"init_lora_weights": "olora"},
    "LoRA and token rows": {"trainable_token_indices": list(range(64))},
    "LoRA and a whole head": {"modules_to_save": ["lm_head"], "target_modules": ["q_proj", "v_proj"]},
}  # fmt: skip
OTHERS: dict[str, Callable[..., PeftConfig]] = {  # whose change PEFT computes at each capture
    "AdaLoRA": partial(AdaLoraConfig, init_r=12, target_r=8, total_step=1000), "VeRA": VeraConfig, "LoHa": LoHaConfig,
    "OFT": partial(OFTConfig, r=0, oft_block_size=16), "HRA": HRAConfig,
    "IA3": partial(IA3Config, feedforward_modules=["down_proj"]),
}  # fmt: skip
_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
Timed = Callable[[Callable[[], object]], float]
LONG = 500  # steps of a fine-tuning of a model that size, for the share that the default dozen of captures takes


def model_of(size: str, method: str) -> nn.Module:
    """size: "embedded" or "135M". method: "full", of PEFT in `ADAPTED` or `OTHERS`, or "QLoRA" of the embedded."""
    torch.manual_seed(0)
    if method == "QLoRA":
        return QLoRA(r=8).prepare(EMBEDDED)
    model = load_model(EMBEDDED) if size == "embedded" else LlamaForCausalLM(LARGE)
    if method in ADAPTED:
        options = {"r": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **ADAPTED[method]}
        model = get_peft_model(model, LoraConfig(**options))
    elif method in OTHERS:
        model = get_peft_model(model, OTHERS[method](target_modules=_LINEAR, task_type="CAUSAL_LM"))
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


PEERS = {
    "torch.save": (state_dicts, "torch"),
    "TensorBoard histograms": (histograms, "tensorboard"),
    "wandb.watch": (watched, "wandb"),
}


def captured_by_default(model: nn.Module, steps: int) -> set[int]:
    """The steps that `CaptureCallback` captures of so many, besides step 0."""
    captured = capture_schedule("auto", sum(size_of(part).exact for part in find_trained(model).values()), steps)
    return {step for step in range(1, steps + 1) if captured(step) or step == steps}


def contenders(
    size: str, method: str, steps: int, batch: tuple[int, int], chosen: set[int], peers: bool, timed: Timed = seconds
) -> dict[str, Callable[[], float]]:
    """name -> a whole training with it, on a fresh model whose making is not timed. Gives its seconds.

    chosen: the steps at which each records.
    """

    def plain(model: nn.Module, folder: Path) -> None:
        train(model, steps, batch, [])

    def captured(model: nn.Module, folder: Path) -> None:
        train(model, steps, batch, [CaptureCallback(folder / "run", say=False)])

    def peer(using: Callable[..., Any], model: nn.Module, folder: Path) -> None:
        with using(chosen, folder, *([model] if using is watched else [])) as callback:
            train(model, steps, batch, [callback])

    tasks = {"plain": plain, "capture": captured}
    if peers:
        tasks |= {name: partial(peer, using) for name, (using, package) in PEERS.items() if find_spec(package)}
    return {name: partial(_fresh, task, size, method, timed) for name, task in tasks.items()}


def _fresh(task: Callable[[nn.Module, Path], None], size: str, method: str, timed: Timed) -> float:
    """Seconds of one training: its model is made before the clock starts."""
    with tempfile.TemporaryDirectory() as scratch:
        return timed(partial(task, model_of(size, method), Path(scratch)))


def overhead(
    size: str,
    method: str,
    steps: int,
    batch: tuple[int, int],
    repeats: int,
    goal: str = "",
    peers: bool = False,
    timed: Timed = seconds,
) -> Iterator[Figure | Unmeasured]:
    """How much longer each contender trains than the plain Trainer, in %. All of them in turn.

    timed: by the wall's clock, or in processor time, in which what is done beside training counts in full.
    """
    chosen = captured_by_default(model_of(size, method), steps)
    tasks = contenders(size, method, steps, batch, chosen, peers, timed)
    if not peers:
        tasks["plain"]()  # the first training of a process is slower than all others
    times = in_turn(tasks, repeats, warm_up=0, clock=own_seconds)
    plain = times.pop("plain")
    what = f"{size}, {method}, {steps} steps, {len(chosen)} recorded"
    yield Figure(f"{what}: one step of the plain Trainer", "s", [t / steps for t in plain])
    for name, values in times.items():
        yield Figure(f"{what}: {name}, slower by", "%", slower_by(values, plain), goal if name == "capture" else "")
    for name, values in times.items():
        if name != "capture":
            yield Figure(f"{what}: {name}, times as long as capture", "times", ratios(values, times["capture"]))
    for name in PEERS if peers else ():
        if name not in tasks:
            yield Unmeasured(f"{what}: {name}", "not installed; pip install 'glasstune[bench]'")


class Clock(TrainerCallback):
    """When training began, and when each step had ended, before what other callbacks do then."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.moments = [time.perf_counter()]

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 0:
            self.moments.append(time.perf_counter())

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.moments.append(time.perf_counter())


def share(steps: int = 8) -> Iterator[Figure]:
    """What the default captures of a long training of the large model come to, beside its steps of 1,024 tokens.

    Within one training in which every second step is captured: a step with a capture in its way and beside it takes
    longer than the one that comes after.
    """
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        model = model_of("135M", "full")
        train(model, steps, (4, 256), [clock, CaptureCallback(Path(folder) / "run", every=2, say=False)])
    opening, *took = (after - before for before, after in pairwise(clock.moments))
    beside, alone = took[2::2], took[3::2]  # the first two: PyTorch warms up
    each = [one - other for one, other in zip(beside, alone, strict=True)]
    usual = len(captured_by_default(model, LONG))
    what = "135M, full, steps of 1,024 tokens"
    yield Figure(f"{what}: one step", "s", alone)
    yield Figure(f"{what}: what a capture adds", "s", each)
    slower = [100 * (opening + usual * one) / (LONG * other) for one, other in zip(each, alone, strict=True)]
    yield Figure(f"{what}: the {usual} captures of {LONG} steps, slower by", "%", slower, "at most 1 %")


# --- memory ----------------------------------------------------------------------------------------------------------


def train_once(size: str, method: str, steps: int, batch: tuple[int, int], capturing: bool) -> None:
    """What `memory` has a process of its own do."""
    with tempfile.TemporaryDirectory() as scratch:
        callbacks = [CaptureCallback(Path(scratch) / "run", every=1, say=False)] if capturing else []
        train(model_of(size, method), steps, batch, callbacks)


def memory(size: str, method: str, steps: int, batch: tuple[int, int]) -> Figure:
    """What capture adds to the peak, in copies of the trained weights."""
    trained = sum(4 * p.numel() for p in model_of(size, method).parameters() if p.requires_grad)
    without, with_it = (
        peak_of(f"from benchmarks.capture import train_once; train_once{(size, method, steps, batch, capturing)!r}")
        for capturing in (False, True)
    )
    what = f"{size}, {method}: extra peak memory, every step captured"
    if method == "full":
        return Figure(what, "copies of the trained weights", [(with_it - without) / trained], "at most 1")
    return Figure(what, "MB", [(with_it - without) / 1e6], "nothing to speak of")


def measure() -> Iterator[Figure | Unmeasured]:
    for method in ("full", "lora"):
        yield from overhead("embedded", method, 160, (16, 32), 3, "at most 3 %")
        yield from overhead("embedded", method, 40, (16, 32), 1, peers=True)
        yield memory("135M", method, 2, (2, 32))
    yield from overhead("135M", "full", 3, (2, 128), 1, peers=True)
    yield from share()
    if not torch.cuda.is_available():
        yield Unmeasured("capture's overhead on a GPU", "none on this machine")
