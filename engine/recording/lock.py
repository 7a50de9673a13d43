"""Who writes a run? One process at a time."""

import errno
from pathlib import Path

from filelock import BaseFileLock

from engine.errors import InputError
from engine.files import hold

NAME = "run.lock"


def lock(folder: Path) -> BaseFileLock | None:
    """Hold the run in this folder until `unlock`; None where the file system has no locks.

    Raises InputError if another process holds it.
    """
    try:
        return hold(folder / NAME, wait=False)
    except BlockingIOError:
        raise InputError(
            f"{folder} is being written by another process; let it finish, or give another folder"
        ) from None


def is_held(folder: Path) -> bool:
    """Whether some process writes the run in this folder; where that cannot be asked (no locks, another user's run),
    whether one did. A link or a device in its place is no lock of ours."""
    file = folder / NAME
    if file.is_symlink() or not file.is_file():
        return False
    try:
        held = hold(file, wait=False)
    except BlockingIOError:
        return True
    except OSError as error:
        return error.errno != errno.EROFS  # nobody writes where nothing can be written
    if held is None:
        return True
    held.release()
    return False


def unlock(folder: Path, held: BaseFileLock | None) -> None:
    if held is not None:
        (folder / NAME).unlink(missing_ok=True)
        held.release()
