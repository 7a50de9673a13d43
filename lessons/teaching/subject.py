"""Which model and data is a lesson about? Its own, or a teacher's, and what can be asked of either."""

import engine.quietly  # noqa: F401

# isort: split
from collections.abc import Sequence

import pandas as pd
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D

from engine.data import hold_out, load
from engine.evaluate import generate_answers, last_answer
from engine.messages import Message
from engine.run.base import EMBEDDED
from engine.run.run import Run
from engine.training.settings import LEARNING_RATES, LEARNING_RATES_LARGE
from lessons.teaching.session import current


def model() -> str:
    """What the lesson fine-tunes: "embedded", or the folder or Hub id that LESSON_MODEL names."""
    return current().model or EMBEDDED


def data(own: str) -> str:
    """What the lesson trains on: its own task, or the file that LESSON_DATA names."""
    return current().data or own


def is_own() -> bool:
    """Is the model or the data a teacher's?"""
    return model() != EMBEDDED or bool(current().data)


def rate(method: str) -> float:
    """A peak learning rate that suits the model, for "full", "lora" or "qlora": what `finetune` takes by itself."""
    return (LEARNING_RATES if model() == EMBEDDED else LEARNING_RATES_LARGE)[method]


def questions(own: Sequence[str], count: int = 4) -> list[str]:
    """The lesson's own questions; or the first few that a teacher's file holds, held-out ones if there are such."""
    if not current().data:
        return list(own)
    task = hold_out(load(current().data), seed=0)
    asked = (last_answer(conversation) for conversation in task.heldout or task.train)
    return list(dict.fromkeys(both[0][-1]["content"] for both in asked if both))[:count]


def ask(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, asked: Sequence[str]) -> pd.DataFrame:
    """What a model says to these questions, in at most 32 tokens: a row each, "asked" and "it says"."""
    prompts = [[Message(role="user", content=question)] for question in asked]
    return pd.DataFrame({"asked": list(asked), "it says": generate_answers(network, tokenizer, prompts, 32)})


def matrices(network: PreTrainedModel | PeftModel) -> list[str]:
    """The names of a model's linear layers but its output head, in its own order; wrapped by PEFT or not."""
    base = network.get_base_model() if isinstance(network, PeftModel) else network
    head = base.get_output_embeddings()
    return [
        name
        for name, layer in base.named_modules()
        if isinstance(getattr(layer, "base_layer", layer), nn.Linear | Conv1D)
        and layer is not head
        and ".base_layer" not in name
        and ".lora_" not in name
    ]


def old_skills(run: Run) -> pd.DataFrame:
    """Share right, 0 to 1, of what the model could do before: step x skill. No columns where none was graded."""
    return run.skills.drop(columns=run.task, errors="ignore")


def new_skill(run: Run) -> pd.Series:
    """Share right, 0 to 1, of the task's held-out part at every evaluated step; empty if nothing was held out."""
    return run.skills[run.task] if run.task in run.skills else pd.Series(dtype=float)
