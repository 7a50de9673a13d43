"""How does the base forget? Fine-tuned on a task, with all four measures of forgetting at chosen steps."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from engine.data import Source, encode_all, load
from engine.evaluate import encode_last_answer, score_answers
from engine.evaluate.forgetting import OldKnowledge, curriculum_knowledge, measure_forgetting
from engine.models import load_model, load_tokenizer
from engine.training.finetune import make_trainer
from engine.training.methods import Full, get_method
from engine.training.settings import Settings

STEPS = (0, 5, 10, 15, 20, 30, 40, 60, 80, 120, 160, 200)


@dataclass(frozen=True)
class Point:
    """After so many steps: new, the share of the task's held-out answers that are right; new_loss, nats a token; and
    of all that the base could do before, the four measures (see `engine.evaluate.forgetting`)."""

    step: int
    new: float
    new_loss: float
    exact: float
    choice: float
    text: float
    kl: float


REBOUND = 0.10  # more than this coming back untaught is a collapse and a rebound, not forgetting


def came_back(exact: Sequence[float]) -> float:
    """By how much old answers rose, at most, from any step looked at to a later one: what came back untaught."""
    return max(later - earlier for at, earlier in enumerate(exact) for later in exact[at:])


class _Watch(TrainerCallback):
    def __init__(self, steps: Sequence[int], measure: Any) -> None:
        self.steps, self.measure = frozenset(steps), measure

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if 0 in self.steps:
            self.measure(0)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step in self.steps:
            self.measure(state.global_step)


def forgetting_curve(
    source: str | Path,
    data: Source = "spanish",
    method: str | Full = "lora",
    *,
    steps: Sequence[int] = STEPS,
    old: OldKnowledge | None = None,
    **settings: Any,
) -> list[Point]:
    """Fine-tune the model in `source` (a folder) on `data` and measure at these steps; 0 is before the first.

    old: what may be forgotten; by default twenty questions of each of the curriculum's skills. settings: see
    `engine.training.settings.Settings`; their default is what the embedded model takes.
    """
    chosen_method, task = get_method(method), load(data)
    tokenizer, old = load_tokenizer(str(source)), old or curriculum_knowledge(20)
    chosen = Settings(steps=max(1, *steps), **settings).completed(chosen_method.name, embedded=True)
    torch.manual_seed(chosen.seed)  # LoRA's A is drawn at random
    model, base = chosen_method.prepare(str(source)), load_model(str(source))
    rows = encode_all(tokenizer, task.train, chosen.max_length, chosen.mask_prompts)
    asked = [encode_last_answer(tokenizer, conversation) for conversation in task.heldout]
    points: list[Point] = []

    def measure(step: int) -> None:
        losses, right, counts = score_answers(model, asked, tokenizer.pad_token_id)
        kept = measure_forgetting(model, base, tokenizer, old)
        points.append(Point(step, sum(right) / len(right), sum(losses) / sum(counts), **asdict(kept)))

    with tempfile.TemporaryDirectory() as scratch:
        make_trainer(model, rows, tokenizer.pad_token_id, chosen, scratch, [_Watch(steps, measure)]).train()
    return points
