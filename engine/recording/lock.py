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


def unlock(folder: Path, held: BaseFileLock | None) -> None:
    if held is not None:
        (folder / NAME).unlink(missing_ok=True)
        held.release()
