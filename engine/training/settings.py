"""What is a fine-tuning told besides model, data and method? Its settings, checked, and as the Trainer wants them."""

from dataclasses import dataclass, replace
from typing import Any

from transformers import TrainingArguments

from engine.errors import InputError

# What works for a model of a million weights, and what the field uses for one of billions.
LEARNING_RATES = {"full": 5e-4, "lora": 2e-3, "qlora": 2e-3}
LEARNING_RATES_LARGE = {"full": 2e-5, "lora": 2e-4, "qlora": 2e-4}


@dataclass(frozen=True)
class Settings:
    """What a fine-tuning is told besides model, data and method.

    steps: optimizer steps; or epochs: passes over the training data (one of the two; default 200 steps).
    learning_rate: the peak; None takes the method's default. warmup: share of the steps that it rises; it then
    falls in a line to zero. batch_size: examples a forward pass; accumulation: passes a step.
    mix: share of the examples that comes from `mix_with`, against forgetting. mask_prompts: learn the answers alone;
    False learns to write the questions, too.
    """

    steps: int | None = None
    epochs: float | None = None
    learning_rate: float | None = None
    batch_size: int = 32
    accumulation: int = 1
    warmup: float = 0.05
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_length: int = 512
    mix: float = 0.0
    mask_prompts: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps is not None and self.epochs is not None:
            raise InputError("give steps or epochs, not both")
        for name, least in (("steps", 1), ("batch_size", 1), ("accumulation", 1), ("max_length", 2)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name} is {value}; it must be at least {least}")
        for name in ("epochs", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name} is {value}; it must be above 0")
        if not 0 <= self.mix < 1:
            raise InputError(f"mix is {self.mix}; it is a share of the examples, from 0 to below 1")
        if not 0 <= self.warmup < 1:
            raise InputError(f"warmup is {self.warmup}; it is a share of the steps, from 0 to below 1")

    @classmethod
    def of(cls, given: dict[str, Any]) -> "Settings":
        """The settings of these names. Raises InputError for a name that is none, or a value that cannot be."""
        unknown = given.keys() - cls.__dataclass_fields__.keys()
        if unknown:
            raise InputError(f"no setting called {min(unknown)!r}; there are {', '.join(cls.__dataclass_fields__)}")
        return cls(**given)

    def completed(self, method: str, embedded: bool) -> "Settings":
        """With a method's usual rate where none was given, and 200 steps where neither steps nor epochs were."""
        usual = (LEARNING_RATES if embedded else LEARNING_RATES_LARGE)[method]
        return replace(
            self,
            learning_rate=self.learning_rate or usual,
            steps=self.steps or (None if self.epochs else 200),
        )


def training_arguments(settings: Settings, folder: str, checkpoint: int | None) -> TrainingArguments:
    """The Trainer's own form of them. folder: its output; checkpoint: steps between two, None for none."""
    return TrainingArguments(
        output_dir=folder,
        max_steps=settings.steps or -1,
        num_train_epochs=settings.epochs or 1,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulation,
        learning_rate=settings.learning_rate or 0.0,
        warmup_steps=settings.warmup,
        lr_scheduler_type="linear",
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        logging_steps=1,
        logging_nan_inf_filter=False,  # it would write the mean of the losses before in the place of a NaN
        save_strategy="steps" if checkpoint else "no",
        save_steps=checkpoint or 500,
        report_to=[],
        seed=settings.seed,
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
