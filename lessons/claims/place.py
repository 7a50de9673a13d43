"""May the ledger, or a page of it, be written here? Over its own kind, and over nothing else."""

from collections.abc import Callable
from pathlib import Path

from engine.errors import InputError
from engine.reading import read_text
from lessons.claims.ledger import read_rows
from lessons.claims.llm.column import TITLE as COLUMN
from lessons.claims.page import TITLE


def check_out(path: Path, end: str, ours: Callable[[Path], bool]) -> None:
    """Raises InputError, before anything is run, for a name that ends otherwise, or where something else lies."""
    if path.suffix != end:
        raise InputError(f"{path} should end in {end}: give --out another name")
    if path.exists() and not ours(path):
        raise InputError(f"{path} is not what this writes, and stays as it is; give --out another name")


def is_ledger(path: Path) -> bool:
    try:
        read_rows(path)
    except InputError:
        return False
    return True


def is_page(path: Path) -> bool:
    """Whether a page of ours lies there: of the ledger, or of a model's column."""
    return path.is_file() and read_text(path).startswith((f"# {TITLE}", f"# {COLUMN}"))
