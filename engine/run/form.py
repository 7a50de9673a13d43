"""What must hold of a run's lines, and of numbers in any file? They may come from a stranger: they are checked.

run.json itself is checked by its types, `engine.run.info`.
"""

from collections.abc import Callable
from typing import Any

Check = Callable[[Any], bool]
_MOST = 2**40  # more than any count or dimension is
_NUMBERS = ("loss", "learning_rate", "grad_norm", "epoch")  # of a logged step; a callback may add words


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST


def is_text(value: Any) -> bool:
    """A string of whole characters: JSON can hold halves of them, which nothing else can."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def is_shape(value: Any) -> bool:
    return list_of(is_count)(value) and len(value) <= 8


def check_record(record: Any, file: str = "metrics.jsonl") -> str:
    """What is wrong with one line of metrics.jsonl, answers.jsonl or norms.jsonl; empty if nothing is.

    Each by its own file alone: what a training logs may be called "norms" or "answer", too.
    """
    if not isinstance(record, dict) or not is_count(record.get("step")):
        return "it has no step"
    if file == "metrics.jsonl" and "event" in record:
        if record["event"] not in ("train", "eval"):
            return f"its event is {record['event']!r}, neither train nor eval"
        if record["event"] == "eval":
            for group in ("exact", "loss"):
                if not _is_group(record.get(group)) or not all(map(_is_score, record[group].values())):
                    return f"its {group} is no number a skill"
            graded = record.get("graded", {})
            if not _is_group(graded) or not all(map(is_count, graded.values())):
                return "its graded is no count a skill"
            if not _is_group(record.get("measured", {})) or not all(
                map(_is_probe, record.get("measured", {}).values())
            ):
                return "its measured is no list of numbers a probe"
        elif not all(value is None or isinstance(value, int | float | str) for value in record.values()):
            return "it holds what is no number"
        elif wrong := [name for name in _NUMBERS if not _is_score(record.get(name))]:
            return f"its {wrong[0]} is no number"
    if (
        file == "norms.jsonl"
        and "norms" in record
        and not (_is_group(record["norms"]) and all(map(_is_score, record["norms"].values())))
    ):
        return "its norms are no number a module"
    if (
        file == "answers.jsonl"
        and "answer" in record
        and not all(
            is_text(record.get(key)) or (key == "expected" and record.get(key) is None)
            for key in ("skill", "prompt", "expected", "answer")
        )
    ):
        return "its answer is no text"
    return ""


def _is_probe(found: Any) -> bool:
    if not _is_group(found):
        return False
    values, weights = found.get("values"), found.get("weights")
    return list_of(_is_score)(values) and list_of(is_count)(weights) and len(values) == len(weights)


def _is_group(value: Any) -> bool:
    return isinstance(value, dict)


def _is_score(value: Any) -> bool:
    """A loss or norm of a training that diverged is NaN or infinite, and kept as such."""
    return value is None or isinstance(value, float) or (type(value) is int and abs(value) < 2**1000)
