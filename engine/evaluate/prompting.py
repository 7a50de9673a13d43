"""What does a prompt alone get out of a model? Told in words, or shown examples: how often right, and at what length.

Showing is few-shot prompting (Brown et al. 2020, "Language Models are Few-Shot Learners"): worked examples stand before
the question as turns of the same conversation, and nothing is trained.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engine.data import IGNORE, Conversations
from engine.errors import InputError
from engine.evaluate import encode_last_answer, score_answers
from engine.messages import Message
from engine.school.curriculum import for_tasks
from engine.school.curriculum.questions import draw_fact, fact_of

BRACKETS = "brackets"


@dataclass(frozen=True)
class Prompted:
    """exact: share of answers exactly right, 0 to 1. tokens: what the model reads for a question, on average."""

    exact: float
    tokens: float


def brackets(train: int = 256, heldout: int = 60, seed: int = 0) -> Conversations:
    """Questions whose answers the embedded model knows, answered in square brackets: a task of form alone.

    They are of the half that tasks ask about (see `for_tasks`).
    """
    rng, facts = random.Random(seed), dict[str, str]()
    while len(facts) < train + heldout:
        skill, question, word, answer = draw_fact(rng)
        if for_tasks(fact_of(skill, word)):
            facts[question] = answer
    conversations: list[list[Message]] = [
        [{"role": "user", "content": question}, {"role": "assistant", "content": f"[{answer}]"}]
        for question, answer in facts.items()
    ]
    return Conversations(BRACKETS, conversations[heldout:], conversations[:heldout])


def told(order: str, conversation: list[Message]) -> list[Message]:
    """The conversation with an instruction before its first question."""
    first, *rest = conversation
    return [{**first, "content": f"{order} {first['content']}"}, *rest]


def shown(task: Conversations, examples: int, seed: int = 0) -> list[list[Message]]:
    """Every held-out conversation with so many of the training part before it, drawn for each anew.

    Raises InputError if the task has no more examples than that.
    """
    if examples > len(task.train):
        raise InputError(f"{task.name} has {len(task.train)} examples to show; {examples} are more")
    rng = random.Random(seed)
    return [[turn for one in rng.sample(task.train, examples) for turn in one] + list(asked) for asked in task.heldout]


def measure_prompts(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, conversations: Sequence[list[Message]]
) -> Prompted:
    """How often is the last answer of each conversation exactly right, after all that stands before it?"""
    rows = [encode_last_answer(tokenizer, conversation) for conversation in conversations]
    right = score_answers(model, rows, tokenizer.pad_token_id or 0)[1]
    read = sum(label == IGNORE for row in rows for label in row.labels)
    return Prompted(sum(right) / len(right), read / len(rows))
