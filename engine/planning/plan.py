"""What will this fine-tuning take? `plan_finetuning`, told what `finetune` is told, measures two steps, keeps nothing.

    python -m engine.finetune --method lora --data spanish --out runs/mine --dry-run

The model is loaded and trained for two real steps on the first batches of the data, without a capture, and a share of
the questions is graded; then all of it is thrown away. Memory and time are those of the steps, disk is counted.
"""

import engine.quietly  # noqa: F401

# isort: split
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psutil
import torch
from transformers import TrainerCallback

from engine.recording.folder import check_free
from engine.recording.model import held_in
from engine.recording.schedule import (
    allot,
    capture_schedule,
    count_captures,
    count_steps,
    evaluation_schedule,
    parse_bytes,
    readable,
)
from engine.recording.trained import find_trained
from engine.recording.writer import size_of
from engine.threads import on_threads, suitable
from engine.training.finetune import checkpoint_steps
from engine.training.prepare import Prepared, left_out, prepare
from engine.training.request import Request, takes
from engine.training.trainer import make_trainer

MEASURED = 2  # steps: the first also makes the optimizer's state and warms up, so the second is the one that counts


@dataclass(frozen=True)
class Plan:
    """steps: of the whole training. seconds_a_step: the second of two real ones. parameters, trainable: counts of the
    weights in all, and of the trained ones. peak: bytes of memory that the model and two steps took at most; held: of
    them, weights, gradients and the optimizer's state. copied: bytes of the copy that capture makes of what is trained.
    evaluations, seconds_an_evaluation: how many there will be, and what one takes, from a share of it. captures: how
    many. captured, checkpoint (None if none is kept), result: bytes on the disk.
    """

    what: str
    out: str
    notes: tuple[str, ...]
    steps: int
    seconds_a_step: float
    parameters: int
    trainable: int
    peak: int
    held: tuple[int, int, int]
    copied: int
    evaluations: int
    seconds_an_evaluation: float
    captures: int
    captured: int
    checkpoint: int | None
    result: int

    @property
    def seconds(self) -> float:
        return self.steps * self.seconds_a_step + self.evaluations * self.seconds_an_evaluation

    @property
    def disk(self) -> int:
        """At most at once: while a checkpoint is written, the one before is there too."""
        return self.captured + max(2 * (self.checkpoint or 0), self.result)

    def sentences(self) -> list[str]:
        """The plan, for people."""
        names = ("weights", "gradients", "optimizer")
        held = ", ".join(f"{name} {readable(size)}" for name, size in zip(names, self.held, strict=True))
        kept = [f"{self.captures} captures {readable(self.captured)}"]
        kept += [f"a checkpoint {readable(self.checkpoint)} until it is finished"] if self.checkpoint else []
        kept += [f"the result {readable(self.result)}"] if self.result else []
        return [
            f"{self.what}: {self.trainable:,} of {self.parameters:,} weights are trained, in {self.steps} steps",
            *self.notes,
            f"memory: {readable(self.peak + self.copied)} beside the program itself: {readable(self.peak)} at the peak "
            f"of two steps, measured (of these {held}), and {readable(self.copied)} for capture's copy",
            f"time: {_span(self.seconds)}: {self.seconds_a_step:.2g} s a step, measured, and {self.evaluations} "
            f"evaluations of about {self.seconds_an_evaluation:.2g} s, from a share of one",
            f"disk: {readable(self.disk)} at most in {self.out} ({', '.join(kept)})",
            "Nothing was kept or written.",
        ]


@takes(Request)
def plan_finetuning(told: Request) -> Plan:
    """What will this fine-tuning take, in memory, time and disk? Nothing is kept, nothing is written.

    Raises InputError for whatever `finetune` would refuse before it trains.
    """
    check_free(told.out, told.overwrite or told.resume)
    prepared = prepare(told)
    with _peak() as peak:
        model = prepared.model()
        with on_threads(suitable(sum(p.numel() for p in model.parameters()))):
            seconds_a_step, state = _two_steps(prepared, model)
    seconds_an_evaluation = prepared.evaluator.seconds(model) if prepared.evaluator else 0.0
    captures, captured, copied = _capture(prepared, model)
    trained = [p for p in model.parameters() if p.requires_grad]
    gradients = sum(p.nbytes for p in trained)
    checkpoint = gradients + state if checkpoint_steps(prepared, model) else None  # what is trained, and its state
    return Plan(
        what=f"{prepared.method.name} of {prepared.source} on {prepared.conversations.name}",
        out=str(told.out),
        notes=tuple(left_out(prepared)),
        steps=prepared.steps,
        seconds_a_step=seconds_a_step,
        parameters=sum(map(held_in, model.parameters())),
        trainable=sum(p.numel() for p in trained),
        peak=peak[0],
        held=(sum(p.nbytes for p in model.parameters()), gradients, state),
        copied=copied,
        evaluations=_evaluations(prepared, prepared.steps * seconds_a_step, seconds_an_evaluation),
        seconds_an_evaluation=seconds_an_evaluation,
        captures=captures,
        captured=captured,
        checkpoint=checkpoint,
        result=_result_bytes(model) if told.save else 0,
    )


def _evaluations(prepared: Prepared, training: float, each: float) -> int:
    """How many there will be, the first and the last included. training, each: seconds."""
    graded = evaluation_schedule(prepared.evaluate_at, prepared.steps)
    due = count_steps(graded, 0, prepared.steps) + (not graded(prepared.steps))
    share = prepared.evaluation_share
    return due if share is None or not each else min(due, max(2, int(share / (1 - share) * training / each)))


def _capture(prepared: Prepared, model: Any) -> tuple[int, int, int]:
    """How many captures, their bytes on the disk with the start, and the bytes of the copy in memory."""
    told = prepared.told
    parts = find_trained(model, told.modules)
    sizes = {name: size_of(part) for name, part in parts.items()}
    schedule = capture_schedule(told.every, sum(size.exact for size in sizes.values()), prepared.steps)
    count = count_captures(schedule, prepared.steps)
    levels = allot(sizes, count, None if told.budget is None else parse_bytes(told.budget))
    disk = sum(
        sizes[name].once + count * sizes[name].exact if level is None else count * sizes[name].sketch(level)
        for name, level in levels.items()
    )
    live = sum(tensor.numel() * tensor.element_size() for part in parts.values() for tensor in part.live.values())
    return count, disk, live


@contextmanager
def _peak() -> Iterator[list[int]]:
    """The most memory that was taken inside beyond what was taken before, in bytes: the GPU's if there is one."""
    found = [0]
    if torch.cuda.is_available():
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        yield found
        found[0] = torch.cuda.max_memory_allocated() - before
        return
    process, done = psutil.Process(), threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.002):
            found[0] = max(found[0], process.memory_info().rss - before)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


class _Clock(TrainerCallback):
    """When each step began, and when the last ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.times.append(time.perf_counter())

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if state.global_step == MEASURED:
            self.times.append(time.perf_counter())


def _two_steps(prepared: Prepared, model: Any) -> tuple[float, int]:
    """Two real steps, on the first batches of the data, as the Trainer takes them: the seconds of the second, and the
    bytes of the optimizer's state after it."""
    clock = _Clock()
    trainer_told = {**(prepared.settings.trainer or {}), "report_to": []}
    settings = replace(prepared.settings, steps=MEASURED, epochs=None, trainer=trainer_told)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = make_trainer(model, prepared.rows, prepared.pad_id, settings, scratch, [clock])
        trainer.train()
    held = (value for about in trainer.optimizer.state.values() for value in about.values())
    shared = {tensor.untyped_storage().data_ptr(): tensor.nbytes for tensor in held if isinstance(tensor, torch.Tensor)}
    return clock.times[-1] - clock.times[-2], sum(shared.values())


def _result_bytes(model: Any) -> int:
    """What is saved: PEFT saves what is trained, transformers every weight."""
    saved = [p for p in model.parameters() if p.requires_grad or not hasattr(model, "peft_config")]
    return sum(p.numel() * p.element_size() for p in saved)


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
