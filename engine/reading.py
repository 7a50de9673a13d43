"""How is a file read that a stranger may have written? Through this door.

A regular file, no pipe or device that never ends; inside the folder that it belongs to, wherever links lead; no larger
than such a file can be. JSON: UTF-8, bounded in depth and digits, no key twice. What is wrong is an InputError that
names the file. A test forbids reading what comes from outside past it.
"""

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from engine.errors import InputError, shown

REMEDY = "copy or download it again"
MOST_JSON = 100_000_000  # bytes of a JSON file, of one line, of a header: what safetensors allows a header
MOST_LINES = 2_000_000_000  # bytes of a file of lines, all of which are kept in memory
DEPTH = 100  # what is nested deeper is no file of anybody's, and whoever walks through it runs out of stack
DIGITS = 300  # of a whole number: every such one has its place among the floats
_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_NUMBER = re.compile(r"[0-9]{1,12}")


def whole_number(text: str) -> int | None:
    """The number that a text is: "12" in "checkpoint-12". None for any other text, such as "²" or a thousand digits."""
    return int(text) if _NUMBER.fullmatch(text) else None


def check_name(path: str | Path) -> Path:
    """The path, home written out, if something can be called so. Raises InputError for a name of thousands of letters,
    one with a NUL in it, or no name at all."""
    try:
        place = Path(path).expanduser()
        if "\0" in str(place):
            raise ValueError("it holds a NUL")
        place.exists()
    except (OSError, ValueError, TypeError, RuntimeError) as error:  # RuntimeError: the home of nobody
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{shown(str(path))} can be no file or folder ({why}); give another name") from None
    return place


# --- files -------------------------------------------------------------------------------------------


def inside(folder: Path, file: Path) -> Path:
    """The file, if neither it nor a folder on the way to it is a link that leads out of `folder`.

    What the Hub's own cache links to, its blobs, counts as inside. Raises InputError otherwise.
    """
    try:
        home, place = folder.resolve(), file.resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle, a name that is none
        raise InputError(f"{file} is a link that leads nowhere; put the file itself there") from None
    blobs = [home.parents[1] / "blobs"] if home.parent.name == "snapshots" else []
    if not any(place.is_relative_to(one) for one in (home, *blobs)):
        raise InputError(f"{file} is a link that leads out of its folder; put the file itself there")
    return file


@contextmanager
def opened(
    path: Path, *, within: Path | None = None, most: int | None = None, remedy: str = REMEDY
) -> Iterator[IO[bytes]]:
    """The file, open to read bytes, unbuffered. within: the folder that it must lie in. most: bytes that it may have.

    Raises InputError if it is not there, is no regular file, leads out of its folder or is too large.
    """
    try:
        if within is not None:
            inside(within, path)
        # A pipe would wait for somebody to write, for ever; what a device does when it is opened is its own affair.
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise InputError(f"{path} is {_kind(mode)}, not a file; {remedy}")
        # Without waiting, should it have become a pipe since.
        file = os.fdopen(os.open(path, os.O_RDONLY | _FLAGS), "rb", buffering=0)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        why = getattr(error, "strerror", None) or error  # ValueError: a name with a NUL in it
        raise InputError(f"{path} cannot be read ({why}); {remedy}") from None
    with file:
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            raise InputError(f"{path} has {size:,} bytes; more than {most:,} are not read here")
        yield file


def _kind(mode: int) -> str:
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket"}
    return next((name for is_one, name in kinds.items() if is_one(mode)), "a device")


def read_bytes(path: Path, *, within: Path | None = None, most: int = MOST_JSON, remedy: str = REMEDY) -> bytes:
    """All of a file. Raises InputError as `opened`."""
    with opened(path, within=within, most=most, remedy=remedy) as file:
        return b"".join(iter(lambda: file.read(1 << 24), b""))


def read_text(path: Path, *, within: Path | None = None, most: int = MOST_JSON, remedy: str = REMEDY) -> str:
    """All of a file, as UTF-8, a byte-order mark left out. Raises InputError as `opened`, or if it is no UTF-8."""
    try:
        return read_bytes(path, within=within, most=most, remedy=remedy).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def lines(path: Path, *, within: Path | None = None, most: int = MOST_LINES) -> Iterator[bytes]:
    """The lines of a file with their ends, which a last one that was cut off does not have. Raises InputError as
    `opened`, or for a line longer than any is."""
    with opened(path, within=within, most=most) as file:
        rest = b""
        while piece := file.read(1 << 20):
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line + b"\n"
            if len(rest) > MOST_JSON:
                raise InputError(f"{path} has a line of more than {MOST_JSON:,} bytes; {REMEDY}")
        if rest:
            yield rest


def check_files(folder: Path, *, within: Path | None = None) -> None:
    """Raises InputError for a pipe or a device among the files of a folder that a library will open, or for JSON larger
    than any is. within: for links, too, that lead out of there."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() or not path.exists():
            continue
        with opened(path, within=within, most=MOST_JSON if path.name.endswith("config.json") else None):
            pass


# --- JSON --------------------------------------------------------------------------------------------


def parse_json(text: str | bytes, *, strict: bool = False) -> Any:
    """A JSON value. strict: without NaN and Infinity, which Python's own writes.

    Raises ValueError (a JSONDecodeError, with its place, where it is no JSON) that says what is wrong: it is no UTF-8,
    nested too deep, holds a number of too many digits, a key twice, or one with half of a character.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    try:
        value = (_STRICT if strict else _DECODER).decode(text)
        deep = text.count("[") + text.count("{") > DEPTH and _is_deep(value)
    except RecursionError:
        deep = True
    if deep:
        raise ValueError(f"nested more than {DEPTH} deep")
    return value


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEPTH):
        within = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list))
        level = [one for values in within for one in values if isinstance(one, dict | list)]
        if not level:
            return False
    return True


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    for key in found:
        if not key.isascii() and any("\ud800" <= one <= "\udfff" for one in key):  # no name of anything: not UTF-8
            raise ValueError(f"the key {key[:60]!a} holds half of a character")
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:60]!r} is there twice")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_int=_whole, object_pairs_hook=_once)
_STRICT = json.JSONDecoder(parse_int=_whole, object_pairs_hook=_once, parse_constant=_refuse)


def read_json(path: Path, remedy: str = REMEDY, *, within: Path | None = None) -> dict[str, Any]:
    """One JSON object. Raises InputError, naming the file, if it is anything else."""
    text = read_bytes(path, within=within, remedy=remedy)
    try:
        value = parse_json(text)
    except ValueError as error:
        raise InputError(f"{path} cannot be read as JSON ({error}); {remedy}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no JSON object; {remedy}")
    return value
