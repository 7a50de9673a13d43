"""Where do the examples come from? A file, a `datasets.Dataset`, a Hub id or a list of records -> conversations.

What one record may look like is in `engine.data.forms`, how the files of one's own are read in `engine.data.tables`;
saved data sets, compressed files and Hub ids are read by the `datasets` library.
"""

import hashlib
import json
import random
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import datasets
from datasets import Dataset, DatasetDict

from engine.data.forms import to_messages
from engine.data.tables import SUFFIXES, Found, numbered, read_file
from engine.errors import InputError, first_line
from engine.messages import Message
from engine.offline import hub_answers, offline
from engine.reading import check_name, read_json
from engine.room import while_there_is_room
from engine.school.curriculum import SKILLS
from engine.school.tasks import TASKS, task_file

# What `datasets` may read with: tables and text. Others of its readers open pickles (pandas, webdataset), or media.
READERS = ("arrow", "csv", "json", "parquet", "text")
YOURS = " (yours)"  # after the name of data that is called like something of ours
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
    Conversations are taken as they are; but what is called like a skill or task of ours is "sort (yours)", for by their
    names they are graded and shown. Raises InputError for an unknown name, a broken line, an unknown form, a missing
    field or role.
    """
    found = _loaded(source)
    ours = {*SKILLS} if found is source or source == found.name else {*SKILLS, *TASKS}
    return replace(found, name=found.name + YOURS) if found.name in ours else found


def _loaded(source: Source) -> Conversations:
    if isinstance(source, Conversations):
        return source
    if isinstance(source, str) and source in TASKS:
        parts = {part: _conversations(read_file(task_file(source, part))) for part in ("train", "heldout")}
        return Conversations(source, parts["train"], parts["heldout"])
    if isinstance(source, str | Path):
        return _load_path(source)
    if isinstance(source, DatasetDict):
        name = _name(next(iter(source.values()), None))
        return _load_parts(name, _numbered_parts(name, source))
    if not isinstance(source, Dataset | list | tuple):
        raise InputError(
            f"data is a {type(source).__name__}; give a task's name, a file, a Hub id, a datasets.Dataset or a list"
        )
    return Conversations(_name(source), _conversations(numbered(source), "the data set is empty"), [])


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
    conversations: list[list[Message]] = [to_messages(record, where) for where, record in _kept(found)]
    if not conversations:
        raise InputError(f"{empty}: give at least one record")
    return conversations


def _kept(found: Iterable[Found]) -> Iterator[Found]:
    return while_there_is_room(found, lambda _, one: one[0])


def _name(data: Any) -> str:
    return getattr(getattr(data, "info", None), "dataset_name", None) or "dataset"


def _load_path(source: str | Path) -> Conversations:
    path = check_name(source)
    if path.is_dir():
        return _load_parts(path.name, _read_folder(path))
    if path.exists():
        return Conversations(path.stem, _conversations(read_file(path), f"{path} holds no records"), [])
    if isinstance(source, str) and _HUB_ID.fullmatch(source) and path.suffix not in SUFFIXES:
        name, _, config = source.partition(":")
        return _load_parts(name.split("/")[1], _through_datasets(source, name.split("/")[1], name, config or None))
    raise InputError(
        f"no task and no file called {str(source)!r}; tasks are {', '.join(TASKS)}; "
        f"a file is {', '.join(suffix[1:].upper() for suffix in SUFFIXES)}; a Hub id is owner/name"
    )


def _load_parts(name: str, parts: Mapping[str, Iterable[Found]]) -> Conversations:
    """A data set in parts: its train part, and as held-out part the first of the usual names."""
    if "train" not in parts:
        raise InputError(f"data set {name} has no part called 'train' (it has: {', '.join(parts) or 'none'})")
    heldout = next((part for part in ("test", "heldout", "validation", "valid", "dev", "eval") if part in parts), None)
    return Conversations(
        name,
        _conversations(parts["train"], f"data set {name} is empty"),
        [to_messages(record, where) for where, record in _kept(parts[heldout])] if heldout else [],
    )


def _numbered_parts(name: str, parts: Mapping[str, Iterable[Any]]) -> dict[str, Iterator[Found]]:
    return {part: numbered(records, f"{name}, {part}, ") for part, records in parts.items()}


def _read_folder(path: Path) -> Mapping[str, Iterable[Found]]:
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
        return _numbered_parts(path.name, data if isinstance(data, DatasetDict) else {"train": data})
    return _through_datasets(path, path.name, str(path))


def _through_datasets(
    source: str | Path, name: str, builder: str, config: str | None = None
) -> Mapping[str, Iterable[Found]]:
    """`datasets.load_dataset` without its bars; files of one's own leave nothing in its cache, and where they are plain
    ones, they are read as single ones are."""
    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    local = Path(source).exists()
    try:
        apart = offline() if local or not hub_answers(str(source), "dataset") else nullcontext()
        with apart, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            reader = datasets.load_dataset_builder(builder, config, **({"cache_dir": scratch} if local else {}))
            _check_reader(reader, Path(source) if local else None)
            parts = {
                str(part): [Path(file) for file in files] for part, files in (reader.config.data_files or {}).items()
            }
            if local and parts and all(file.suffix.lower() in SUFFIXES for files in parts.values() for file in files):
                return {part: chain.from_iterable(map(read_file, files)) for part, files in parts.items()}
            reader.download_and_prepare()
            return _numbered_parts(name, reader.as_dataset(in_memory=local))
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
