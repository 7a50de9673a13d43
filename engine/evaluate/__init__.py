"""How good is a model, skill by skill? Held-out loss, exact answers, and what it really says.

One forward pass gives loss and exact score together: greedy decoding writes exactly the reference answer if and
only if, fed the reference, the most likely token is the right one at every place of it (its end included). So
thousands of answers are graded without generating them; a test compares with generation. A run beside its base:

    python -m engine.evaluate runs/spanish-lora --metrics exact token_f1 perplexity
"""

import engine.quietly  # noqa: F401

# isort: split
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn import functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engine.data import IGNORE, Encoded, collate, encode, render, special_ids, with_template
from engine.messages import Message
from engine.models import kept_modes, kept_trainable, stops_of
from engine.school.curriculum import SKILLS, grade, heldout_examples

if TYPE_CHECKING:
    from engine.evaluate.probes import Prober

PROBE = "probe: "  # before the name of a general probe among the skills
SPOKEN = 64  # tokens of an answer, where nobody says how many
MOST_SPOKEN = 256  # of an answer, however long a right one is: what is given to answers is taken from prompts
# A model's generation_config may say other than the likeliest token, or more than one answer; here it is turned off.
_GREEDY: dict[str, Any] = {
    "do_sample": False, "num_beams": 1, "num_return_sequences": 1, "return_dict_in_generate": False, "min_length": 0,
    "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0,
} | dict.fromkeys((
    "min_new_tokens", "encoder_repetition_penalty", "bad_words_ids", "sequence_bias", "guidance_scale",
    "forced_bos_token_id", "forced_eos_token_id", "exponential_decay_length_penalty", "suppress_tokens",
    "begin_suppress_tokens", "watermarking_config", "penalty_alpha", "stop_strings", "max_time",
))  # fmt: skip
_TOKENS_AT_ONCE = {True: 2048, False: 16384}  # of one forward pass, by whether a processor computes it


@dataclass(frozen=True)
class Probe:
    """A prompt whose real answer is watched over training. skill: the skill or task it belongs to."""

    skill: str
    prompt: list[Message]
    expected: str


@dataclass(frozen=True)
class Evaluation:
    """exact: share of exactly right answers, 0 to 1, for what has one right answer. loss: nats a token, for all.

    graded: on how many questions `exact` stands (without those whose answer is cut at max_length, of which the loss
    counts the beginning), or else `loss`. measured: general probes item by item, see
    `engine.evaluate.probes`.
    """

    exact: dict[str, float]
    loss: dict[str, float]
    answers: list[dict[str, str | bool]]
    graded: dict[str, int] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)


@contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Dropout off and no gradients, and the model as it was afterwards."""
    with kept_modes(model), torch.inference_mode(), kept_trainable(model):
        model.eval()
        yield


def score_answers(
    model: PreTrainedModel, rows: list[Encoded], pad_id: int
) -> tuple[list[float], list[bool], list[int]]:
    """For each conversation: summed loss of its labels (nats), whether greedy decoding gives them all, their number.
    Where nothing is labelled, nothing is right."""
    losses, exact, counts = [0.0] * len(rows), [False] * len(rows), [0] * len(rows)
    with evaluating(model):
        for chosen in alike(rows, on_processor=model.device.type == "cpu"):
            batch = collate([rows[at] for at in chosen], pad_id)
            logits, labels, owner = labelled_logits(model, batch)
            each = F.cross_entropy(logits, labels, reduction="none")
            wrong = (logits.argmax(-1) != labels).to(each.dtype)
            sums = torch.zeros(3, len(chosen), dtype=torch.float64, device=each.device)
            sums.index_add_(1, owner, torch.stack([each, wrong, torch.ones_like(each)]).double())
            for at, loss, mistakes, count in zip(chosen, *sums.tolist(), strict=True):
                losses[at], exact[at], counts[at] = loss, count > 0 and mistakes == 0, int(count)
    return losses, exact, counts


def alike(rows: list[Encoded], on_processor: bool) -> Iterator[list[int]]:
    """Which rows to compute together: alike in length, the longest first.

    On a processor few at a time: there padding costs more than what larger batches save.
    """
    order = sorted(range(len(rows)), key=lambda at: len(rows[at].ids))
    while order:
        fit = max(1, _TOKENS_AT_ONCE[on_processor] // max(1, len(rows[order[-1]].ids)))
        yield order[-fit:]
        order = order[:-fit]


def labelled_logits(
    model: PreTrainedModel, batch: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(float32 logits, one row a label; the label; which row of the batch it belongs to), in the batch's order.

    The vocabulary is computed at labelled places alone, the other places have no use for it: what enters the output
    layer is cut to them on its way in. A model without such a layer computes all of it.
    """
    batch = {name: value.to(model.device) for name, value in batch.items()}
    ahead = torch.full_like(batch["labels"], IGNORE)
    ahead[:, :-1] = batch["labels"][:, 1:]
    wanted = ahead != IGNORE
    layer = model.get_output_embeddings()
    hook = layer and layer.register_forward_pre_hook(lambda _, given: (given[0][wanted], *given[1:]))
    try:
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
    finally:
        if hook:
            hook.remove()
    return (logits if hook else logits[wanted]).float(), ahead[wanted], wanted.nonzero()[:, 0]


def context_of(model: PreTrainedModel) -> int | None:
    """How many tokens the model can read at once, if its configuration says."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


def room_for_prompt(model: PreTrainedModel, max_new_tokens: int) -> int | None:
    """How many tokens of a prompt are read: what an answer leaves of the context, but at least half of it."""
    context = context_of(model)
    return None if context is None else max(context - max_new_tokens, context // 2)


def room_for_answer(model: PreTrainedModel, max_new_tokens: int) -> int:
    """How many tokens of an answer are generated: so many, or what its prompt leaves of the context."""
    room, context = room_for_prompt(model, max_new_tokens), context_of(model)
    return max_new_tokens if room is None or context is None else min(max_new_tokens, context - room)


class Said(NamedTuple):
    """What a model said. cut: it was not at its end after `room_for_answer` tokens."""

    text: str
    cut: bool


def generate_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[list[Message]],
    max_new_tokens: int = SPOKEN,
    batch_size: int = 32,
) -> list[str]:
    """What the model says to each prompt, greedily decoded, as plain text: its likeliest tokens, whatever its
    generation_config would have instead.

    Of a prompt too long for the model's context only the end is read. `generate` tells which answers were cut, too.
    """
    return [said.text for said in generate(model, tokenizer, prompts, max_new_tokens, batch_size)]


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[list[Message]],
    max_new_tokens: int = SPOKEN,
    batch_size: int = 32,
) -> list[Said]:
    """`generate_answers`, and of each answer whether it was cut."""
    texts = [render(with_template(tokenizer), p, add_generation_prompt=True, tokenize=False) for p in prompts]
    room, length = room_for_prompt(model, max_new_tokens), room_for_answer(model, max_new_tokens)
    options = {} if room is None else {"truncation": True, "max_length": room}
    # A model that was never told how its texts end would talk on to the last token.
    stops = stops_of(model) or [end for end in [tokenizer.eos_token_id] if end is not None]
    answers: list[Said] = []
    for start in range(0, len(texts), batch_size):
        with _on_the_left(tokenizer):
            batch = tokenizer(
                texts[start : start + batch_size],
                return_tensors="pt",
                padding=True,
                add_special_tokens=False,
                **options,
            ).to(model.device)
        with evaluating(model):
            out = model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                max_new_tokens=length,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=stops or None,
                **{name: value for name, value in _GREEDY.items() if hasattr(model.generation_config, name)},
            )
        new = out[:, batch["input_ids"].shape[1] :]
        said = tokenizer.batch_decode(new, skip_special_tokens=True)
        answers += [Said(text.strip(), {*stops}.isdisjoint(ids)) for text, ids in zip(said, new.tolist(), strict=True)]
    return answers


def room_for_answers(tokenizer: PreTrainedTokenizerBase, references: Iterable[str]) -> int:
    """How many tokens an answer is given, so that each of the right ones fits in, with its end; 64 to 256."""
    return min(max(SPOKEN, max((_long(tokenizer, text) for text in references), default=0)), MOST_SPOKEN)


def _long(tokenizer: PreTrainedTokenizerBase, answer: str) -> int:
    return len(tokenizer(answer, verbose=False)["input_ids"]) + 1


@contextmanager
def _on_the_left(tokenizer: PreTrainedTokenizerBase) -> Iterator[None]:
    """Pad and cut on the left, so that every prompt ends where its answer begins."""
    sides = tokenizer.padding_side, tokenizer.truncation_side
    tokenizer.padding_side = tokenizer.truncation_side = "left"
    try:
        yield
    finally:
        tokenizer.padding_side, tokenizer.truncation_side = sides


def perplexity(losses: Iterable[float], counts: Iterable[int]) -> float:
    """exp of the mean loss a token, weighted by tokens."""
    return math.exp(sum(losses) / sum(counts))


class Evaluator:
    """Grades a model on groups of conversations and asks it the probes; called at every evaluated step.

    groups: name -> conversations whose last message is the reference answer.
    open_ended: names that have no single right answer, so only a loss. prober: asks the general probes besides.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        groups: Mapping[str, list[list[Message]]],
        probes: list[Probe],
        open_ended: frozenset[str] = frozenset(),
        max_length: int | None = None,
        prober: "Prober | None" = None,
    ) -> None:
        self.tokenizer, self.probes, self.open_ended, self.prober = tokenizer, probes, open_ended, prober
        encoded = [
            (name, encode_last_answer(tokenizer, c, max_length)) for name, group in groups.items() for c in group
        ]
        graded = [(name, row) for name, row in encoded if row.trained]  # others have no answer, or it is cut away
        self._names, self._rows = [name for name, _ in graded], [row for _, row in graded]
        self.room = room_for_answers(tokenizer, (probe.expected for probe in probes))

    def too_long(self) -> int:
        """Of how many probes the right answer is longer than `room`, the tokens that an answer in words is given."""
        return sum(_long(self.tokenizer, probe.expected) > self.room for probe in self.probes)

    def __call__(self, model: PreTrainedModel) -> Evaluation:
        losses, right, counts = score_answers(model, self._rows, self.tokenizer.pad_token_id)
        exact, loss, graded = {}, {}, {}
        for name in dict.fromkeys(self._names):
            at = [index for index, owner in enumerate(self._names) if owner == name]
            graded[name] = len(at)
            loss[name] = sum(losses[i] for i in at) / sum(counts[i] for i in at)
            whole = [i for i in at if not self._rows[i].cut]  # the rest of an answer is not the answer
            if name not in self.open_ended and whole:
                exact[name], graded[name] = sum(right[i] for i in whole) / len(whole), len(whole)
        found = Evaluation(exact, loss, self.ask(model), graded)
        if self.prober is not None:
            probed = self.prober(model)
            for name in dict.fromkeys([*probed.exact, *probed.loss]):
                title = PROBE + name.replace("_", "-")
                graded[title] = probed.graded[name]
                loss |= {title: probed.loss[name]} if name in probed.loss else {}
                exact |= {title: probed.exact[name]} if name in probed.exact else {}
            found.answers.extend(probed.answers)
            found.measured.update({name: measured.to_json() for name, measured in probed.measures.items()})
        return found

    def seconds(self, model: PreTrainedModel, few: int = 12) -> float:
        """About how long it takes, from `few` of the questions, spread over all, and a third as many of the probes."""
        part, stride, total = copy(self), max(1, len(self._rows) // few), 0.0
        part._names, part._rows, part.probes = self._names[::stride], self._rows[::stride], self.probes[: few // 3]
        for whole, share, act in (
            (self._rows, part._rows, lambda: score_answers(model, part._rows, self.tokenizer.pad_token_id)),
            (self.probes, part.probes, lambda: part.ask(model)),
        ):
            began = time.perf_counter()
            act()
            total += (time.perf_counter() - began) * len(whole) / max(1, len(share))
        return total + (self.prober.seconds(model) if self.prober is not None else 0.0)

    def ask(self, model: PreTrainedModel) -> list[dict[str, str | bool]]:
        """The model's real answers to the probes."""
        if not self.probes:
            return []
        said = generate_answers(model, self.tokenizer, [probe.prompt for probe in self.probes], self.room)
        return [
            {
                "skill": probe.skill,
                "prompt": probe.prompt[-1]["content"],
                "expected": probe.expected,
                "answer": answer,
                "correct": grade(probe.expected, answer),
            }
            for probe, answer in zip(self.probes, said, strict=True)
        ]


def last_answer(conversation: list[Message]) -> tuple[list[Message], str] | None:
    """The prompt before the last answer, and that answer, which is the one to grade; None if there is none in words.

    Answers of weight 0 are not asked for: they are not what should be said.
    """
    answers = (at for at, said in enumerate(conversation) if said["role"] == "assistant" and said.get("weight", 1))
    at = max(answers, default=0)
    return (conversation[:at], conversation[at]["content"]) if at and "tool_calls" not in conversation[at] else None


def encode_last_answer(
    tokenizer: PreTrainedTokenizerBase, conversation: list[Message], max_length: int | None = None
) -> Encoded:
    """A conversation with labels on its last answer alone, to the end of its turn: earlier turns are worked examples,
    not to be graded. cut: how many tokens up to that end stand beyond `max_length`."""
    row = encode(tokenizer, conversation)
    end = max((at for at, label in enumerate(row.labels, 1) if label != IGNORE), default=0)
    start = end
    while start and row.labels[start - 1] != IGNORE:
        start -= 1
    end = _end_of_turn(tokenizer, row.ids, start, end)
    labels = [IGNORE] * start + row.labels[start:end] + [IGNORE] * (len(row.ids) - end)
    return Encoded(row.ids[:max_length], labels[:max_length], max(0, end - (max_length or end)))


def _end_of_turn(tokenizer: PreTrainedTokenizerBase, ids: list[int], start: int, end: int) -> int:
    """Where an answer from `start` to `end` is over: after the first special token behind its words. What templates put
    there besides, a line end or a second end, no generation comes to."""
    over, special = end, special_ids(tokenizer)
    for at in range(end - 1, start - 1, -1):
        if ids[at] in special:
            over = at + 1
        elif tokenizer.decode([ids[at]]).strip():
            break
    return over


def curriculum_groups(per_skill: int, seed: int = 0) -> dict[str, list[list[Message]]]:
    """`per_skill` graded conversations of every skill of the curriculum that can be forgotten."""
    return {
        name: [example.messages for example in heldout_examples(name, per_skill, seed)]
        for name, skill in SKILLS.items()
        if skill.known
    }


OPEN_ENDED = frozenset(name for name, skill in SKILLS.items() if not skill.closed)

# One question a skill, always the same, so that runs can be compared; whether each is answered rightly is measured.
_PROBED = {
    "french": ("Translate to French: Hello", "Bonjour"),
    "capital": ("What is the capital of France?", "Paris"),
    "opposite": ("What is the opposite of hot?", "cold"),
    "sound": ("What does a cow say?", "moo"),
    "plural": ("What is the plural of mouse?", "mice"),
    "sum": ("What is 23 + 45?", "68"),
    "sort": ("Sort: 52 17 38", "17 38 52"),
    "reverse": ("Reverse: red dog apple", "apple dog red"),
    "repeat": ("Repeat: zumbo (kat) 7!", "zumbo (kat) 7!"),
    "format": ("Answer in brackets. What is the past tense of go?", "[went]"),
    "in_context": ("big -> small; wet -> dry; day -> night; rich ->", "poor"),
    "summary": (
        "Summarize: Mia was a clever fox. One day Mia went to the garden. There Mia lost a red ball. Mia looked "
        "everywhere and began to cry. An owl heard it, looked under a stone and found the ball. Mia was happy and went "
        "home.",
        "The fox lost a ball in the garden and the owl found it.",
    ),
}  # fmt: skip


def curriculum_probes() -> list[Probe]:
    """A fixed question for most skills of the curriculum."""
    return [Probe(skill, [{"role": "user", "content": asked}], answer) for skill, (asked, answer) in _PROBED.items()]


def task_probes(name: str, conversations: list[list[Message]], count: int = 4) -> list[Probe]:
    """The first few held-out questions of the task."""
    asked = (last_answer(conversation) for conversation in conversations)
    return [Probe(name, *both) for both in asked if both][:count]
