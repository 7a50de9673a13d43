"""Which Trainer does `finetune` use? transformers' own, over a plain list, whose checkpoints hold no pickle.

A checkpoint is a folder `step-000040` with the trained weights and the optimizer's state as safetensors, and the
rest as JSON: the Trainer's state, the scheduler's, the random generators'. It is written beside and renamed, and only
then is the one before deleted, so that a kill at any instant leaves a whole one.
"""

import engine.quietly  # noqa: F401

# isort: split
import json
import math
import random
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel, SchedulerType, Trainer, TrainerCallback
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from engine import terminal
from engine.data import Encoded, collate
from engine.errors import InputError, first_line, understood
from engine.files import PART, aside, remove, whole
from engine.reading import opened, read_json
from engine.recording.lock import lock, unlock
from engine.recording.ours import CHECKPOINTS, clear, holds_run, not_ours
from engine.run.run import Run
from engine.training.arguments import training_arguments
from engine.training.settings import Settings

WEIGHTS, OPTIMIZER, REST = "weights.safetensors", "optimizer.safetensors", "rest.json"
AGAIN = "give another folder, or overwrite=True instead of resume=True to begin again"
_NAME = re.compile(r"step-\d{6,}")


def is_finished(out: Path, info: dict[str, Any], source: str) -> bool:
    """Is the run in `out` whole already? Raises InputError, saying what differs, if it is not one of this very call."""
    if not (out / "run.json").exists():
        return False
    run = Run.load(out)
    before = {**run.info.raw, "model": run.info.model.source}
    asked: dict[str, Any] = json.loads(json.dumps({**info, "model": source}))
    for group, wanted in asked.items():
        had = before.get(group)
        if had != wanted:
            what = group
            if isinstance(had, dict) and isinstance(wanted, dict):
                name = next(key for key in wanted if had.get(key) != wanted[key])
                what, had, wanted = f"{group} {name}", had.get(name), wanted[name]
            raise InputError(
                f"{out} cannot be resumed: its {what} was {had}, now it is {wanted}; call it as before, or give "
                "another folder"
            )
    # The result is saved after the last capture, and the checkpoints go last: while they are there, it may be missing.
    return run.status == "finished" and not (out / CHECKPOINTS).exists()


def where_it_stopped(out: Path) -> Path | None:
    """The checkpoint to go on from. A run that was stopped before its first one has only begun: it makes room.

    Raises InputError for a run that keeps none, or whose checkpoints are gone: nothing of those is deleted.
    """
    unlock(out, lock(out))  # another process may be at it
    checkpoint = newest_checkpoint(out / CHECKPOINTS)
    if checkpoint is not None:
        return checkpoint
    if not holds_run(out):
        return None  # a kill before there was a run; or whatever else lies there, which `check_free` refuses
    run = Run.load(out)
    if not run.info.checkpoint and not run.metrics.empty:
        raise InputError(f"{out} cannot be resumed: it was made without checkpoints; {AGAIN}")
    every, reached = run.info.checkpoint or 0, max([0, *run.metrics.index, *run.steps])
    steps = run.info.raw["capture"]["steps"]
    if every and every < (steps or math.inf):  # the last step has none: it is saved as the result
        begun = out / CHECKPOINTS
        emptied = begun.is_dir() and not any(begun.iterdir())
        if reached > every or (reached == every and emptied):
            raise InputError(f"{out} cannot be resumed: its checkpoints are gone; {AGAIN}")
    if reached < max(every, 1):
        said = clear(out)
    else:  # it came as far as its first checkpoint, or to the end, and nothing could be saved any more
        said = f"{out} cannot be resumed, and training begins anew: what it held now lies in {aside(out)}"
    if said:
        terminal.say(said, sys.stderr)
    return None


def discard_checkpoints(out: Path) -> None:
    """Gone at once, by a rename: a kill while they are deleted leaves a finished run."""
    folder = out / CHECKPOINTS
    if not folder.exists():
        return
    if other := not_ours(out, folder):
        terminal.say(f"{other} is not of this training: it now lies in {aside(folder)}", sys.stderr)
        return
    done = folder.with_suffix(PART)
    remove(done)
    folder.replace(done)
    remove(done)


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """A folder that is filled beside its place and renamed into it: never half of it.

    Raises InputError if the disk is full or may not be written; then there is nothing of it.
    """
    try:
        with whole(folder) as part:
            part.mkdir(parents=True)
            yield part
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or first_line(error)
        raise InputError(f"{folder} cannot be written ({why}); free some space, then go on with resume=True") from None


def newest_checkpoint(folder: Path) -> Path | None:
    """The last whole checkpoint in a folder of them."""
    return max(_checkpoints(folder), key=lambda path: int(path.name.removeprefix("step-")), default=None)


def _checkpoints(folder: Path) -> list[Path]:
    """Those that were written whole; what else lies there, a copy of one say, is somebody's."""
    return [path for path in folder.glob("step-*") if _NAME.fullmatch(path.name) and path.is_dir()]


def make_trainer(
    model: PreTrainedModel,
    rows: list[Encoded],
    pad_id: int,
    settings: Settings,
    scratch: str,
    callbacks: list[TrainerCallback],
    checkpoint: int | None = None,
) -> "ListTrainer":
    """What `finetune` trains with, without its capture: transformers' Trainer over encoded conversations, silent.

    The settings must name a learning rate, and steps or epochs. scratch: the folder that the Trainer wants.
    checkpoint: steps between two, None for none.
    """
    trainer = ListTrainer(
        model,
        training_arguments(settings, scratch, checkpoint),
        train_dataset=rows,
        data_collator=lambda batch: collate(batch, pad_id),
        callbacks=callbacks,
    )
    for noisy in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(noisy)
    return trainer


class ListTrainer(Trainer):
    """The Trainer, over a plain list of encoded conversations, with a warm-up whose first step counts.

    transformers' own warm-up begins with a learning rate of exactly zero, so its first step changes nothing; here
    the rate of step n is n / warm-up steps, then a line down to zero after the last step.
    """

    _folder: Path | None = None
    _after: Callable[[], object] | None = None

    def keep(self, folder: Path, after: Callable[[], object]) -> None:
        """Checkpoints go into `folder`, each once `after()` has returned."""
        self._folder, self._after = folder, after

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> Any:
        if self.args.lr_scheduler_type != SchedulerType.LINEAR:  # the user's own, as transformers makes it
            return super().create_scheduler(num_training_steps, optimizer)
        warm = self.args.get_warmup_steps(num_training_steps)

        def factor(done: int) -> float:
            return min((done + 1) / max(1, warm), (num_training_steps - done) / max(1, num_training_steps - warm))

        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, factor)
        return self.lr_scheduler

    def _remove_unused_columns(self, dataset: Any, description: str | None = None) -> Any:
        return dataset

    # --- checkpoints: the Trainer decides when, and these say how ----------------------------------------

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        assert self._folder is not None and self._after is not None, "call keep() first"
        self._after()
        folder = self._folder
        if self.state.global_step >= self.state.max_steps:
            # A Trainer that resumes at its last step trains one step too many. The one before it will do, and the
            # folder says until it is discarded that the result is not saved yet.
            folder.mkdir(exist_ok=True)
            return
        made = folder / f"step-{self.state.global_step:06d}"
        with written_whole(made) as beside:
            self._write_checkpoint(beside)
        for older in _checkpoints(folder):
            if older != made:
                shutil.rmtree(older)

    def _write_checkpoint(self, beside: Path) -> None:
        save_file(_trained(self.model), beside / WEIGHTS)
        tensors, numbers = _flat(self.optimizer.state_dict()["state"])
        save_file(tensors, beside / OPTIMIZER)
        scheduler = {key: value for key, value in self.lr_scheduler.state_dict().items() if key != "lr_lambdas"}
        kept = {"scheduler": scheduler, "random": _random_state(), "optimizer": numbers}
        (beside / REST).write_text(json.dumps(kept), encoding="utf-8")
        self.state.save_to_json(str(beside / TRAINER_STATE_NAME))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        kept = _load(Path(resume_from_checkpoint) / WEIGHTS)
        live = _trained(self.model)
        if kept.keys() != live.keys() or any(kept[name].shape != live[name].shape for name in live):
            raise InputError(f"{resume_from_checkpoint} was written by another training; {AGAIN}")
        with torch.no_grad():
            for name, tensor in live.items():
                tensor.copy_(kept[name])

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        rest = _rest(checkpoint)
        state = _nested({**_load(Path(checkpoint) / OPTIMIZER), **rest.get("optimizer", {})})
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        scheduler = rest["scheduler"]
        self.lr_scheduler.load_state_dict({**self.lr_scheduler.state_dict(), **scheduler})
        for group, rate in zip(self.optimizer.param_groups, scheduler["_last_lr"], strict=True):
            group["lr"] = rate

    def _load_scaler(self, checkpoint: str | None) -> None:
        pass

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            with understood(f"the random state in {Path(checkpoint) / REST}", AGAIN):
                _set_random_state(_rest(checkpoint)["random"])


def _trained(model: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors that training changes, by name; shared ones once."""
    return {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}


def _flat(state: dict[int, dict[str, Any]]) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """An optimizer's state as (tensors, numbers), each by the names that lead to it: "3.exp_avg", in bitsandbytes'
    optimizers "3.__bnb_optimizer_quant_state__.state1". Raises InputError for what no file holds without a pickle."""
    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[str, float] = {}
    todo: list[tuple[str, Any]] = [(str(at), about) for at, about in state.items()]
    seen: set[int] = set()
    for path, value in todo:
        if isinstance(value, dict):
            todo += [(f"{path}.{name}", inner) for name, inner in value.items()]
        elif isinstance(value, torch.Tensor):
            memory = value.untyped_storage().data_ptr()
            value = value.contiguous()
            tensors[path] = value.clone() if memory in seen else value  # what is shared is written twice
            seen.add(memory)
        elif isinstance(value, int | float):
            numbers[path] = value
        elif value is not None:  # as SGD's momentum is, where it has none
            name = path.partition(".")[2]
            raise InputError(
                f"a checkpoint cannot hold what this optimizer keeps as {name!r}, a {type(value).__name__}; give "
                "checkpoint=None, and training cannot be resumed, or another optimizer"
            )
    return tensors, numbers


def _nested(flat: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """`_flat`, undone."""
    state: dict[int, dict[str, Any]] = {}
    for path, value in flat.items():
        at, *names, last = path.split(".")
        inside = state.setdefault(int(at), {})
        for name in names:
            inside = inside.setdefault(name, {})
        inside[last] = value
    return state


def _load(path: Path) -> dict[str, torch.Tensor]:
    try:
        with opened(path):  # a file, and no pipe that nothing comes out of
            return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read ({error}); {AGAIN}") from None


def _rest(checkpoint: str) -> dict[str, Any]:
    return read_json(Path(checkpoint) / REST, AGAIN)


def _random_state() -> dict[str, Any]:
    """Where the generators stand, as JSON: Dropout draws from torch's, the order of the data does not."""
    name, keys, *others = np.random.get_state()
    state: dict[str, Any] = {"python": random.getstate(), "numpy": [name, np.asarray(keys).tolist(), *others]}
    state["torch"] = torch.get_rng_state().tolist()
    if torch.cuda.is_available():
        state["cuda"] = [one.tolist() for one in torch.cuda.get_rng_state_all()]
    return state


def _set_random_state(state: dict[str, Any]) -> None:
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(tuple(state["numpy"]))
    torch.set_rng_state(torch.tensor(state["torch"], dtype=torch.uint8))
    then, here = state.get("cuda", []), torch.cuda.device_count() if torch.cuda.is_available() else 0
    if then[:here]:
        torch.cuda.set_rng_state_all([torch.tensor(one, dtype=torch.uint8) for one in then[:here]])
    if len(then) != here:
        terminal.remark(
            f"the training stopped on a machine with {len(then)} GPUs, and goes on with {here}: what is drawn at "
            "random on them, and sums, will not be quite as they would have been"
        )


def checkpoint_bytes(model: nn.Module) -> int:
    """How large one checkpoint will be: the trained weights, and Adam's two moments of each."""
    return 3 * sum(tensor.numel() * tensor.element_size() for tensor in _trained(model).values())
