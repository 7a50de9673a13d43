"""Where do the examples come from? A file, a `datasets.Dataset`, a Hub id or a list of records -> conversations.

A record has one of the forms that courses and practitioners use:

    alpaca             instruction, input (may be empty), output            Taori et al. 2023
    messages           [{"role": "user", "content": ...}, ...]              OpenAI, transformers
    conversations      [{"from": "human", "value": ...}, ...]               ShareGPT
    prompt-completion  prompt and completion, as text or as messages        OpenAI, TRL

JSON and JSON lines are read here, so that an error can name the line, CSV by pandas; Parquet, data set folders and
Hub ids by the `datasets` library.
"""

import json
import random
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import datasets
import pandas as pd
from datasets import Dataset, DatasetDict

from engine.errors import InputError, first_line
from engine.messages import Message
from engine.school.tasks import TASKS, task_file

Found = tuple[str, Mapping[str, Any]]  # (where the record stands, the record)

FORMS = "instruction and output, messages, conversations, or prompt and completion"
SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
ROLES = {"system", "developer", "user", "assistant", "tool"}
_SHAREGPT = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant"}
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+(:[\w.-]+)?")


class Conversation(list[Message]):
    """Chat messages that know where they stood ("data.jsonl, line 3") and in which form, for errors and reports."""

    def __init__(self, messages: Iterable[Message] = (), where: str = "", form: str = "messages") -> None:
        super().__init__(messages)
        self.where, self.form = where, form


@dataclass(frozen=True)
class Conversations:
    """A named data set as conversations: what to train on and what to grade on (empty if nothing is held out)."""

    name: str
    train: list[list[Message]]
    heldout: list[list[Message]]


Source: TypeAlias = str | Path | Dataset | DatasetDict | list[dict[str, Any]] | Conversations


def load(source: Source) -> Conversations:
    """A built-in task's name, a file, a data set's folder or Hub id, a `datasets` object or records, as conversations.

    A Hub id may name a configuration: "owner/name:config". Its test or validation part becomes the held-out part.
    Conversations are taken as they are. Raises InputError for an unknown name, a broken line, an unknown form, a
    missing field or role.
    """
    if isinstance(source, Conversations):
        return source
    if isinstance(source, str) and source in TASKS:
        parts = {part: _conversations(_from_file(task_file(source, part))) for part in ("train", "heldout")}
        return Conversations(source, parts["train"], parts["heldout"])
    if isinstance(source, str | Path):
        return _load_path(source)
    if isinstance(source, DatasetDict):
        return _load_parts(_name(next(iter(source.values()), None)), source)
    if not isinstance(source, Dataset | list | tuple):
        raise InputError(
            f"data is a {type(source).__name__}; give a task's name, a file, a Hub id, a datasets.Dataset or a list"
        )
    return Conversations(_name(source), _conversations(_numbered(source), "the data set is empty"), [])


def hold_out(conversations: Conversations, seed: int) -> Conversations:
    """A tenth of a user's own data is held out, so that there is something honest to grade on."""
    if conversations.heldout or len(conversations.train) < 20:
        return conversations
    shuffled = random.Random(seed).sample(conversations.train, len(conversations.train))
    tenth = len(shuffled) // 10
    return Conversations(conversations.name, shuffled[tenth:], shuffled[:tenth])


# --- one record --------------------------------------------------------------------------------------


def to_messages(record: Mapping[str, Any], where: str) -> Conversation:
    """One record, of any known form, as chat messages. Raises InputError naming `where` and what is missing."""
    record = {field: value for field, value in record.items() if value is not None}  # columns it does not use
    for form in ("messages", "conversations"):
        if form in record:
            messages = _turns(record[form], form, where)
            break
    else:
        if "prompt" in record or "completion" in record:
            form = "prompt-completion"
            messages = [*_side(record, "prompt", "user", where), *_side(record, "completion", "assistant", where)]
        else:
            form = "alpaca"
            asked, answered = _text(record, "instruction", where), _text(record, "output", where)
            if record.get("input"):  # "Translate to Spanish:" goes on in its line; after a sentence a new one begins
                between = " " if asked.endswith(":") else "\n"
                asked = f"{asked}{between}{_text(record, 'input', where)}"
            messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    if record.get("system") and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": _text(record, "system", where)}, *messages]
    return Conversation(messages, where, form)


def _side(record: Mapping[str, Any], field: str, role: str, where: str) -> list[Message]:
    """A prompt or a completion: text, or in TRL's conversational form a list of messages."""
    if isinstance(record.get(field), list):
        return _turns(record[field], field, where)
    return [{"role": role, "content": _text(record, field, where)}]


def _turns(turns: Any, field: str, where: str) -> list[Message]:
    """The messages of a conversation, in OpenAI's words (role, content) or ShareGPT's (from, value)."""
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        raise InputError(f"{where}: {field!r} is not a list of objects with a role and a content")
    if not turns:
        raise InputError(f"{where}: {field!r} holds no messages; delete the record or give it a question and an answer")
    messages = []
    for at, turn in enumerate(turns, 1):
        names = ("from", "value") if "from" in turn or "value" in turn else ("role", "content")
        role = turn.get(names[0])
        if not isinstance(role, str) or not role:
            raise InputError(f"{where}: message {at} has no role in its field {names[0]!r}; say who speaks")
        known = _SHAREGPT.get(role, role)
        if known not in ROLES:
            raise InputError(f"{where}: message {at} has the role {role!r}; known are {', '.join(sorted(ROLES))}")
        content = turn.get(names[1])
        if isinstance(content, list) and all(isinstance(p, Mapping) and p.get("type") == "text" for p in content):
            content = "".join(str(part.get("text") or "") for part in content)  # OpenAI's list of parts
        if not isinstance(content, str):
            raise InputError(f"{where}: message {at} has no text in its field {names[1]!r}")
        messages.append({"role": known, "content": content})
    return messages


def _text(record: Mapping[str, Any], field: str, where: str) -> str:
    value = record.get(field)
    if value is None:
        raise InputError(f"{where}: no field {field!r} (it has: {', '.join(map(str, record)) or 'none'}); give {FORMS}")
    if not isinstance(value, str):
        raise InputError(f"{where}: field {field!r} holds {type(value).__name__}, not text")
    return value


# --- many records ------------------------------------------------------------------------------------


def _conversations(found: Iterable[Found], empty: str = "the data set is empty") -> list[list[Message]]:
    conversations: list[list[Message]] = [to_messages(record, where) for where, record in found]
    if not conversations:
        raise InputError(f"{empty}: give at least one record")
    return conversations


def _numbered(records: Iterable[Any], prefix: str = "") -> Iterator[Found]:
    for at, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise InputError(f"{prefix}record {at}: a {type(record).__name__}, not an object with fields")
        yield f"{prefix}record {at}", record


def _name(data: Any) -> str:
    return getattr(getattr(data, "info", None), "dataset_name", None) or "dataset"


def _load_path(source: str | Path) -> Conversations:
    path = Path(source).expanduser()
    if path.is_dir():
        return _load_parts(path.name, _read_folder(path))
    if path.exists():
        return Conversations(path.stem, _conversations(_from_file(path), f"{path} holds no records"), [])
    if isinstance(source, str) and _HUB_ID.fullmatch(source) and path.suffix not in SUFFIXES:
        name, _, config = source.partition(":")
        return _load_parts(name.split("/")[1], _through_datasets(source, name, config or None))
    raise InputError(
        f"no task and no file called {str(source)!r}; tasks are {', '.join(TASKS)}; "
        f"a file is {', '.join(suffix[1:].upper() for suffix in SUFFIXES)}; a Hub id is owner/name"
    )


def _load_parts(name: str, parts: Mapping[str, Iterable[Any]]) -> Conversations:
    """A data set in parts: its train part, and as held-out part the first of the usual names."""
    if "train" not in parts:
        raise InputError(f"data set {name} has no part called 'train' (it has: {', '.join(parts) or 'none'})")
    heldout = next((part for part in ("test", "heldout", "validation", "valid", "dev", "eval") if part in parts), None)
    return Conversations(
        name,
        _conversations(_numbered(parts["train"], f"{name}, train, "), f"data set {name} is empty"),
        [to_messages(record, where) for where, record in _numbered(parts[heldout], f"{name}, {heldout}, ")]
        if heldout
        else [],
    )


def _from_file(path: Path) -> Iterator[Found]:
    """The records of one file, by what its name ends in; a file that ends in none of these is JSON lines."""
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return ((f"{path}, row {number}", row) for number, row in enumerate(_read_csv(path), 1))
    if suffix == ".parquet":
        rows = _through_datasets(path, "parquet", data_files=str(path))["train"]
        return ((f"{path}, row {number}", row) for number, row in enumerate(rows, 1))
    if suffix == ".json":
        return _read_json(path)
    return ((f"{path}, line {number}", record) for number, record in read_jsonl(path))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors put a byte-order mark in front
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, record) of a JSON-lines file. Raises InputError naming the first broken line."""
    # Not splitlines(): a JSON text may hold U+2028 and the like, which end no line of the file.
    for number, line in enumerate(_read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {number}, column {error.colno}: not JSON ({error.msg})") from None
        if not isinstance(record, dict):
            raise InputError(f"{path}, line {number}: a {type(record).__name__}, not an object with fields")
        yield number, record


def _read_json(path: Path) -> Iterator[Found]:
    """A list of records; an object that holds one under a name, e.g. "data"; or JSON lines under another ending."""
    try:
        whole = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return ((f"{path}, line {number}", record) for number, record in read_jsonl(path))
        raise InputError(f"{path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg})") from None
    if isinstance(whole, dict):
        lists = [value for value in whole.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
        whole = lists[0] if len(lists) == 1 and not {"messages", "conversations"} & whole.keys() else [whole]
    if not isinstance(whole, list):
        raise InputError(f"{path} holds a {type(whole).__name__}, not a list of records")
    return _numbered(whole, f"{path}, ")


def _read_csv(path: Path) -> list[dict[str, str]]:
    """Every cell as the text that it is: `datasets` would turn the answer "NA" into nothing and "007" into 7."""
    try:
        frame = pd.read_csv(path, dtype=str, na_filter=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:  # UnicodeDecodeError, EmptyDataError and ParserError are ValueErrors
        raise InputError(f"{path} cannot be read: {first_line(error)}") from None
    if not isinstance(frame.index, pd.RangeIndex):  # pandas would make the first column row names
        raise InputError(f"{path} cannot be read: its rows have more fields than its first line names")
    return frame.to_dict("records")


def _read_folder(path: Path) -> Mapping[str, Iterable[Any]]:
    """A folder that `save_to_disk` wrote, or one of data files that `datasets` finds its way in."""
    if any((path / name).is_file() for name in ("dataset_dict.json", "state.json")):
        try:
            data = datasets.load_from_disk(str(path))
        except Exception as error:
            raise InputError(f"{path} cannot be read as a saved data set: {first_line(error)}") from None
        return data if isinstance(data, DatasetDict) else {"train": data}
    return _through_datasets(path, str(path))


def _through_datasets(source: str | Path, builder: str, config: str | None = None, **options: Any) -> DatasetDict:
    """`datasets.load_dataset` without its bars; files of one's own leave nothing in its cache."""
    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    local = Path(source).exists()
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            if local:
                options |= {"cache_dir": scratch, "keep_in_memory": True}
            return datasets.load_dataset(builder, config, **options)
    except Exception as error:  # pyarrow, pandas and the Hub each raise their own
        cause = error.__cause__ or error
        what = f"{source} cannot be read" if local else f"data set {str(source)!r} could not be loaded from the Hub"
        raise InputError(f"{what}: {first_line(cause)}") from None
    finally:
        if shown:
            datasets.enable_progress_bars()
