"""What did training do to the weights? `CaptureCallback` for any Trainer, `capture()` for a plain PyTorch loop.

Both drive one `Recorder`, which writes the Run (see `engine.run` for its form): every change of the trained
weights since step 0, at every captured step. A LoRA module is kept as its factors, everything else that is
trained as a delta against a copy taken at the start. Files are written beside training, by one thread.
"""

import json
import math
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TextIO

import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.pytorch_utils import Conv1D

from engine.errors import InputError
from engine.evaluate import Evaluator
from engine.run import FORMAT, PEFT_PREFIX, VERSION, Run, capture_path, write_json

Every = int | Literal["auto"]
_BYTES_A_RUN = 150_000_000  # what "auto" aims for
_WRAPPERS = re.compile(r"^(?:_orig_mod\.|module\.|base_model\.model\.)+")


@dataclass(frozen=True)
class Trained:
    """One module that training changes. kind: "lora" (its factors are captured) or "delta" (its whole change)."""

    kind: Literal["lora", "delta"]
    about: dict[str, Any]
    parameters: dict[str, nn.Parameter]  # tensor name in the capture -> live parameter
    transposed: bool = False


def find_trained(model: nn.Module) -> dict[str, Trained]:
    """Everything that has gradients, by the base model's module names. Raises InputError if nothing has."""
    found: dict[str, Trained] = {}
    owned: set[int] = set()
    for path, layer in model.named_modules():
        if isinstance(layer, LoraLayer):
            for adapter in layer.active_adapters:
                if adapter in layer.lora_A:
                    _no_dora(layer, adapter, path)
                    name = _WRAPPERS.sub("", path)
                    pair = {side: getattr(layer, side)[adapter].weight for side in ("lora_A", "lora_B")}
                    found[name] = _lora(name, layer, adapter, pair)
                    owned |= {id(parameter) for parameter in pair.values()}
    layers = dict(model.named_modules())
    for path, parameter in model.named_parameters():  # tied weights come once
        if parameter.requires_grad and id(parameter) not in owned:
            owner, _, leaf = path.rpartition(".")
            name = _WRAPPERS.sub("", path).replace(".modules_to_save.default", "").replace(".base_layer", "")
            found[name.removesuffix(".weight")] = _whole(name, layers[owner], leaf, parameter)
    if not found:
        raise InputError(
            "nothing in this model is trainable: no parameter has requires_grad set, so there is nothing to capture"
        )
    return found


def _no_dora(layer: LoraLayer, adapter: str, path: str) -> None:
    if getattr(layer, "use_dora", {}).get(adapter):
        raise InputError(f"{path} uses DoRA, whose change is not B A alone; capture of DoRA is not supported yet")


def _lora(name: str, layer: LoraLayer, adapter: str, pair: dict[str, nn.Parameter]) -> Trained:
    shape = [pair["lora_B"].shape[0], pair["lora_A"].shape[1]]
    transposed = isinstance(layer.get_base_layer(), Conv1D)
    about = {
        "kind": "lora",
        "shape": shape,
        "r": pair["lora_A"].shape[0],
        "scaling": layer.scaling[adapter],
        "base_parameter": f"{name}.weight",
        "transposed": transposed,
    }
    return Trained("lora", about, {f"{PEFT_PREFIX}{name}.{side}.weight": p for side, p in pair.items()}, transposed)


def _whole(name: str, owner: nn.Module, leaf: str, parameter: nn.Parameter) -> Trained:
    transposed = isinstance(owner, Conv1D) and leaf == "weight"  # GPT-2 stores (in, out)
    shape = list(reversed(parameter.shape)) if transposed else list(parameter.shape)
    about = {"kind": "delta", "shape": shape, "parameter": name, "base_parameter": name, "transposed": transposed}
    return Trained("delta", about, {name: parameter}, transposed)


def capture_schedule(every: Every, bytes_each: int, total: int | None) -> Callable[[int], bool]:
    """Which steps are captured: each `every`-th, or for "auto" all at first, then sparser, some 150 MB in all."""
    if every != "auto":
        if every < 1:
            raise InputError(f"every is {every}; capture every 1st, 2nd, ... step, or 'auto'")
        return lambda step: step % every == 0
    room = min(80, max(12, _BYTES_A_RUN // max(1, bytes_each)))
    if total is None:  # an endless loop: ever sparser, so that the run grows with the logarithm of its steps
        return lambda step: step <= 8 or math.floor(math.log(step, 1.15)) > math.floor(math.log(step - 1, 1.15))
    dense = room // 4
    stride = max(1, math.ceil((total - dense) / (room - dense)))
    return lambda step: step <= dense or (total - step) % stride == 0


def evaluation_schedule(total: int, count: int = 12) -> Callable[[int], bool]:
    """Step 0, the last, and about `count` between, closer together at first, when most is learned and lost."""
    steps = {round(total * (at / count) ** 1.5) for at in range(count + 1)}
    return lambda step: step in steps


def check_free(out: str | Path) -> Path:
    """The folder `out`, not there yet or empty. Raises InputError if it holds anything or cannot be written."""
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        holds = "another run" if (out / "run.json").exists() else "other files"
        raise InputError(f"{out} already holds {holds}; give another folder, or delete it first")
    there = next(parent for parent in (out, *out.absolute().parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(f"{out} cannot be written: {there} is not a folder that you may write to; give another folder")
    return out


def claim_folder(out: str | Path) -> Path:
    """Make the folder of a run. Raises InputError as `check_free` does."""
    out = check_free(out)
    try:
        (out / "captures").mkdir(parents=True)
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror}); give another folder") from None
    return out


def provenance() -> dict[str, Any]:
    """Versions, host and command, so that a run can be made again."""
    packages = ("torch", "transformers", "peft", "bitsandbytes", "numpy")
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "host": {"machine": platform.machine(), "cpus": os.cpu_count(), "threads": torch.get_num_threads()},
        "command": " ".join(sys.argv),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


class Recorder:
    """Writes one Run. `start`, then `step` after every optimizer step, then `finish`.

    every: capture each n-th step, or "auto". evaluator: graded at the steps that `evaluate_at` chooses.
    total: the number of steps to come, if known. source: where the base model's files are (default: what the model
    says). info: what else run.json shall hold (method, data, settings, ...).
    """

    def __init__(
        self,
        model: PreTrainedModel,
        out: str | Path,
        *,
        every: Every = "auto",
        evaluator: Evaluator | None = None,
        evaluate_at: Callable[[int], bool] | None = None,
        total: int | None = None,
        source: str | None = None,
        info: dict[str, Any] | None = None,
    ) -> None:
        self.model, self.evaluator = model, evaluator
        self.source = source or getattr(model.config, "_name_or_path", "") or "unknown"
        self.trained = find_trained(model)
        self.folder = claim_folder(out)
        self._base = {
            name: parameter.detach().to("cpu", torch.float32, copy=True)
            for part in self.trained.values()
            if part.kind == "delta"
            for name, parameter in part.parameters.items()
        }
        bytes_each = 4 * sum(p.numel() for part in self.trained.values() for p in part.parameters.values())
        self._captured_at = capture_schedule(every, bytes_each, total)
        self._evaluated_at = evaluate_at or (evaluation_schedule(total) if total else lambda step: step == 0)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="capture")
        self._writing: Future[None] | None = None
        self._metrics: TextIO = (self.folder / "metrics.jsonl").open("a", encoding="utf-8")
        self._answers: TextIO = (self.folder / "answers.jsonl").open("a", encoding="utf-8")
        self._last_captured = self._last_evaluated = -1
        self._seconds = {"capture": 0.0, "evaluation": 0.0}
        self._began = time.perf_counter()
        self.info = {"format": FORMAT, "version": VERSION, "status": "running", **self._describe(), **(info or {})}
        write_json(self.folder / "run.json", self.info)

    def _describe(self) -> dict[str, Any]:
        loras = [part for part in self.trained.values() if part.kind == "lora"]
        # PEFT and bitsandbytes pack parameters: count what a weight matrix holds, not what it is stored in.
        total = sum(
            (getattr(p, "quant_state", None) and p.quant_state.shape.numel()) or p.numel()
            for p in self.model.parameters()
        )
        trainable = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        adapter = sum(p.numel() for part in loras for p in part.parameters.values())
        return {
            "method": {"name": "lora" if loras else "full"},
            "model": {
                "name": Path(self.source).name,
                "source": self.source,
                "architecture": type(self.model).__name__,
                "parameters": total - adapter,
                "trainable": trainable,
            },
            "modules": {name: part.about for name, part in self.trained.items()},
            **provenance(),
        }

    def start(self) -> None:
        """Capture and evaluate step 0: before training, every delta is zero."""
        self._observe(0)

    def step(self, step: int) -> None:
        """After optimizer step `step` (1, 2, ...): capture and evaluate if the schedules say so."""
        self._observe(step)

    def log(self, step: int, **values: float) -> None:
        """Write one line of training metrics: loss in nats a token, learning_rate, grad_norm, whatever is given."""
        self._write(self._metrics, {"step": step, "event": "train", **values})

    def _observe(self, step: int, last: bool = False) -> None:
        if step > self._last_captured and (last or self._captured_at(step)):
            self._capture(step)
        if self.evaluator and step > self._last_evaluated and (last or self._evaluated_at(step)):
            self._evaluate(step)

    def _capture(self, step: int) -> None:
        began = time.perf_counter()
        tensors = {}
        for part in self.trained.values():
            for name, parameter in part.parameters.items():
                value = parameter.detach().to("cpu", torch.float32, copy=part.kind == "lora")
                value = value if part.kind == "lora" else value - self._base[name]
                tensors[name] = value.T.contiguous() if part.kind == "delta" and part.transposed else value
        self._wait()  # one capture under way at most: memory stays bounded, and a full disk is noticed
        self._writing = self._writer.submit(_save, tensors, capture_path(self.folder, step), step)
        self._last_captured = step
        self._seconds["capture"] += time.perf_counter() - began

    def _wait(self) -> None:
        if self._writing is not None:
            writing, self._writing = self._writing, None
            try:
                writing.result()
            except OSError as error:
                raise InputError(
                    f"a capture could not be written to {self.folder} ({error.strerror}); free some space"
                ) from None

    def _evaluate(self, step: int) -> None:
        began = time.perf_counter()
        assert self.evaluator is not None
        result = self.evaluator(self.model)
        self._write(self._metrics, {"step": step, "event": "eval", "exact": result.exact, "loss": result.loss})
        for answer in result.answers:
            self._write(self._answers, {"step": step, **answer})
        self._last_evaluated = step
        self._seconds["evaluation"] += time.perf_counter() - began

    def _write(self, file: TextIO, record: dict[str, Any]) -> None:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")
        file.flush()

    def finish(self, step: int, status: str = "finished") -> Run:
        """Capture and evaluate the last step, close the files, and open the Run."""
        if status == "finished":
            self._observe(step, last=True)
        self._wait()
        self._writer.shutdown()
        self._metrics.close()
        self._answers.close()
        seconds = {"total": time.perf_counter() - self._began, **self._seconds}
        self.info |= {"status": status, "steps": step, "seconds": {k: round(v, 3) for k, v in seconds.items()}}
        write_json(self.folder / "run.json", self.info)
        return Run.load(self.folder)


def _save(tensors: dict[str, torch.Tensor], path: Path, step: int) -> None:
    beside = path.with_name(path.name + ".part")
    save_file(tensors, beside, metadata={"format": "pt", "step": str(step)})
    beside.replace(path)


class CaptureCallback(TrainerCallback):
    """Put it in any Trainer's `callbacks`, and the fine-tuning is captured as a Run in folder `out`.

        trainer = Trainer(model, args, train_dataset=data, callbacks=[CaptureCallback("runs/mine")])

    every: capture each n-th optimizer step, or "auto" (all at first, then sparser; some 150 MB in all).
    evaluator: an `engine.evaluate.Evaluator`, to grade skills and ask probes along the way. source: where the base
    model's files are (default: what the model says). info: more for run.json. Raises InputError when training begins,
    if `out` holds something already.
    """

    def __init__(
        self,
        out: str | Path,
        *,
        every: Every = "auto",
        evaluator: Evaluator | None = None,
        evaluate_at: Callable[[int], bool] | None = None,
        source: str | None = None,
        info: dict[str, Any] | None = None,
    ) -> None:
        self.out, self.every, self.evaluator, self.evaluate_at = out, every, evaluator, evaluate_at
        self.source, self.info = source, info
        self.recorder: Recorder | None = None
        self.run: Run | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        self.recorder = Recorder(
            kwargs["model"],
            self.out,
            every=self.every,
            evaluator=self.evaluator,
            evaluate_at=self.evaluate_at,
            total=state.max_steps,
            source=self.source,
            info={"seed": args.seed, **(self.info or {})},
        )
        self.recorder.start()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if self.recorder and logs and "loss" in logs:
            self.recorder.log(state.global_step, **{name: float(value) for name, value in logs.items()})

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.recorder:
            self.recorder.step(state.global_step)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.recorder:
            self.run = self.recorder.finish(state.global_step)


class LoopRecorder:
    """What `capture()` hands to a plain loop: call `step(loss=...)` once after every optimizer step."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.steps = 0

    def step(self, **values: float | torch.Tensor) -> None:
        """One optimizer step is done. values: loss, learning_rate, ... as numbers or one-element tensors."""
        self.steps += 1
        if values:
            self._recorder.log(self.steps, **{name: float(value) for name, value in values.items()})
        self._recorder.step(self.steps)


@contextmanager
def capture(
    model: PreTrainedModel, out: str | Path, *, every: Every = "auto", **options: Any
) -> Iterator[LoopRecorder]:
    """Capture a plain PyTorch loop. Options as `Recorder`'s. The run is finished when the block ends, however it ends.

    with capture(model, "runs/mine") as recorder:
        for batch in loader:
            ...
            optimizer.step()
            recorder.step(loss=loss)
    """
    recorder = Recorder(model, out, every=every, **options)
    recorder.start()
    loop = LoopRecorder(recorder)
    try:
        yield loop
    except BaseException:
        recorder.finish(loop.steps, status="stopped")
        raise
    recorder.finish(loop.steps)
