"""Whom does one ask about a run? Its two sides: the base it began from, and what training made of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from engine.evaluate import Said, generate, room_for_answer
from engine.messages import Message
from engine.models import load_model, load_tokenizer, load_tuned
from engine.offline import offline
from engine.run.run import Run

SIDES = ("base", "tuned")


@contextmanager
def base_and_tuned(run: Run) -> Iterator[dict[str, Any]]:
    """Both models of a run, each as a context in which it may be used: an adapter's base is the same model, off."""
    tuned = load_tuned(run)
    if torch.cuda.is_available():
        tuned.to("cuda")
    if isinstance(tuned, PeftModel):
        yield {"base": (tuned, tuned.disable_adapter), "tuned": (tuned, _as_it_is)}
    else:
        with offline():
            base = load_model(run.base).to(tuned.device)
        yield {"base": (base, _as_it_is), "tuned": (tuned, _as_it_is)}


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


def tokenizer_of(run: Run) -> PreTrainedTokenizerBase:
    """The tokenizer that was saved with the run's result, with its chat template, or else its base's."""
    folders = [run.path / kind for kind in ("adapter", "model")]
    saved = [folder for folder in folders if (folder / "tokenizer_config.json").is_file()]
    with offline():
        return load_tokenizer(saved[0] if saved else run.base)


def answers_of(run: Run, side: str, prompts: list[list[Message]], max_new_tokens: int) -> tuple[list[Said], int]:
    """What one side of a run says to each prompt, and how many tokens it could say."""
    with base_and_tuned(run) as models:
        model, switched = models[side]
        with switched():
            said = generate(model, tokenizer_of(run), prompts, max_new_tokens)
        return said, room_for_answer(model, max_new_tokens)


def of_another_model(run: Run) -> list[str]:
    """What is to be said where the models that are asked are not quite those of the training."""
    if run.method != "qlora":
        return []
    return [f"{run.name} was trained beside a base in four bits; what is asked here has it in float32, on both sides"]
