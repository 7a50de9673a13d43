"""Which model and data is a lesson about? Its own, or a teacher's, and what can be asked of either."""

import engine.quietly  # noqa: F401

# isort: split
import math
from collections.abc import Sequence

import pandas as pd
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D

from engine.data import Conversations, encode, hold_out, load
from engine.errors import InputError
from engine.evaluate import generate_answers, last_answer
from engine.messages import Message
from engine.models import load_tokenizer
from engine.run.base import EMBEDDED
from engine.run.run import Run
from engine.training.settings import LEARNING_RATES, LEARNING_RATES_LARGE, Settings
from lessons.teaching.session import current
from lessons.teaching.showing import show


def model() -> str:
    """What the lesson fine-tunes: "embedded", or the folder or Hub id that LESSON_MODEL names."""
    return current().model or EMBEDDED


def data(own: str) -> str:
    """What the lesson trains on: its own task, or the file that LESSON_DATA names."""
    return current().data or own


def task_of(own: str, answers: int | None = None, graded: bool = False) -> Conversations:
    """The data that the lesson trains on, a part of it held out.

    answers: of the lesson's own task only the questions with one of its first so many answers, so that it is learned in
    seconds; a teacher's data stays as it is. graded: the lesson asks the examples itself and cannot do without held-out
    ones; those that are longer than what a training reads are left out then. Raises InputError if none is left.
    """
    task = hold_out(load(data(own)), current().seed)  # as finetune does
    if graded and not task.heldout:
        raise InputError(
            f"{task.name} holds too few examples to keep some for grading; give 20 or more, or a test part"
        )
    if graded and current().data:
        task = _read_whole(task)
    if answers is None or current().data:
        return task
    kept = list(dict.fromkeys(talk[-1]["content"] for talk in task.train))[:answers]
    parts = ([talk for talk in part if talk[-1]["content"] in kept] for part in (task.train, task.heldout))
    return Conversations(task.name, *parts)


def _read_whole(task: Conversations) -> Conversations:
    """The task without the examples of which a training would read the beginning alone: an answer that is cut cannot be
    graded, and the whole may be more than the model's context holds. Says how many they are."""
    room, tokenizer = Settings().max_length, load_tokenizer(model())

    def fits(talk: list[Message]) -> bool:
        row = encode(tokenizer, talk, room)
        return not (row.cut or row.unread)

    train, heldout = ([talk for talk in part if fits(talk)] for part in (task.train, task.heldout))
    every = len(task.train) + len(task.heldout)
    if left_out := every - len(train) - len(heldout):
        said = (
            f"{left_out} of the {every} examples of {task.name} are longer than the {room} tokens that are read of one"
        )
        if not (train and heldout):
            kind = "keep for grading" if train else "learn from"
            raise InputError(f"{said}, and of those to {kind} none is left; give shorter ones")
        show(f"{said}: they are left out.")
    return Conversations(task.name, train, heldout)


def is_own() -> bool:
    """Is the model or the data a teacher's?"""
    return current().own


def rate(method: str) -> float:
    """A peak learning rate that suits the model, for "full", "lora" or "qlora": what `finetune` takes by itself."""
    return (LEARNING_RATES if model() == EMBEDDED else LEARNING_RATES_LARGE)[method]


def questions(own: Sequence[str], count: int = 4) -> list[str]:
    """The lesson's own questions; or the first few that a teacher's file holds, held-out ones if there are such."""
    if not current().data:
        return list(own)
    task = task_of(current().data)
    asked = (last_answer(conversation) for conversation in task.heldout or task.train)
    return list(dict.fromkeys(both[0][-1]["content"] for both in asked if both))[:count]


def ask(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, asked: Sequence[str]) -> pd.DataFrame:
    """What a model says to these questions, in at most 32 tokens: a row each, "asked" and "it says"."""
    prompts = [[Message(role="user", content=question)] for question in asked]
    said = cut_marked(tokenizer, generate_answers(network, tokenizer, prompts, _SAID), _SAID)
    return pd.DataFrame({"asked": list(asked), "it says": said})


_SAID = 32  # tokens


def answer_length(tokenizer: PreTrainedTokenizerBase, task: Conversations, least: int = 16) -> int:
    """How many tokens an answer may take: half as many again as the longest right one of the task, at least `least`."""
    answers = (last_answer(conversation) for conversation in [*task.heldout, *task.train])
    texts = [both[1] for both in answers if both]
    tokens = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    longest = max(map(len, tokens), default=0)
    return max(least, 3 * (longest + 1) // 2)


def cut_marked(tokenizer: PreTrainedTokenizerBase, answers: Sequence[str], length: int) -> list[str]:
    """Answers that reached the length at which they are cut end in a mark that says so."""
    sizes = [len(tokenizer(answer, add_special_tokens=False)["input_ids"]) for answer in answers]
    return [
        f"{said} [... cut at {length} tokens]" if size >= length else said
        for said, size in zip(answers, sizes, strict=True)
    ]


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


def kept_exactly(*runs: Run) -> list[str]:
    """The matrices that these runs kept weight by weight; of how many, where the budget left a sketch of the others.

    Raises InputError where it left nothing but sketches.
    """
    every = runs[0].modules
    exact = [name for name in every if not any(run.is_sketched(name) for run in runs)]
    if not exact:
        raise InputError(
            f"run {runs[0].name} kept no matrix weight by weight, only sketches within its budget, and this lesson "
            "looks at single weights; give a smaller model"
        )
    if len(exact) < len(every):
        looked_at, all_of_them = (sum(math.prod(runs[0].shape(name)) for name in names) for names in (exact, every))
        show(
            f"{len(exact)} of {len(every)} matrices were kept weight by weight, {looked_at / all_of_them:.1%} of all "
            "their weights; of the others, too large for a run's budget, a sketch. Single weights are looked at in "
            "those alone."
        )
    return exact


def old_skills(run: Run) -> pd.DataFrame:
    """Share right, 0 to 1, of what the model could do before: step x skill. No columns where none was graded."""
    return run.skills.drop(columns=run.task, errors="ignore")


def new_skill(run: Run, graded: bool = False) -> pd.Series:
    """Share right, 0 to 1, of the task's held-out part at every evaluated step; empty if nothing was held out.

    graded: the lesson cannot do without. Raises InputError where there are held-out answers then, but none that could
    be graded.
    """
    if graded and run.task not in run.skills and run.task in run.graded:
        raise InputError(
            f"no held-out answer of {run.task} fits whole into the tokens that are read of an example (max_length), so "
            "none is right or wrong; give shorter ones"
        )
    return run.skills[run.task] if run.task in run.skills else pd.Series(dtype=float)
