"""What was forgotten: how answers are given, or what they say? Four measures of one model, beside each other.

    exact    share of answers right to the letter: the first to fall when the form of answers changes, and to return
    choice   probability of the right answer among alternatives of its kind, a form that no question told cannot hide it
    text     loss on text, nats a token: does it still write as it did?
    kl       divergence from the base's own distribution, nats a token: how far has it gone, right or wrong?

The four need not agree, and where they do not, the kind of forgetting shows (Kotha et al. 2024, "Understanding
Catastrophic Forgetting in Language Models via Implicit Inference").
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch.nn import functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engine.data import IGNORE, Encoded, collate, encode
from engine.errors import InputError
from engine.evaluate import OPEN_ENDED, alike, encode_last_answer, evaluating, labelled_logits, score_answers
from engine.messages import Message
from engine.school.curriculum import SKILLS, heldout_examples
from engine.school.curriculum.questions import TABLES


@dataclass(frozen=True)
class Choice:
    """A question with several answers to choose from; the first is the right one."""

    prompt: list[Message]
    options: tuple[str, ...]


@dataclass(frozen=True)
class OldKnowledge:
    """What a model is asked about everything that it could do. answers: conversations with the reference answer."""

    answers: list[list[Message]]
    choices: list[Choice]
    texts: list[list[Message]]


@dataclass(frozen=True)
class Forgetting:
    """exact and choice: 0 to 1, higher is better kept. text and kl: nats a token, lower is better kept."""

    exact: float
    choice: float
    text: float
    kl: float


def curriculum_choices(per_skill: int, seed: int = 0, options: int = 4) -> list[Choice]:
    """`per_skill` facts of each table that no task contains, each among other answers of the same table."""
    choices = []
    for skill, table in TABLES.items():
        rng = random.Random(f"choices/{skill}/{seed}")
        for example in heldout_examples(skill, per_skill, seed):
            others = sorted(set(table.values()) - {example.answer, example.answer.lower()})
            wrong = rng.sample(others, options - 1)
            if example.answer not in table.values():  # it is asked for with a capital letter, so all of them are
                wrong = [one[0].upper() + one[1:] for one in wrong]
            choices.append(Choice(example.prompt, (example.answer, *wrong)))
    return choices


def curriculum_knowledge(per_skill: int, seed: int = 0) -> OldKnowledge:
    """The curriculum as what may be forgotten: its closed skills, its facts among alternatives, and its stories."""
    drawn = {name: heldout_examples(name, per_skill, seed) for name in (*SKILLS,) if name not in OPEN_ENDED}
    stories = heldout_examples("story", per_skill, seed)
    return OldKnowledge(
        answers=[example.messages for examples in drawn.values() for example in examples],
        choices=curriculum_choices(per_skill, seed),
        texts=[story.messages for story in stories],
    )


def curriculum_facts(per_skill: int, seed: int = 0) -> OldKnowledge:
    """The curriculum's facts alone, each of them asked to the letter and among alternatives: of other questions the two
    would not tell the form of answers from what is known. And its stories."""
    known = curriculum_knowledge(per_skill, seed)
    answers = [[*choice.prompt, Message(role="assistant", content=choice.options[0])] for choice in known.choices]
    return replace(known, answers=answers)


def choice_probabilities(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, choices: Sequence[Choice]
) -> list[float]:
    """For each question the probability of the right answer, among its options alone (an even guess: 1 / options).

    How an answer ends is left out of it: only the option's own tokens count, so a full stop more is no mistake.
    """
    closing = _closing_tokens(tokenizer)
    rows = []
    for choice in choices:
        for option in choice.options:
            row = encode_last_answer(tokenizer, [*choice.prompt, {"role": "assistant", "content": option}])
            kept = len(row.labels) - closing
            rows.append(Encoded(row.ids, [*row.labels[:kept], *[IGNORE] * closing]))
    losses = iter(score_answers(model, rows, tokenizer.pad_token_id or 0)[0])
    chances = []
    for choice in choices:
        costs = [next(losses) for _ in choice.options]
        chances.append(1 / math.fsum(math.exp(min(costs[0] - cost, 700.0)) for cost in costs))
    return chances


def _closing_tokens(tokenizer: PreTrainedTokenizerBase) -> int:
    """How many tokens end an answer, whatever it says."""
    one, other = (
        encode(tokenizer, [{"role": "user", "content": "?"}, {"role": "assistant", "content": said}]).ids
        for said in ("yes", "no")
    )
    same = 0
    while same < min(len(one), len(other)) and one[-1 - same] == other[-1 - same]:
        same += 1
    return same


def text_loss(model: PreTrainedModel, rows: list[Encoded], pad_id: int) -> float:
    """Loss on the labels of all rows together, nats a token; for plain text give labels equal to the ids."""
    losses, _, counts = score_answers(model, rows, pad_id)
    return math.fsum(losses) / sum(counts)


def kl_to(base: PreTrainedModel, model: PreTrainedModel, rows: list[Encoded], pad_id: int) -> float:
    """KL(base || model), the mean over the labelled places of all rows: nats a token, 0 for the base itself.

    Raises InputError if the two do not share a vocabulary.
    """
    sizes = [one.config.get_text_config().vocab_size for one in (base, model)]
    if sizes[0] != sizes[1]:
        raise InputError(f"the two models have {sizes[0]} and {sizes[1]} tokens; a divergence needs one vocabulary")
    total, places = 0.0, 0
    with evaluating(base), evaluating(model):
        for chosen in alike(rows, on_processor=model.device.type == "cpu"):
            batch = collate([rows[at] for at in chosen], pad_id)
            first, second = (F.log_softmax(labelled_logits(one, batch)[0], -1) for one in (base, model))
            total += F.kl_div(second, first.to(second.device), reduction="sum", log_target=True).item()
            places += len(first)
    return max(0.0, total / places)  # rounding may take it a hair below


def measure_forgetting(
    model: PreTrainedModel, base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, old: OldKnowledge
) -> Forgetting:
    """All four measures of `model`, which was made from `base`. The divergence is taken on the old answers."""
    pad = tokenizer.pad_token_id or 0
    answers = [encode_last_answer(tokenizer, conversation) for conversation in old.answers]
    right = score_answers(model, answers, pad)[1]
    chances = choice_probabilities(model, tokenizer, old.choices)
    return Forgetting(
        exact=sum(right) / len(right),
        choice=math.fsum(chances) / len(chances),
        text=text_loss(model, [encode_last_answer(tokenizer, text) for text in old.texts], pad),
        kl=kl_to(base, model, answers, pad),
    )
