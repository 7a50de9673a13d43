"""How does text reach a terminal? Through this door: whatever comes from a run, an adapter or a data set is shown,
and never obeyed.

A `Terminal` is rich's console without its markup: "[/x]" is four characters. What it draws, tables and Markdown too,
is made printable piece by piece, so that no string can move the cursor, write the clipboard or turn the reading
direction round. Colours are said by `style=` or `rich.text.Text`. A test forbids printing past it.
"""

import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from tqdm import tqdm

from engine.errors import printable
from engine.notebook import in_notebook


class Terminal(Console):
    """A console for text from anywhere; options as rich's."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "highlight": False, "emoji": False, **options})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            # Control segments are rich's own, e.g. to clear a line; text is somebody's.
            yield segment if segment.control else Segment(printable(segment.text, keep="\n"), segment.style)


def say(text: object, to: TextIO | None = None) -> None:
    """Print a line, or several, as plain text. to: a stream (default: standard output)."""
    print(printable(str(text), keep="\n"), file=sys.stdout if to is None else to)


def remark(text: object) -> None:
    """Say it on the error stream, if there still is one: a terminal that was closed ends no training."""
    with suppress(OSError, ValueError):
        say(text, sys.stderr)


def progress_bar(of: Iterable[Any] | None = None, title: str = "", **options: Any) -> "tqdm[Any]":
    """A progress bar, of what is gone through or of a `total`; options as tqdm's."""
    if in_notebook():
        options.setdefault("file", sys.stdout)  # what goes to the error stream is a red box there
    return tqdm(of, desc=printable(title), **options)


def note(text: str) -> None:
    """Print a line above whatever progress bar is there."""
    tqdm.write(printable(text))
