"""Where do the examples come from? A file, a `datasets.Dataset`, a Hub id or a list of records -> conversations.

What one record may look like is in `engine.data.forms`. JSON and JSON lines are read here, so that an error can name
the line, CSV by pandas; Parquet, data set folders and Hub ids by the `datasets` library.
"""

import hashlib
import json
import random
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import datasets
import pandas as pd
from datasets import Dataset, DatasetDict

from engine.data.forms import to_messages
from engine.errors import InputError, first_line
from engine.messages import Message
from engine.offline import offline
from engine.run.tensors import read_json
from engine.school.tasks import TASKS, task_file

Found = tuple[str, Mapping[str, Any]]  # (where the record stands, the record)

# What `datasets` may read with: tables and text. Others of its readers open pickles (pandas, webdataset), or media.
READERS = ("arrow", "csv", "json", "parquet", "text")
SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+(:[\w.-]+)?")


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


def digest(conversations: Conversations) -> str:
    """What was trained and graded on, in sixteen digits: other data gives others."""
    text = json.dumps([conversations.train, conversations.heldout], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


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
    if suffix in (".csv", ".tsv"):
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
        frame = pd.read_csv(path, dtype=str, na_filter=False, encoding="utf-8-sig", sep=_separator(path))
    except (ValueError, OSError) as error:  # UnicodeDecodeError, EmptyDataError and ParserError are ValueErrors
        raise InputError(f"{path} cannot be read: {first_line(error)}") from None
    if not isinstance(frame.index, pd.RangeIndex):  # pandas would make the first column row names
        raise InputError(f"{path} cannot be read: its rows have more fields than its first line names")
    return frame.to_dict("records")


def _separator(path: Path) -> str:
    """A comma, unless the first line, which names the fields, has none: then what it has (half of the world's Excel
    writes semicolons)."""
    with path.open(encoding="utf-8-sig") as file:
        names = file.readline(100_000)
    return "," if "," in names else next((mark for mark in ";\t|" if mark in names), ",")


def _read_folder(path: Path) -> Mapping[str, Iterable[Any]]:
    """A folder that `save_to_disk` wrote, or one of data files that `datasets` finds its way in."""
    if any((path / name).is_file() for name in ("dataset_dict.json", "state.json")):
        for state in path.rglob("state.json"):
            for file in read_json(state).get("_data_files") or []:
                _check_inside(path, state.parent / str(file["filename"] if isinstance(file, dict) else file))
        for part in _parts_named(path):
            _check_inside(path, path / part / "state.json")
        try:
            with offline():
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
        apart = offline() if local else nullcontext()
        with apart, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            options |= {"cache_dir": scratch} if local else {}
            reader = datasets.load_dataset_builder(builder, config, **options)
            _check_reader(reader, Path(source) if local else None)
            reader.download_and_prepare()
            return reader.as_dataset(in_memory=local)
    except InputError:
        raise
    except Exception as error:  # pyarrow, pandas and the Hub each raise their own
        cause = error.__cause__ or error
        what = f"{source} cannot be read" if local else f"data set {str(source)!r} could not be loaded from the Hub"
        raise InputError(f"{what}: {first_line(cause)}") from None
    finally:
        if shown:
            datasets.enable_progress_bars()


def _check_reader(reader: datasets.DatasetBuilder, folder: Path | None) -> None:
    """Raises InputError before `datasets` opens a pickle, or leaves the folder by what is written in it."""
    kind = type(reader).__module__.removeprefix("datasets.packaged_modules.").partition(".")[0]
    if kind not in READERS:
        raise InputError(
            f"data set {reader.dataset_name!r} would be read as {kind}, which can run code or holds no text; save it "
            "as JSON lines or Parquet"
        )
    if folder is not None:
        for files in (reader.config.data_files or {}).values():
            for file in files:
                _check_inside(folder if folder.is_dir() else folder.parent, Path(file))


def _parts_named(folder: Path) -> list[str]:
    """The parts that a saved `DatasetDict` says it has."""
    index = folder / "dataset_dict.json"
    return [str(part) for part in read_json(index).get("splits") or []] if index.is_file() else []


def _check_inside(folder: Path, file: Path) -> None:
    blobs = [folder.resolve().parents[1] / "blobs"] if folder.resolve().parent.name == "snapshots" else []  # the Hub's
    if not any(file.resolve().is_relative_to(place) for place in (folder.resolve(), *blobs)):
        raise InputError(f"{folder} names {file}, which lies outside it; copy it in, or give the file itself")
