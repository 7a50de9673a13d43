"""Who writes a run? One process at a time."""

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
    """Whether some process writes the run in this folder; where the file system has no locks, whether one did."""
    if not (folder / NAME).exists():
        return False
    try:
        held = hold(folder / NAME, wait=False)
    except BlockingIOError:
        return True
    if held is None:
        return True
    held.release()
    return False


def unlock(folder: Path, held: BaseFileLock | None) -> None:
    if held is not None:
        (folder / NAME).unlink(missing_ok=True)
        held.release()
