"""What does the model learn from? Records -> conversations -> tokens, with only the answers marked as labels.

A record is `instruction` + `input` + `output` (Alpaca, Taori et al. 2023), `messages` (role and content), or
`prompt` + `completion`. It goes through the model's own chat template, and the labels are the assistant's
tokens, found by transformers' `{% generation %}` mark or, where a template has none, by comparing the
conversation with and without each answer.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from engine.curriculum import Message
from engine.errors import InputError
from engine.tasks import TASKS, task_file

IGNORE = -100  # PyTorch's cross entropy leaves labels of this value out

# For a tokenizer that brings no template of its own, e.g. GPT-2's (the wording is Alpaca's).
PLAIN_TEMPLATE = (
    "{%- for message in messages %}"
    "{%- if message['role'] == 'assistant' %}"
    "{{- '### Response:\n' }}{% generation %}{{- message['content'] + eos_token }}{% endgeneration %}{{- '\n' }}"
    "{%- else %}{{- '### ' + message['role'].capitalize() + ':\n' + message['content'] + '\n' }}{%- endif %}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '### Response:\n' }}{%- endif %}"
)


@dataclass(frozen=True)
class Encoded:
    """One conversation in tokens. ids and labels are equally long; a label is IGNORE where nothing is learned."""

    ids: list[int]
    labels: list[int]


def to_messages(record: Mapping[str, Any], where: str) -> list[Message]:
    """One record, of any known form, as chat messages. Raises InputError naming `where` and the missing field."""
    if "messages" in record:
        messages = record["messages"]
        if not isinstance(messages, list) or not all(isinstance(m, Mapping) for m in messages):
            raise InputError(f"{where}: 'messages' is not a list of objects with a role and a content")
        for at, message in enumerate(messages, 1):
            for field in ("role", "content"):
                if not isinstance(message.get(field), str):
                    raise InputError(f"{where}: message {at} has no text in its field {field!r}")
        return [{"role": m["role"], "content": m["content"]} for m in messages]
    if "prompt" in record or "completion" in record:
        asked, answered = _text(record, "prompt", where), _text(record, "completion", where)
    else:
        asked, answered = _text(record, "instruction", where), _text(record, "output", where)
        if record.get("input"):
            asked = f"{asked} {_text(record, 'input', where)}"
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]


def _text(record: Mapping[str, Any], field: str, where: str) -> str:
    value = record.get(field)
    if value is None:
        has = ", ".join(record) or "none"
        raise InputError(f"{where}: no field {field!r} (it has: {has}); give instruction and output, or messages")
    if not isinstance(value, str):
        raise InputError(f"{where}: field {field!r} holds {type(value).__name__}, not text")
    return value


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, record) of a JSON-lines file. Raises InputError naming the first broken line."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {number}, column {error.colno}: not JSON ({error.msg})") from None
        if not isinstance(record, dict):
            raise InputError(f"{path}, line {number}: a {type(record).__name__}, not an object with fields")
        yield number, record


@dataclass(frozen=True)
class Conversations:
    """A named data set as conversations: what to train on and what to grade on (empty if nothing is held out)."""

    name: str
    train: list[list[Message]]
    heldout: list[list[Message]]


def load(source: "str | Path | Dataset | list[dict[str, Any]]") -> Conversations:
    """A built-in task's name, a JSONL file, a `datasets.Dataset` or a list of records, as conversations.

    Raises InputError for an unknown name, a broken line or a missing field.
    """
    if isinstance(source, str) and source in TASKS:
        parts = {part: _from_file(task_file(source, part)) for part in ("train", "heldout")}
        return Conversations(source, parts["train"], parts["heldout"])
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.exists():
            raise InputError(
                f"no task and no file called {str(source)!r}; tasks are {', '.join(TASKS)}; a file is JSONL"
            )
        return Conversations(path.stem, _from_file(path), [])
    records = list(source)
    if not records:
        raise InputError("the data set is empty: give at least one record")
    name = getattr(getattr(source, "info", None), "dataset_name", None) or "dataset"
    return Conversations(name, [to_messages(r, f"record {at}") for at, r in enumerate(records)], [])


def _from_file(path: Path) -> list[list[Message]]:
    found = [to_messages(record, f"{path}, line {number}") for number, record in read_jsonl(path)]
    if not found:
        raise InputError(f"{path} holds no records: give at least one line")
    return found


def encode(tokenizer: PreTrainedTokenizerBase, messages: list[Message], max_length: int | None = None) -> Encoded:
    """A conversation through the chat template; labels only where the assistant speaks."""
    if tokenizer.chat_template is None:
        tokenizer.chat_template = PLAIN_TEMPLATE
    if "{% generation %}" in tokenizer.chat_template or "{%- generation" in tokenizer.chat_template:
        out = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
        ids, mask = out["input_ids"], out["assistant_masks"]
    else:
        ids, mask = _mask_by_prefix(tokenizer, messages)
    ids, mask = ids[:max_length], mask[:max_length]
    return Encoded(ids, [token if marked else IGNORE for token, marked in zip(ids, mask, strict=True)])


def _mask_by_prefix(tokenizer: PreTrainedTokenizerBase, messages: list[Message]) -> tuple[list[int], list[int]]:
    """The assistant's tokens as what each answer adds to the prompt before it."""

    def tokens(part: list[Message], prompt: bool) -> list[int]:
        return tokenizer.apply_chat_template(part, add_generation_prompt=prompt, return_dict=True)["input_ids"]

    ids = tokens(messages, prompt=False)
    mask = [0] * len(ids)
    for at, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before, after = tokens(messages[:at], prompt=True), tokens(messages[: at + 1], prompt=False)
        if ids[: len(before)] != before or ids[: len(after)] != after:
            raise InputError(
                "this model's chat template rewrites earlier turns, so its answers cannot be marked; "
                "add {% generation %} marks to the template, or train on single-turn records"
            )
        mask[len(before) : len(after)] = [1] * (len(after) - len(before))
    return ids, mask


def encode_all(
    tokenizer: PreTrainedTokenizerBase, conversations: Iterable[list[Message]], max_length: int | None = None
) -> list[Encoded]:
    """Every conversation that has something to learn. Raises InputError if none has."""
    encoded = [encode(tokenizer, messages, max_length) for messages in conversations]
    kept = [row for row in encoded if any(label != IGNORE for label in row.labels[1:])]
    if not kept:
        raise InputError(
            "no example has an answer left to learn from after masking the prompts; check the assistant's texts"
        )
    return kept


def collate(rows: list[Encoded], pad_id: int) -> dict[str, torch.Tensor]:
    """A right-padded batch: input_ids, attention_mask and labels, each (rows, longest row)."""
    longest = max(len(row.ids) for row in rows)

    def padded(values: list[list[int]], fill: int) -> torch.Tensor:
        return torch.tensor([value + [fill] * (longest - len(value)) for value in values])

    return {
        "input_ids": padded([row.ids for row in rows], pad_id),
        "attention_mask": padded([[1] * len(row.ids) for row in rows], 0),
        "labels": padded([row.labels for row in rows], IGNORE),
    }
