"""What can any language model still do, without a benchmark? A hundred short probes, and the base's own answers.

    text          loss on general text, nats a token: this project's own prose, and Python's documentation
    facts         the right one among four continuations, by their likelihood: no format of answers can hide it
    few_shot      a pattern shown four times and continued, right to the letter
    instructions  wishes that a rule can check, answered in the model's own words, 24 tokens of them at most
    agreement     of the places in the base's own answers, those at which the model would still say the same
    kl            divergence from the base at these places, nats a token

Before training the base answers; what it says, and how likely the words were that it might have said instead, is kept
(`BaseAnswers`): so no second model is needed afterwards. The probes share nothing with the built-in tasks. A file of
one's own has lines of the same forms:

    {"text": "..."}
    {"choose": "The largest planet is", "options": ["Jupiter", "Mars", "Venus", "Mercury"]}     the first is right
    {"continue": "sun -> sun sun\\nleaf ->", "answer": "leaf leaf"}
    {"ask": "Answer with one word: ...", "pattern": "\\\\W*\\\\w+\\\\W*"}      for the whole answer; or none
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engine import patterns
from engine.data import IGNORE, Encoded, collate, read_jsonl
from engine.errors import InputError, first_line, shown, understood
from engine.evaluate import (
    PROBE,
    alike,
    context_of,
    encode_last_answer,
    evaluating,
    generate_answers,
    labelled_logits,
    score_answers,
)
from engine.files import whole
from engine.messages import Message
from engine.reading import check_name, opened

T = TypeVar("T")
GENERAL = "general"
EACH = 20  # of each kind, by default
ANSWER = 24  # tokens of the base's own answers
LIKELIEST = 64  # tokens whose probability is kept at each place; all others count as one
_LONGEST = 160  # tokens of a text that are read
# Passages of Python's own documentation, which every Python brings along: where each begins.
_PASSAGES = (
    "naming",
    "exceptions",
    "comparisons",
    "with",
    "import",
    "assignment",
    "objects",
    "class",
    "strings",
    "try",
)
_PASSAGE = 420  # characters


@dataclass(frozen=True)
class Probes:
    """choices: prompt and options, the first right. continued: prompt and answer. asked: question and pattern."""

    name: str
    texts: tuple[str, ...] = ()
    choices: tuple[tuple[str, tuple[str, ...]], ...] = ()
    continued: tuple[tuple[str, str], ...] = ()
    asked: tuple[tuple[str, str | None], ...] = ()

    def first(self, most: int | None) -> "Probes":
        """The first few of each kind."""
        kinds = ("texts", "choices", "continued", "asked")
        return replace(self, **{kind: getattr(self, kind)[:most] for kind in kinds})

    @property
    def count(self) -> int:
        return len(self.texts) + len(self.choices) + len(self.continued) + len(self.asked)


@dataclass(frozen=True)
class Measured:
    """One kind of probe, item by item. weights: tokens of each item, for a mean over tokens; ones else."""

    values: list[float]
    weights: list[int]

    @property
    def mean(self) -> float:
        return math.fsum(v * w for v, w in zip(self.values, self.weights, strict=True)) / sum(self.weights)

    def to_json(self) -> dict[str, Any]:
        return {"values": [float(f"{value:.6g}") for value in self.values], "weights": self.weights}


@dataclass(frozen=True)
class Probed:
    """What a model scored. measures: by the names above. exact: shares right, 0 to 1. loss: nats a token. answers: what
    it said to the instructions, as `engine.evaluate.Evaluation` has them."""

    measures: dict[str, Measured]
    exact: dict[str, float]
    loss: dict[str, float]
    graded: dict[str, int]
    answers: list[dict[str, str | bool]] = field(default_factory=list)


def general() -> Probes:
    """Ours: 20 texts, 60 facts, 40 patterns, 24 instructions."""
    own = resources.files("engine.evaluate").joinpath("general.jsonl").read_text(encoding="utf-8")
    found = _of_lines(GENERAL, enumerate(map(json.loads, own.splitlines()), 1), "general.jsonl")
    mixed = [text for pair in zip(found.texts, _documentation(), strict=True) for text in pair]
    return replace(found, texts=tuple(mixed))


def _documentation() -> list[str]:
    from pydoc_data.topics import topics

    whole = (" ".join(topics[name].split("\n", 2)[2].replace("*", "").split()) for name in _PASSAGES)
    return [text[:_PASSAGE].rsplit(" ", 1)[0] for text in whole]


def probes_of(source: str | Path) -> Probes:
    """`general()`, or those of a user's file. Raises InputError that names the line that is none."""
    if str(source) == GENERAL:
        return general()
    path = check_name(source)
    if not path.is_file():
        raise InputError(f"there is no file of probes {source}; give one, or {GENERAL!r}")
    return _of_lines(path.stem, read_jsonl(path), path.name)


def _of_lines(name: str, lines: Iterable[tuple[int, Mapping[str, Any]]], where: str) -> Probes:
    texts: list[str] = []
    choices: list[tuple[str, tuple[str, ...]]] = []
    continued: list[tuple[str, str]] = []
    asked: list[tuple[str, str | None]] = []
    for number, line in lines:
        match line:
            case {"text": str(text)} if text.strip():
                texts.append(text)
            case {"choose": str(prompt), "options": [*options]} if _all_text(prompt, *options):
                if len(set(options)) < max(2, len(options)):
                    raise InputError(f"{where}, line {number}: give at least two options, no two alike")
                choices.append((prompt, tuple(options)))
            case {"continue": str(prompt), "answer": str(answer)} if _all_text(prompt, answer):
                continued.append((prompt, answer))
            case {"ask": str(prompt), **rest} if prompt.strip() and rest.keys() <= {"pattern"}:
                asked.append((prompt, _pattern(rest.get("pattern"), f"{where}, line {number}")))
            case _:
                raise InputError(
                    f"{where}, line {number}: no probe; give text, choose and options (the right one first), continue "
                    "and answer, or ask and perhaps pattern"
                )
    found = Probes(name, tuple(texts), tuple(choices), tuple(continued), tuple(asked))
    if not found.count:
        raise InputError(f"{where} holds no probes")
    return found


def _all_text(*values: Any) -> bool:
    return all(isinstance(value, str) and value.strip() for value in values)


def _pattern(value: Any, where: str) -> str | None:
    if value is not None:
        if not isinstance(value, str):
            raise InputError(f"{where}: its pattern is {shown(value)}; give a regular expression, as text")
        patterns.check_form(value, where)
    return value


@dataclass(frozen=True)
class BaseAnswers:
    """What the base said to the questions, and what it might have said instead.

    rows: question and answer, labels on the answer. tokens (places, LIKELIEST): the likeliest at each place of all
    rows, likeliest first. logs: their log-probabilities.
    """

    rows: list[Encoded]
    tokens: torch.Tensor
    logs: torch.Tensor

    @classmethod
    def of(
        cls,
        base: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[list[Message]],
        said: list[str],
    ) -> "BaseAnswers | None":
        """None if there is no place to compare at."""
        room = context_of(base) or 0
        rows = [
            _ending(encode_last_answer(tokenizer, [*prompt, {"role": "assistant", "content": answer or " "}]), room)
            for prompt, answer in zip(prompts, said, strict=True)
        ]
        rows = [row for row in rows if row.trained]
        if not rows:
            return None
        likeliest = by_row(base, rows, tokenizer, lambda _, logs: logs.topk(min(LIKELIEST, logs.shape[-1]), dim=-1))
        tokens, logs = (torch.cat([one[part].cpu() for one in likeliest]) for part in (1, 0))
        return cls(rows, tokens, logs)

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
        """To be kept in a file; `BaseAnswers.read` takes them back."""
        return {
            f"{name}.lengths": torch.tensor([len(row.ids) for row in self.rows]),
            f"{name}.ids": torch.tensor([token for row in self.rows for token in row.ids]),
            f"{name}.labels": torch.tensor([label for row in self.rows for label in row.labels]),
            f"{name}.tokens": self.tokens,
            f"{name}.logs": self.logs,
        }

    @classmethod
    def read(cls, name: str, tensors: Mapping[str, torch.Tensor]) -> "BaseAnswers":
        lengths = tensors[f"{name}.lengths"].tolist()
        ids, labels = (torch.split(tensors[f"{name}.{what}"], lengths) for what in ("ids", "labels"))
        rows = [Encoded(one.tolist(), other.tolist()) for one, other in zip(ids, labels, strict=True)]
        return cls(rows, tensors[f"{name}.tokens"], tensors[f"{name}.logs"])

    def compare(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> tuple[list[float], list[float], list[int]]:
        """A row each: mean KL(base || model), share of places where the likeliest token is the same, places.

        The tokens that were not kept count as one, so the divergence is a lower bound; of the base itself it is 0.
        """
        ends = list(accumulate(row.trained for row in self.rows))

        def beside(at: int, logs: torch.Tensor) -> tuple[float, float, int]:
            part = slice(ends[at] - self.rows[at].trained, ends[at])
            tokens, base = self.tokens[part].to(logs.device), self.logs[part].to(logs.device)
            ours = logs.gather(1, tokens)
            rest, ours_rest = (torch.log1p(-one.exp().sum(1).clamp(max=1 - 1e-7)) for one in (base, ours))
            each = (base.exp() * (base - ours)).sum(1) + rest.exp() * (rest - ours_rest)
            same = ours[:, 0] >= logs.amax(1)  # in few bits, several can be likeliest
            return max(0.0, each.mean().item()), same.float().mean().item(), len(logs)

        kl, same, places = zip(*by_row(model, self.rows, tokenizer, beside), strict=True)
        return list(kl), list(same), list(places)


def by_row(
    model: PreTrainedModel,
    rows: Sequence[Encoded],
    tokenizer: PreTrainedTokenizerBase,
    read: Callable[[int, torch.Tensor], T],
) -> list[T]:
    """What `read` makes of each row's number and its log-probabilities, float32: (labelled places, vocabulary)."""
    found: dict[int, T] = {}
    with evaluating(model):
        for chosen in alike(list(rows), on_processor=model.device.type == "cpu"):
            batch = collate([rows[at] for at in chosen], tokenizer.pad_token_id or 0)
            logits, _, owner = labelled_logits(model, batch)
            for place, at in enumerate(chosen):
                found[at] = read(at, F.log_softmax(logits[owner == place], -1))
    return [found[at] for at in range(len(rows))]


class _Chosen:
    """One prompt with several endings, each as it is in tokens.

    Where they part, the prompt alone tells how likely each is; only what an ending has beyond is asked for by a row.
    """

    def __init__(self, endings: list[Encoded]) -> None:
        ids = [row.ids for row in endings]
        shared = next(at for at in range(max(map(len, ids)) + 1) if len({tuple(one[at : at + 1]) for one in ids}) > 1)
        self.first = [one[shared] if shared < len(one) else None for one in ids]
        # The place after the prompt is asked for: what stands there does not matter.
        self.prompt = Encoded([*ids[0][:shared], 0], [IGNORE] * shared + [0])
        # One of which another is but the beginning costs nothing more: it can never be the less likely.
        self.nested = any(one != other and other[: len(one)] == one for one in ids for other in ids)
        self.longer = [
            Encoded(one, [IGNORE] * (shared + 1) + one[shared + 1 :]) if len(one) > shared + 1 else None for one in ids
        ]

    def firsts(self, logs: torch.Tensor) -> list[float]:
        """How much the first token of each ending costs, in nats. logs: log-probabilities where they part."""
        return [0.0 if token is None else -logs[token].item() for token in self.first]

    def costs(self, firsts: list[float], rest: Iterator[float]) -> list[float]:
        """Each ending's loss in nats, from where they part. rest: the losses of `longer`, as they come."""
        return [first + (next(rest) if longer else 0.0) for first, longer in zip(firsts, self.longer, strict=True)]


def _ending(row: Encoded, room: int) -> Encoded:
    """The last tokens, as many as there is room for; 0: all."""
    return Encoded(row.ids[-room:], row.labels[-room:])


class Prober:
    """Asks the probes. The first model that it is called with is the base; `answers` holds what that one said.

    most: of each kind. on_task: questions of the task that is learned, whose divergence is "task_kl". in_words: ask the
    instructions every time, which takes longest. More room than the model has is not used: texts are cut at their end,
    all else at its beginning.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        probes: Probes | None = None,
        most: int | None = EACH,
        *,
        on_task: Sequence[list[Message]] = (),
        in_words: bool = True,
    ) -> None:
        self.tokenizer, self.probes, self.in_words = tokenizer, (probes or general()).first(most), in_words
        self.prompts: list[list[Message]] = [[{"role": "user", "content": asked}] for asked, _ in self.probes.asked]
        self.on_task = [list(prompt) for prompt in on_task][: most or None]
        self.answers: dict[str, BaseAnswers] = {}
        self.base_is_known = True  # or can be: what is asked first is the base
        self._texts = [row for text in self.probes.texts if (row := self._text(text)).trained]
        self._choices = [_Chosen([self._after(p, option) for option in options]) for p, options in self.probes.choices]
        self._continued = [self._after(prompt, answer) for prompt, answer in self.probes.continued]
        self._check_choices()

    def _check_choices(self) -> None:
        """Raises InputError for a user's options of which one begins as another is, with this tokenizer.

        Ours, where that depends on how digits are cut, stay as they were when claims were tried on them.
        """
        for (prompt, options), chosen in zip(self.probes.choices, self._choices, strict=True):
            if chosen.nested and self.probes.name != GENERAL:
                raise InputError(
                    f"probe {prompt!r}: one of its options ({', '.join(map(repr, options))}) is the beginning of "
                    "another, so it would always be the likelier; end each with a full stop, or give others"
                )

    def _text(self, text: str) -> Encoded:
        ids = self.tokenizer(text, verbose=False)["input_ids"][:_LONGEST]
        return Encoded(ids, ids)

    def _after(self, prompt: str, answer: str) -> Encoded:
        """Plain text, in no chat form; labels on what follows the prompt."""
        before = self.tokenizer(prompt, verbose=False)["input_ids"]
        ids = self.tokenizer(f"{prompt} {answer}", verbose=False)["input_ids"]
        shared = next((at for at, (a, b) in enumerate(zip(before, ids, strict=False)) if a != b), len(before))
        return Encoded(ids, [IGNORE] * shared + ids[shared:])

    def __call__(self, model: PreTrainedModel) -> Probed:
        model = getattr(model, "_orig_mod", model)  # a compiled model would be compiled anew for every length
        first, said = not self.answers, []
        if self.prompts and (self.in_words or first):
            said = generate_answers(model, self.tokenizer, self.prompts, ANSWER)
        if first and self.base_is_known:
            self._remember(model, said)
        measures, exact, loss = self._likelihoods(model)
        for name, known in (("", "general"), ("task_", "task")):
            if known in self.answers:
                kl, same, places = self.answers[known].compare(model, self.tokenizer)
                measures[f"{name}kl"] = Measured(kl, places)
                if not name:
                    measures["agreement"] = Measured(same, places)
        answers, checked = self._checked(said)
        if checked and self.in_words:
            measures["instructions"] = Measured(checked, [1] * len(checked))
            exact["instructions"] = measures["instructions"].mean
        graded = {name: len(measures[name].values) for name in exact | loss if name in measures}
        return Probed(measures, exact, loss, graded, answers)

    def _remember(self, model: PreTrainedModel, said: list[str]) -> None:
        told = generate_answers(model, self.tokenizer, self.on_task, ANSWER) if self.on_task else []
        for name, prompts, answers in (("general", self.prompts, said), ("task", self.on_task, told)):
            if (known := BaseAnswers.of(model, self.tokenizer, prompts, answers)) is not None:
                self.answers[name] = known

    def _likelihoods(self, model: PreTrainedModel) -> tuple[dict[str, Measured], dict[str, float], dict[str, float]]:
        room = context_of(model) or 0
        pad = self.tokenizer.pad_token_id or 0
        rows = [Encoded(row.ids[: room or None], row.labels[: room or None]) for row in self._texts]
        rows += [_ending(row, room) for one in self._choices for row in one.longer if row]
        rows += [_ending(row, room) for row in self._continued]
        losses, right, counts = score_answers(model, rows, pad)
        measures, exact, loss = {}, {}, {}
        if texts := len(self._texts):
            nats = [total / count for total, count in zip(losses[:texts], counts[:texts], strict=True)]
            measures["text"] = Measured(nats, counts[:texts])
            loss["text"] = measures["text"].mean
        if self._choices:
            prompts = [_ending(one.prompt, room) for one in self._choices]
            rest = iter(losses[texts:])
            firsts = by_row(model, prompts, self.tokenizer, lambda at, logs: self._choices[at].firsts(logs[0]))
            costs = [one.costs(first, rest) for one, first in zip(self._choices, firsts, strict=True)]
            chances = [1 / math.fsum(math.exp(min(each[0] - cost, 700.0)) for cost in each) for each in costs]
            measures["facts"] = Measured(chances, [1] * len(chances))
            exact["facts"] = sum(each[0] <= min(each) for each in costs) / len(costs)
            loss["facts"] = math.fsum(-math.log(max(chance, 1e-300)) for chance in chances) / len(chances)
        if many := len(self._continued):
            measures["few_shot"] = Measured([float(ok) for ok in right[-many:]], [1] * many)
            exact["few_shot"] = measures["few_shot"].mean
            loss["few_shot"] = math.fsum(losses[-many:]) / max(1, sum(counts[-many:]))
        return measures, exact, loss

    def _checked(self, said: list[str]) -> tuple[list[dict[str, str | bool]], list[float]]:
        """The answers to instructions that a pattern checks, as rows to read, and whether each was followed."""
        rows: list[dict[str, str | bool]] = []
        for (asked, pattern), answer in zip(self.probes.asked, said, strict=False):
            if pattern is not None:
                kept = patterns.fits(pattern, answer.strip(), f"the probe {shown(asked)}")
                rows.append(
                    {
                        "skill": f"{PROBE}instructions",
                        "prompt": asked,
                        "expected": "",
                        "answer": answer,
                        "correct": kept,
                    }
                )
        return rows, [float(row["correct"]) for row in rows]

    def keep(self, file: Path) -> None:
        """Write what the base said, so that a training that goes on another day compares with the same."""
        if not file.exists():
            tensors = {k: v for name, one in self.answers.items() for k, v in one.tensors(name).items()}
            with whole(file) as part:
                save_file(tensors, part)

    def recall(self, file: Path) -> None:
        """The base is the one that was asked when the file was written; without it nothing is compared with the base.

        Raises InputError if it cannot be read.
        """
        self.base_is_known = file.exists()
        if not self.base_is_known:
            return
        with opened(file, within=file.parent), understood(file):
            try:
                tensors = load_file(file)
            except SafetensorError as error:
                raise ValueError(first_line(error)) from error
            names = dict.fromkeys(key.partition(".")[0] for key in tensors)
            self.answers = {name: BaseAnswers.read(name, tensors) for name in names}

    def seconds(self, model: PreTrainedModel, few: int = 2) -> float:
        """About how long one call takes, from a few of each kind; the base is not remembered by it."""
        part = Prober(self.tokenizer, self.probes, few, on_task=self.on_task[:few], in_words=self.in_words)
        part(model)
        began = time.perf_counter()
        part(model)
        asked = part.probes.count + len(part.on_task)
        return (time.perf_counter() - began) * (self.probes.count + len(self.on_task)) / max(1, asked)
