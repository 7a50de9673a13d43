"""Runs a student's function in a process of its own, with limits. Started as a file, by `sandbox`; imports nothing of
ours.

It reads a line of JSON with the code, the function's name, the names that it may count on and the limits, then a line
for each call, and answers each with one: {"value": ...} or {"error": [type, message]}. Arrays travel as the bytes of a
.npy file. What the code prints is dropped, so that it cannot be taken for an answer.
"""

import base64
import contextlib
import importlib
import io
import json
import os
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import numpy as np


def encode(value: Any) -> Any:
    """A value as JSON: numbers, text, lists, dictionaries and arrays."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return encode(value.item())
    if isinstance(value, np.ndarray) and value.dtype != object:
        file = io.BytesIO()
        np.save(file, value, allow_pickle=False)
        return {"npy": base64.b64encode(file.getvalue()).decode()}
    if isinstance(value, list | tuple):
        return {"tuple" if isinstance(value, tuple) else "list": [encode(one) for one in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(one)] for key, one in value.items()]}
    raise TypeError(f"a {type(value).__name__} cannot be handed over")


def decode(value: Any) -> Any:
    """What `encode` made JSON of."""
    match value:
        case {"npy": text}:
            return np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False)
        case {"tuple": parts}:
            return tuple(decode(one) for one in parts)
        case {"list": parts}:
            return [decode(one) for one in parts]
        case {"dict": pairs}:
            return {decode(key): decode(one) for key, one in pairs}
        case dict() | list():
            raise TypeError("not what was handed over")
    return value


def given(told: dict[str, Any]) -> Any:
    """A module, something in it, or a value, as `lent` tells of it."""
    if "value" in told:
        return decode(told["value"])
    module = importlib.import_module(told["module"])
    return getattr(module, told["inside"]) if "inside" in told else module


def limit(seconds: int, megabytes: int) -> None:
    """Processor time, memory, and no file may grow; where the system has such limits (not Windows)."""
    try:
        import resource
    except ImportError:
        return
    for what, most in (
        (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, megabytes << 20), (resource.RLIMIT_FSIZE, 0),
    ):  # fmt: skip
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (most, most))


def failed(error: BaseException) -> dict[str, Any]:
    line = next(reversed(list(_lines(error.__traceback__))), None)
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return {"error": [type(error).__name__, said[:500] + (f" (line {line})" if line else "")]}


def _lines(trace: TracebackType | None) -> Iterator[int]:
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "the student's code":
            yield trace.tb_lineno
        trace = trace.tb_next


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    questions = os.fdopen(os.dup(0), "r", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)

    def say(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    first = json.loads(questions.readline())
    limit(first["seconds"], first["megabytes"])
    names: dict[str, Any] = {"np": np, "numpy": np, "__name__": "student"}
    try:
        names |= {name: given(told) for name, told in first["lent"].items()}
        exec(compile(first["code"], "the student's code", "exec"), names)
        if first["name"] not in names:
            raise NameError(f"name {first['name']!r} is not defined")
        function = names[first["name"]]
        say({"value": None})
    except BaseException as error:
        say(failed(error))
        return
    for line in questions:
        try:
            say({"value": encode(function(*decode(json.loads(line))))})
        except BaseException as error:
            say(failed(error))


if __name__ == "__main__":
    main()
