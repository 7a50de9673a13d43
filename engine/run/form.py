"""What must hold of a run's files, whoever wrote them? It may come from a stranger: it is checked."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.errors import InputError

Check = Callable[[Any], bool]
_MOST = 2**40  # more than any count or dimension is
_CAPTURE_NAME = re.compile(r"step-(\d{6,12})\.safetensors")


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and (value == value) and abs(value) < math.inf


def is_text(value: Any) -> bool:
    """A string of whole characters: JSON can hold halves of them, which nothing else can."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def is_group(value: Any) -> bool:
    return isinstance(value, dict)


def or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def is_shape(value: Any) -> bool:
    return list_of(is_count)(value) and len(value) <= 8


_TOP: dict[str, Check] = {
    "version": is_count, "method": is_group, "model": is_group, "data": is_group, "settings": is_group,
    "modules": is_group, "versions": is_group, "host": is_group, "capture": is_group, "seconds": is_group,
    "status": is_text, "command": is_text, "created": is_text, "steps": is_count, "resumed": list_of(is_count),
}  # fmt: skip
_INSIDE: dict[str, dict[str, Check]] = {
    "method": {"name": is_text},
    "model": {"name": is_text, "source": is_text, "architecture": is_text, "parameters": is_count,
              "trainable": is_count},
    "data": {"name": or_none(is_text), "source": or_none(is_text), "train": is_count, "heldout": is_count},
    "seconds": {"total": is_number, "capture": is_number, "evaluation": is_number, "beside": is_number},
}  # fmt: skip
_MODULE: dict[str, Check] = {
    "kind": lambda value: value in ("lora", "dora", "delta"), "shape": is_shape, "parameter": is_text,
    "base_parameter": is_text, "transposed": is_flag, "embedding": is_flag, "from_start": is_flag,
    "magnitude": lambda value: is_flag(value) or is_text(value), "scaling": is_number, "r": is_count,
    "adapters": is_group, "rows": list_of(is_count), "sketch": list_of(is_count),
}  # fmt: skip


def check_info(info: Any, path: Path) -> dict[str, Any]:
    """run.json's value, if it is of the form that `engine.run.format` documents. Raises InputError naming the field."""
    if not isinstance(info, dict):
        raise InputError(f"{path} holds no JSON object; restore it or make the run again")
    _check(info, _TOP, path, "")
    for group, checks in _INSIDE.items():
        _check(info.get(group, {}), checks, path, f"{group}.")
    for name, about in info.setdefault("modules", {}).items():
        where = f"modules[{name!r}]."
        if not is_group(about) or not {"kind", "shape"} <= about.keys():
            raise InputError(f"{path}: {where[:-1]} lacks its kind or shape; restore it or make the run again")
        _check(about, _MODULE, path, where)
        needed = {"delta": "parameter"}.get(about["kind"], "adapters" if "adapters" in about else "scaling")
        if needed not in about or (about["kind"] == "dora" and "base_parameter" not in about):
            raise InputError(f"{path}: {where[:-1]} lacks its {needed}; restore it or make the run again")
        for adapter, one in about.get("adapters", {}).items():
            if not is_group(one) or not is_number(one.get("scaling")):
                raise InputError(
                    f"{path}: {where}adapters[{adapter!r}] has no scaling; restore it or make the run again"
                )
        if any(row >= about["shape"][0] for row in about.get("rows", []) if about["shape"]):
            raise InputError(f"{path}: {where}rows are more than the {about['shape'][0]} there are; restore it")
    return info


def _check(group: dict[str, Any], checks: dict[str, Check], path: Path, where: str) -> None:
    for name, check in checks.items():
        if name in group and not check(group[name]):
            value = repr(group[name])
            shown = value if len(value) < 60 else value[:57] + "..."
            raise InputError(f"{path}: {where}{name} cannot be {shown}; restore it or make the run again")


def check_record(record: Any) -> str:
    """What is wrong with one line of metrics.jsonl, answers.jsonl or norms.jsonl; empty if nothing is."""
    if not isinstance(record, dict) or not is_count(record.get("step")):
        return "it has no step"
    if "event" in record:
        if record["event"] not in ("train", "eval"):
            return f"its event is {record['event']!r}, neither train nor eval"
        if record["event"] == "eval":
            for group in ("exact", "loss"):
                if not is_group(record.get(group)) or not all(map(_is_score, record[group].values())):
                    return f"its {group} is no number a skill"
            graded = record.get("graded", {})
            if not is_group(graded) or not all(map(is_count, graded.values())):
                return "its graded is no count a skill"
        elif not all(value is None or isinstance(value, int | float | str) for value in record.values()):
            return "it holds what is no number"
    if "norms" in record and not (is_group(record["norms"]) and all(map(_is_score, record["norms"].values()))):
        return "its norms are no number a module"
    if "answer" in record and not all(
        is_text(record.get(key)) or (key == "expected" and record.get(key) is None)
        for key in ("skill", "prompt", "expected", "answer")
    ):
        return "its answer is no text"
    return ""


def _is_score(value: Any) -> bool:
    """A loss or norm of a training that diverged is NaN or infinite, and kept as such."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def stays_inside(file: Path, folder: Path) -> Path:
    """The file, if it is no link that leads out of the folder. Raises InputError if it is."""
    if file.is_symlink() and not file.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{file} is a link that leads out of its folder; put the file itself there")
    return file


def capture_step(name: str) -> int | None:
    """The step of a capture's file, or None for another file."""
    found = _CAPTURE_NAME.fullmatch(name)
    return int(found[1]) if found else None
