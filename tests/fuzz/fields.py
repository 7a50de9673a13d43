"""Every field of every file that a Run, an adapter or a data set has, each with every hostile value.

The fields are those that the files really have, and those that their types (`RunInfo`, `TrainerState`) say they may.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any, get_args

import msgspec
from transformers import TrainerState

from engine.run.info import Module, RunInfo
from tests.fuzz.mutate import HOSTILE

Place = tuple[Any, ...]  # keys and numbers that lead to a value
Case = tuple[str, int | None, Place, int]  # file, line (None: the whole), place, which hostile value


def parsed(path: Path) -> list[tuple[int | None, Any]]:
    """What a file holds as JSON: the whole, or line by line, or a safetensors header."""
    if path.suffix == ".json":
        return [(None, json.loads(path.read_text()))]
    if path.suffix == ".jsonl":
        every = [json.loads(line) for line in path.read_text().splitlines()]
        kinds = {tuple(sorted(one)): at for at, one in enumerate(every)}  # one line of each kind
        return [(at, every[at]) for at in kinds.values()]
    if path.suffix == ".safetensors":
        data = path.read_bytes()
        return [(None, json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]]))]
    return []


def write(path: Path, line: int | None, value: Any) -> None:
    """Put a value back where `parsed` found it."""
    text = json.dumps(value)
    if path.suffix == ".safetensors":
        data = path.read_bytes()
        rest = data[8 + struct.unpack("<Q", data[:8])[0] :]
        path.write_bytes(struct.pack("<Q", len(text)) + text.encode() + rest)
    elif line is None:
        path.write_text(text)
    else:
        every = path.read_text().splitlines()
        every[line] = text
        path.write_text("\n".join(every) + "\n")


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Every field; of lists and of objects of many alike, such as modules, the first two."""
    yield at
    if isinstance(value, dict):
        alike = (
            len(value) > 6
            and len({type(one) for one in value.values()}) == 1
            and isinstance(next(iter(value.values())), dict)
        )
        for key in list(value)[: 2 if alike else None]:
            yield from places(value[key], (*at, key))
    elif isinstance(value, list):
        for number in range(min(2, len(value))):
            yield from places(value[number], (*at, number))


def said_by(kind: Any, at: Place = ()) -> Iterator[Place]:
    """Every field that a type has, those of types inside of it too."""
    for inner in (kind, *get_args(kind)):
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            for field in msgspec.structs.fields(inner):
                yield (*at, field.name)
                yield from said_by(field.type, (*at, field.name))


def may_have(path: Path, value: Any) -> Iterator[Place]:
    """Fields that the type of this file knows besides those that are there."""
    if path.name == "run.json":
        yield from said_by(RunInfo)
        for name in list(value["modules"])[:1]:
            yield from said_by(Module, ("modules", name))
    if path.name == "trainer_state.json":
        yield from ((field.name,) for field in fields_of(TrainerState))


def put(value: Any, place: Place, new: Any) -> Any:
    """The value with something else at a place; groups on the way to it are made where they are missing."""
    if not place:
        return new
    key, *rest = place
    if isinstance(value, list):
        return [put(one, tuple(rest), new) if at == key else one for at, one in enumerate(value)]
    inside = value if isinstance(value, dict) else {}
    return {**inside, key: put(inside.get(key), tuple(rest), new)}


def cases(folder: Path) -> list[Case]:
    """All of a folder's files, every place of each, every hostile value."""
    found = {}
    for path in sorted(folder.rglob("*")):
        for line, value in parsed(path) if path.is_file() else ():
            for place in (*places(value), *may_have(path, value)):
                found |= {(str(path.relative_to(folder)), line, place, at): None for at in range(len(HOSTILE))}
    return list(found)


def apply(folder: Path, case: Case) -> None:
    file, line, place, which = case
    value = next(value for at, value in parsed(folder / file) if at == line)
    write(folder / file, line, put(value, place, HOSTILE[which]))
