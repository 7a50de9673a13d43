"""Who writes a run? One process at a time: the system forgets the lock of a process that is gone, however it went."""

from pathlib import Path
from typing import IO

from engine.errors import InputError

NAME = "run.lock"


def lock(folder: Path) -> IO[bytes] | None:
    """Hold the run in this folder until what is given is closed; None where the system has no such locks.

    Raises InputError if another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    file = (folder / NAME).open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise InputError(
            f"{folder} is being written by another process; let it finish, or give another folder"
        ) from None
    except OSError:  # a network folder without locks
        file.close()
        return None
    return file


def unlock(folder: Path, held: IO[bytes] | None) -> None:
    if held is not None:
        (folder / NAME).unlink(missing_ok=True)
        held.close()
