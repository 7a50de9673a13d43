"""Is it as sure as it is right? The expected calibration error of a model's answers.

A model's confidence in an answer is the probability that it gives to the whole of what it says (greedily): the product
over its tokens, the end included. Answers are put into bins by their confidence; a calibrated model is right, in each
bin, as often as it is sure (Guo et al. 2017, "On Calibration of Modern Neural Networks").
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engine.evaluate import encode_last_answer, generate_answers, last_answer, room_for_answers, score_answers
from engine.messages import Message


@dataclass(frozen=True)
class Bin:
    """Answers of about one confidence: how many, how sure on average, how often right."""

    count: int
    confidence: float
    right: float


@dataclass(frozen=True)
class Calibration:
    """error: the mean over all answers of |sure - right|, bin by bin, 0 to 1. bins: those that hold an answer."""

    error: float
    bins: tuple[Bin, ...]


def answer_confidences(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, conversations: Sequence[list[Message]]
) -> tuple[list[float], list[bool]]:
    """For each conversation's last answer: how sure the model is of what it says itself, and whether that is right.

    It may say as much as the longest right answer is; what is cut there counts as if it ended there.
    """
    pad = tokenizer.pad_token_id or 0
    losses, right, _ = score_answers(model, [encode_last_answer(tokenizer, c) for c in conversations], pad)
    asked = [last_answer(conversation) for conversation in conversations]
    wrong = [at for at, ok in enumerate(right) if not ok]
    prompts = [both[0] for at in wrong if (both := asked[at])]
    room = room_for_answers(tokenizer, (both[1] for both in asked if both))
    said = generate_answers(model, tokenizer, prompts, room) if prompts else []
    own = [[*prompt, {"role": "assistant", "content": text}] for prompt, text in zip(prompts, said, strict=True)]
    if own:  # what it says instead of the right answer, which is what it is sure of
        spoken = score_answers(model, [encode_last_answer(tokenizer, c) for c in own], pad)[0]
        for at, loss in zip(wrong, spoken, strict=True):
            losses[at] = loss
    return [math.exp(-loss) for loss in losses], right


def calibration(confidences: Sequence[float], right: Sequence[bool], bins: int = 10) -> Calibration:
    """The expected calibration error over `bins` bins of equal width, and the bins. Raises ValueError for none."""
    if not confidences or len(confidences) != len(right):
        raise ValueError(f"{len(confidences)} confidences and {len(right)} grades; give as many, and at least one")
    members: dict[int, list[int]] = {}
    for at, sure in enumerate(confidences):
        members.setdefault(min(int(sure * bins), bins - 1), []).append(at)
    found = tuple(
        Bin(
            len(chosen),
            math.fsum(confidences[at] for at in chosen) / len(chosen),
            sum(right[at] for at in chosen) / len(chosen),
        )
        for _, chosen in sorted(members.items())
    )
    error = math.fsum(one.count * abs(one.confidence - one.right) for one in found) / len(confidences)
    return Calibration(error, found)
