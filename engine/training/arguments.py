"""What does transformers' Trainer get to hear of our settings? Its `TrainingArguments`, ours and the user's."""

import difflib
import json
import warnings
from dataclasses import fields
from typing import Any

import torch
from transformers import TrainingArguments

from engine.errors import InputError, first_line
from engine.training.settings import Settings

# What `finetune` says in its own words.
OURS = {
    "max_steps": "steps", "num_train_epochs": "epochs", "per_device_train_batch_size": "batch_size",
    "gradient_accumulation_steps": "accumulation", "learning_rate": "learning_rate", "warmup_steps": "warmup",
    "warmup_ratio": "warmup", "weight_decay": "weight_decay", "max_grad_norm": "max_grad_norm", "seed": "seed",
    "bf16": "dtype", "gradient_checkpointing": "gradient_checkpointing",
    "activation_checkpointing": "gradient_checkpointing", "output_dir": "out", "save_strategy": "checkpoint",
    "save_steps": "checkpoint", "disable_tqdm": "progress", "eval_strategy": "evaluate_at", "eval_steps": "evaluate_at",
    "do_eval": "evaluate_at", "load_best_model_at_end": "evaluate_at", "resume_from_checkpoint": "resume",
    "overwrite_output_dir": "overwrite",
}  # fmt: skip
# What needs evaluations by the Trainer itself, which there are none of.
_NEED_GRADES = ("reduce_lr_on_plateau", "greedy")
# transformers 5.0 calls it the first, newer ones the second.
_CHECKPOINTING = next(
    name for name in ("activation_checkpointing", "gradient_checkpointing") if hasattr(TrainingArguments, name)
)


def training_arguments(settings: Settings, folder: str, checkpoint: int | None) -> TrainingArguments:
    """The Trainer's own form of them. folder: its output; checkpoint: steps between two, None for none.

    Raises InputError where `settings.trainer` contradicts another setting, or is nothing that the Trainer takes.
    """
    ours: dict[str, Any] = {
        "output_dir": folder,
        "max_steps": settings.steps or -1,
        "num_train_epochs": settings.epochs or 1,
        "per_device_train_batch_size": settings.batch_size,
        "gradient_accumulation_steps": settings.accumulation,
        "learning_rate": settings.learning_rate or 0.0,
        "warmup_steps": settings.warmup or 0.0,
        "lr_scheduler_type": "linear",
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # it would write the mean of the losses before in the place of a NaN
        "save_strategy": "steps" if checkpoint else "no",
        "save_steps": checkpoint or 500,
        "report_to": [],
        "seed": settings.seed,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    if settings.dtype == "bfloat16-autocast":
        # The Trainer wants to be told that there is nothing but the processor, which can autocast as well.
        ours |= {"bf16": True, "use_cpu": not torch.accelerator.is_available()}
    if settings.gradient_checkpointing:
        # The older way needs an input with a gradient, which a frozen embedding does not give.
        ours |= {_CHECKPOINTING: True, f"{_CHECKPOINTING}_kwargs": {"use_reentrant": False}}
    given = _checked(settings.trainer or {}, ours)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of an old name; the next release will refuse it
            return TrainingArguments(**{**ours, **given})
    except (TypeError, ValueError, NotImplementedError, ImportError) as error:
        raise InputError(f"trainer={given!r}: TrainingArguments refuses this ({first_line(error)})") from None


def _checked(given: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    known = [about.name for about in fields(TrainingArguments)]
    for name, value in given.items():
        if name in OURS and not (name in ours and ours[name] == value):
            raise InputError(
                f"trainer={{{name!r}: {value!r}}} contradicts what finetune sets itself; give {OURS[name]}="
            )
        if name not in known and name not in OURS:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f"did you mean {near[0]}?" if near else "see transformers.TrainingArguments"
            raise InputError(f"trainer={{{name!r}: ...}} is no argument of TrainingArguments; {hint}")
        if name == "lr_scheduler_type" and getattr(value, "value", value) in _NEED_GRADES:
            raise InputError(
                f"lr_scheduler_type={value!r} follows the Trainer's own evaluations, which finetune does not make; "
                "give another scheduler, such as 'cosine'"
            )
    try:
        json.dumps(given)
    except TypeError as error:
        raise InputError(f"trainer={given!r} cannot be recorded ({error}); give plain values") from None
    return given
