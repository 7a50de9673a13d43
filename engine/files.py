"""How is a file written so that a kill leaves the old one or the new one, and how does one process at a time do it?

Everything is written beside its place, as `.<name>.<process>.part` (a long name cut, so that this is not too long), and
renamed into it when whole: two processes of a machine that write the same do not meet, and what other programs call
`<name>.part` is theirs. Locks are filelock's: the system forgets those of a process that is gone, however it went.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

import psutil
from filelock import BaseFileLock, FileLock, Timeout

from engine.errors import InputError, printable
from engine.reading import check_name, opened

PART = ".part"
_HALF = re.compile(r"\.(?P<name>.+)\.(?P<process>\d+)(\.before)?\.part")
_LONGEST, _ROOM = 255, 100  # bytes of a file's name; and of one that is given ends of ours, everywhere short enough
_HEAD = 1 << 16  # bytes of a file, among which its mark stands
_HALVES = re.compile("[\ud800-\udfff]")
# Where a spreadsheet may see the beginning of a cell: that of the text, and what some take for the end of one before.
_FORMULA = re.compile(r"(^\s*|[;\t\r\n]\s*)([=+@-])")
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # e.g. of some network folders


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Gives the place at which to write what shall lie at `path`, a file or a folder; an error leaves nothing of it.

    A folder that lies there goes whole too: a kill leaves it, or the new one, or neither, and never half of one.
    Raises InputError where something else lies: a device, a pipe.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise InputError(f"{path} is neither a file nor a folder, and stays as it is; give another name")
    part, before = (beside(path, f".{os.getpid()}{more}{PART}") for more in ("", ".before"))
    for left in (part, before, *_left(path.parent.absolute()).get(_short(path.name), ())):
        remove(left)
    try:
        yield part
        if not part.is_dir():
            part.replace(path)
            return
        remove(before)
        if path.is_dir():
            path.replace(before)
        part.replace(path)
        remove(before)
    finally:
        remove(part)


def beside(path: Path, end: str) -> Path:
    """The hidden name beside a path for what is ours while we work: `.<name><end>`."""
    return path.with_name(f".{_short(path.name)}{end}")


def _short(name: str, most: int = _ROOM) -> str:
    """The name, or of a long one its beginning and a digest that tells it from others that begin so."""
    raw = os.fsencode(name)
    if len(raw) <= most:
        return name
    return f"{raw[: most - 9].decode('utf-8', 'ignore')}~{hashlib.sha256(raw).hexdigest()[:8]}"


@cache
def _left(folder: Path) -> dict[str, list[Path]]:
    """What kills have left in a folder, by what it was to be (`_short`): no process of this machine is at it any more.
    Looked for once, for there may be a file for each of thousands of steps."""
    found: dict[str, list[Path]] = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        half = _HALF.fullmatch(path.name)
        if half and not _runs(half["process"]):
            found.setdefault(half["name"], []).append(path)
    return found


def _runs(process: str) -> bool:
    return len(process) < 10 and psutil.pid_exists(int(process))


def meant(name: str) -> str:
    """What a half-written file or folder was to be called; any other keeps its name."""
    half = _HALF.fullmatch(name)
    return half["name"] if half else name.removesuffix(PART)


def check_out(path: str | Path, ends: Sequence[str] = ()) -> Path:
    """Where a file is to be written, asked before the work. ends: what its name may end in.

    Raises InputError for a name that is none, or ends otherwise, a folder, a device, and where there is no folder.
    """
    place = check_name(path)
    if ends and place.suffix.lower() not in ends:
        raise InputError(f"{place} should end in {' or '.join(ends)}")
    if not place.parent.is_dir():
        raise InputError(f"{place.parent} is no folder; make it, or give another name")
    if not place.name or (place.exists() and not place.is_file()):
        raise InputError(f"{place} is no file; give another name")
    if not os.access(place.parent, os.W_OK):
        raise InputError(f"{place} cannot be written: {place.parent} is not a folder that you may write to")
    return place


def check_new(path: str | Path, ends: Sequence[str] = ()) -> Path:
    """As `check_out`, where nothing may lie yet, for nobody could tell whose it is."""
    place = check_out(path, ends)
    if place.exists():
        raise InputError(f"{place} already exists; give another file, or delete it first")
    return place


def check_ours(path: Path, mark: bytes) -> Path:
    """Where a file is to be written anew. Raises InputError where one lies that is not of the kind that has `mark` near
    its beginning; an empty one loses nothing."""
    if path.exists():
        with opened(path) as file:
            head = file.read(_HEAD)
        if head and mark not in head:
            raise InputError(f"{path} is there already, and not made by this command; move it, or give another name")
    return path


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """A binary file, open beside its place."""
    with whole(path) as part, part.open("wb", buffering=1 << 18) as file:
        yield file


def remove(path: Path) -> None:
    """Whatever lies at `path`, if anything."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def aside(path: Path) -> Path:
    """Move what lies at `path` to a free name beside it, and give that."""
    taken = {other.name for other in path.parent.iterdir()}
    ends = (f".kept-{count}" for count in range(1, len(taken) + 2))
    free = next(name for end in ends if (name := _short(path.name, _LONGEST - len(end)) + end) not in taken)
    return path.rename(path.with_name(free))


def write_text(path: Path, text: str) -> None:
    """Half of a character, as of a file's name that is no UTF-8, becomes its escape, which every file can hold."""
    with whole(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


def json_text(value: Any, indent: int | None = None) -> str:
    r"""A value as JSON, where half of a character is its escape too, as text: \udcff, for no reader takes it as one."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return _HALVES.sub(lambda half: f"\\\\u{ord(half[0]):x}", text)


def write_json(path: Path, value: Any) -> None:
    write_text(path, json_text(value, 2) + "\n")


def append_line(path: Path, line: str) -> None:
    """Add a line to a file of lines; it is on the disk when this returns. What a kill has cut before it stays a line of
    its own. Several processes do so one at a time (see `alone`)."""
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
        cut = file.read(1) not in (b"", b"\n")
        file.write(("\n" * cut + line + "\n").encode())
        file.flush()
        os.fsync(file.fileno())


def hold(path: Path, *, wait: bool) -> BaseFileLock | None:
    """The lock file at `path`, held until its `release()`; None on a file system that has no locks.

    Raises BlockingIOError if another process holds it and this one would not wait, InputError where a link or a device
    lies there.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise InputError(f"{path} is no file, and stays as it is: who writes there cannot be known; delete it")
    lock = FileLock(path, timeout=-1 if wait else 0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(f"{path} is held by another process") from None
    except NotImplementedError:
        return None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return None
    return lock


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One process at a time makes what lies at `path`; the others wait, and find it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    held = hold(beside(path, ".lock"), wait=True)
    try:
        yield
    finally:
        if held is not None:
            held.release()


def for_a_cell(value: Any) -> Any:
    """What a spreadsheet is to read of a value: text that it would take for a formula gets a quote before it."""
    if not isinstance(value, str):
        return value
    text = printable(value, keep="\n")
    try:
        float(text.replace(",", "."))
    except ValueError:
        return _FORMULA.sub(r"\1'\2", text)
    return text
