"""Where may a Run be written? Where nothing is lost: in a new folder, an empty one, or in place of a Run of ours."""

import os
from pathlib import Path

from filelock import BaseFileLock

from engine.errors import InputError, shown
from engine.files import remove
from engine.reading import check_name
from engine.recording.lock import NAME as LOCK
from engine.recording.lock import lock, unlock
from engine.recording.ours import check_ours, holds_run, only_begun, remove_run


def absolute(out: str | Path) -> Path:
    """The folder where it lies now: training may change the working directory."""
    if not isinstance(out, str | os.PathLike):
        raise InputError(f"out is {shown(out)}; give a folder")
    return check_name(out).absolute()


def check_free(out: str | Path, overwrite: bool = False) -> Path:
    """The folder `out`, not there yet or empty, or a Run that may be overwritten. Raises InputError if it holds
    anything else or cannot be written."""
    out = check_name(out)
    if overwrite and holds_run(out):
        check_ours(out)
    elif only_begun(out):
        unlock(out, lock(out))  # another process may be at it
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        if holds_run(out):
            raise InputError(f"{out} already holds another run; give another folder, or overwrite=True to delete that")
        raise InputError(f"{out} already holds other files; give another folder, or delete it first")
    there = next(parent for parent in (out, *out.absolute().parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(f"{out} cannot be written: {there} is not a folder that you may write to; give another folder")
    return out


def claim_folder(out: str | Path, overwrite: bool = False) -> BaseFileLock | None:
    """Make the folder of a run, and hold it (see `lock`). Raises InputError as `check_free` does.

    Of two processes that begin in one folder, one gets it: what a kill has left there is removed under the lock.
    """
    out = check_free(out, overwrite)
    if overwrite and holds_run(out):
        remove_run(out)
    begun = only_begun(out)
    try:
        (out / "captures").mkdir(parents=True, exist_ok=begun)
        held = lock(out)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{out} cannot be written ({why}); give another folder") from None
    if not begun:
        return held
    if not only_begun(out):
        unlock(out, held)
        raise InputError(f"{out} already holds another run; give another folder, or overwrite=True to delete that")
    for left in [*out.iterdir(), *(out / "captures").iterdir()]:
        if left.is_file() and left.name != LOCK:
            remove(left)
    return held
