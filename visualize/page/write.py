"""How does a Run become a page? It is packed (`pack`), and its pieces are put into one HTML file (`bundle`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.files import check_ours, check_out, write_text
from engine.run.run import as_run
from visualize.naming import proper
from visualize.page.bundle import page_html
from visualize.page.pack import pack

BUDGET = 15_000_000
_MADE_BY = " – Glasstune"  # how the title of every page of ours ends


def write_page(runs: Any | Sequence[Any], out: str | Path, *, budget: int = BUDGET) -> Path:
    """Write the page of one Run, or of several of one base model side by side, to `out`; returns its path.

    runs: Runs, or paths of some. budget: bytes that the file may take; what did not fit is said on the page. Raises
    InputError for runs of different bases, a budget too small for anything, and a file that cannot be written, or is
    there and no page of ours.
    """
    every: Sequence[Any] = runs if isinstance(runs, list | tuple) else [runs]
    found = [as_run(run) for run in every]
    if not found:
        raise InputError("a page needs at least one run")
    out = place_of(out)
    write_text(out, page_of(found, budget))
    return out


def place_of(out: str | Path) -> Path:
    """Where a page may be written. Raises InputError where it cannot, or where something else lies."""
    return check_ours(check_out(out), f"{_MADE_BY}</title>".encode())


def page_of(runs: Sequence[Any], budget: int = BUDGET, door: str = "") -> str:
    """The page as text; door: see `page_html`. Raises InputError as `write_page`."""
    title = f"{' and '.join(proper(run.what) for run in runs)}{_MADE_BY}"
    pieces = pack(runs, budget, len(page_html(title, []).encode("utf-8")))
    return page_html(title, pieces.texts, door)
