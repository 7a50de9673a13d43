"""What is a fine-tuning told besides model, data and method? Its settings, each with its default and what it is for.

Nothing heavy is imported here: the command line (`engine.training.command`) makes its options from these fields.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from engine.checks import check_between, check_kinds
from engine.errors import InputError, shown

# What works for a model of a million weights, and what the field uses for one of billions.
LEARNING_RATES = {"full": 5e-4, "lora": 2e-3, "qlora": 2e-3}
LEARNING_RATES_LARGE = {"full": 2e-5, "lora": 2e-4, "qlora": 2e-4}
# name, least, most: what could be trained in a lifetime, held in memory, or seeds every generator.
_WHOLE = (
    ("steps", 1, 10_000_000), ("batch_size", 1, 1_000_000), ("accumulation", 1, 1_000_000),
    ("max_length", 2, 10_000_000), ("seed", 0, 2**32 - 1),
)  # fmt: skip
_LARGEST = 1e38  # of float32
# The share of the steps in which the rate rises. After a short rise old answers of the embedded model break and come
# back untaught (`scripts/rates.py`: up to 19 points; after a fifth, 3 in full fine-tuning and 13 in LoRA). The field
# uses 3 to 10 %.
WARMUP, WARMUP_LARGE = 0.2, 0.05
Precision = Literal["float32", "bfloat16-autocast", "bfloat16"]
PRECISIONS = ("float32", "bfloat16-autocast", "bfloat16")


def option(default: Any, text: str, **more: Any) -> Any:
    """A field of this default; `text` says what it is for, in `help(finetune)` and on the command line alike.

    more: what the command line needs besides, e.g. read=, which turns a word into the value.
    """
    return field(default=default, metadata={"help": text, **more})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides the weights that come out, besides model, data and method. Recorded in the Run as "settings"."""

    steps: int | None = option(None, "optimizer steps (default 200, unless epochs are given)")
    epochs: float | None = option(None, "passes over the training data, instead of steps")
    learning_rate: float | None = option(None, "its peak (default: what is usual for the method)")
    batch_size: int = option(32, "examples a forward pass")
    accumulation: int = option(1, "forward passes a step")
    warmup: float | None = option(
        None,
        "share of the steps in which the rate rises; then it falls in a line to zero (default: 0.2 for the "
        "embedded model, else 0.05)",
    )
    weight_decay: float = option(0.0, "AdamW's")
    max_grad_norm: float = option(1.0, "longer gradients are cut to this length")
    max_length: int = option(512, "tokens of an example at most; the rest is cut")
    mix: float = option(0.0, "share of the examples that comes from mix_with, against forgetting")
    mask_prompts: bool = option(True, "learn the answers alone, not to write the questions too")
    seed: int = option(0, "of the held-out split, A's first values, dropout and the order of the data")
    dtype: Precision = option(
        "float32",
        "float32: weights and arithmetic; bfloat16-autocast: float32 weights, products in bfloat16; bfloat16: the "
        "weights too are kept in it (LoRA's A and B stay float32; in full fine-tuning small updates are rounded away)",
        choices=PRECISIONS,
    )
    gradient_checkpointing: bool = option(
        False, "keep only what enters each layer, compute the rest again: less memory"
    )
    trainer: dict[str, Any] | None = option(
        None, "anything else that TrainingArguments takes, e.g. lr_scheduler_type or optim", pairs=True
    )

    def __post_init__(self) -> None:
        check_kinds(self, Settings)
        if self.steps is not None and self.epochs is not None:
            raise InputError("give steps or epochs, not both")
        for name, least, most in _WHOLE:
            check_between(name, getattr(self, name), least, most)
        for name in ("epochs", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name} is {shown(value)}; it must be above 0")
        check_between("epochs", self.epochs, 0, 1_000_000)
        for name in ("learning_rate", "weight_decay", "max_grad_norm"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= _LARGEST:
                raise InputError(f"{name} is {shown(value)}; it must be a number from 0 on")
        if not 0 <= self.mix < 1:
            raise InputError(f"mix is {shown(self.mix)}; it is a share of the examples, from 0 to below 1")
        if self.warmup is not None and not 0 <= self.warmup < 1:
            raise InputError(f"warmup is {shown(self.warmup)}; it is a share of the steps, from 0 to below 1")
        if self.dtype not in PRECISIONS:
            raise InputError(f"dtype is {shown(self.dtype)}; there are {', '.join(PRECISIONS)}")

    def completed(self, method: str, embedded: bool) -> "Settings":
        """With a method's usual rate where none was given (full fine-tuning's for a method of one's own), a model's
        usual warm-up, and 200 steps where neither steps nor epochs were."""
        usual = LEARNING_RATES if embedded else LEARNING_RATES_LARGE
        return replace(
            self,
            learning_rate=self.learning_rate or usual.get(method, usual["full"]),
            warmup=(WARMUP if embedded else WARMUP_LARGE) if self.warmup is None else self.warmup,
            steps=self.steps or (None if self.epochs else 200),
        )
