"""What is a trained model asked? A task's held-out questions, and what shows how much of the old is left.

What is chosen (a rate, a moment to stop) is chosen on other questions than it is judged on: every set is split in two,
by its place in an order that never changes. The old is asked for in four ways (`engine.evaluate.forgetting`).
"""

import json
import random
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal
from zlib import crc32

import torch
from transformers import PreTrainedModel

from engine.data import Encoded, encode, load
from engine.evaluate import encode_last_answer, generate_answers, score_answers
from engine.evaluate.forgetting import OldKnowledge, choice_probabilities, curriculum_knowledge, kl_to
from engine.evaluate.metrics import json_with, matching
from engine.evaluate.prompting import told
from engine.messages import Message
from engine.models import load_model, load_tokenizer
from engine.school.curriculum.questions import TABLES
from lessons.claims.compact import pack_bits, pack_nats, pack_shares

Side = Literal["judge", "choose"]
JUDGED, CHOSEN = 160, 60  # held-out questions of the task, to judge and to choose by
PER_SKILL = 24  # old questions of each skill, to judge by; half as many to choose by
FAR = 24  # old answers on which the divergence from the base is measured
SHOWN = "shown: "  # before the name of a relation
AT_HAND = 24  # pairs of a relation to learn from; the others are held out
WRITTEN = 60  # answers that are generated to see whether they have the task's form
FORMS = {
    "json": json_with("about", "answer"),
    "pirate": matching(r"Arr, .+ it be, matey!"),
    "notes": matching(r"- .+ ahoy"),
}


@cache
def base() -> PreTrainedModel:
    """The embedded model, as it was; not to be trained."""
    return load_model().eval()


@cache
def material(task: str) -> tuple[list[list[Message]], list[list[Message]]]:
    """(training, held-out) conversations of a task, or of a relation of the curriculum that is never named ("shown:
    plural"): a bare word, and what goes with it. The base was taught to pick such a relation up from a prompt."""
    if not task.startswith(SHOWN):
        data = load(task)
        return data.train, data.heldout
    pairs = list(TABLES[task.removeprefix(SHOWN)].items())
    random.Random(task).shuffle(pairs)
    turns = [[{"role": "user", "content": left}, {"role": "assistant", "content": right}] for left, right in pairs]
    return turns[:AT_HAND], turns[AT_HAND:]


def new_questions(task: str, side: Side) -> list[list[Message]]:
    """Held-out conversations of the task: those to judge by, or others (at most a third) to choose by."""
    heldout = material(task)[1]
    chosen = min(CHOSEN, len(heldout) // 3)
    return heldout[chosen : chosen + JUDGED] if side == "judge" else heldout[:chosen]


@cache
def old_knowledge(side: Side) -> OldKnowledge:
    """What may be forgotten, as questions to judge by or others to choose by: about two thirds and one third of a draw.

    A question that is asked for its answer and among alternatives is on one side both times.
    """
    drawn = curriculum_knowledge(PER_SKILL + PER_SKILL // 2, seed=0)

    def mine(prompt: list[Message]) -> bool:
        to_choose = crc32(prompt[-1]["content"].encode()) % 3 == 2
        return to_choose == (side == "choose")

    return OldKnowledge(
        [messages for messages in drawn.answers if mine(messages[:-1])],
        [choice for choice in drawn.choices if mine(choice.prompt)],
        [text for text in drawn.texts if mine(text[:-1])],
    )


def asked_both_ways(side: Side) -> list[int]:
    """Where, among the old answers, the questions stand that are asked among alternatives too, in those's order."""
    old = old_knowledge(side)
    places = {json.dumps(messages[:-1]): at for at, messages in enumerate(old.answers)}
    return [places[json.dumps(choice.prompt)] for choice in old.choices]


class Grades:
    """A task's questions and the old ones, ready to be asked at any moment of a training."""

    def __init__(self, task: str, side: Side) -> None:
        self.tokenizer, self.side = load_tokenizer(), side
        self.pad = self.tokenizer.pad_token_id
        self.old = old_knowledge(side)
        self.new = [encode(self.tokenizer, messages) for messages in new_questions(task, side)]
        self.answers = [encode_last_answer(self.tokenizer, messages) for messages in self.old.answers]
        self.texts = [encode_last_answer(self.tokenizer, messages) for messages in self.old.texts]

    def __call__(self, model: PreTrainedModel, old: bool = True) -> dict[str, Any]:
        """new: right or wrong, each question of the task; new_loss: each one's loss, in nats a token.

        And of the old: exact, right or wrong each; choice, the right answer's probability among four, each; text, the
        loss of each story, in nats a token; kl, the divergence from the base, in nats a token. To choose by: exact.
        """
        right, losses = graded(model, self.new, self.pad)
        found: dict[str, Any] = {"new": pack_bits(right), "new_loss": pack_nats(losses)}
        if old:
            found["exact"] = pack_bits(graded(model, self.answers, self.pad)[0])
        if old and self.side == "judge":
            found |= {
                "choice": pack_shares(choice_probabilities(model, self.tokenizer, self.old.choices)),
                "text": pack_nats(graded(model, self.texts, self.pad)[1]),
                "kl": kl_to(base(), model, self.answers[:: max(1, len(self.answers) // FAR)], self.pad),
            }
        return found


@cache
def grades_of_base(task: str, side: Side, old: bool) -> tuple[Grades, dict[str, Any]]:
    """The questions, and what the base scores on them: every training of this task starts there."""
    grades = Grades(task, side)
    return grades, grades(base(), old)


def graded(model: PreTrainedModel, rows: Sequence[Encoded], pad: int) -> tuple[list[bool], list[float]]:
    """Of each answer: whether it is exactly right, and its loss in nats a token."""
    losses, exact, tokens = score_answers(model, list(rows), pad)
    return exact, [loss / count for loss, count in zip(losses, tokens, strict=True)]


def in_form(
    model: PreTrainedModel, task: str, side: Side, before: Sequence[Message] = (), order: str = ""
) -> list[bool]:
    """Which of the answers that it writes have the task's form? before, order: what stands before each question, as
    turns of the conversation and in its words."""
    asked = [told(order, messages) if order else messages for messages in new_questions(task, side)[:WRITTEN]]
    prompts = [[*before, *messages[:-1]] for messages in asked]
    with torch.inference_mode():
        said = generate_answers(model, load_tokenizer(), prompts, max_new_tokens=32)
    fits = FORMS[task].each
    assert fits is not None, "a form is judged answer by answer"
    return [bool(fits(one, "")) for one in said]
