"""Where is a lesson given, and how does it show something there? In a terminal, or in Jupyter, by the same call."""

import base64
import itertools
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.errors import InputError, printable


@dataclass
class Stage:
    """Where the lesson is given: what it may do, and where its pictures go.

    model, data: what the environment variables LESSON_MODEL and LESSON_DATA, or `--model` and `--data`, name in place
    of the lesson's own; empty if nothing.
    """

    lesson: str = "lesson"
    out: Path = Path("runs")
    console: Console = field(default_factory=Console)
    quick: bool = False
    film: bool = False
    interactive: bool = False
    model: str = field(default_factory=lambda: os.environ.get("LESSON_MODEL", ""))
    data: str = field(default_factory=lambda: os.environ.get("LESSON_DATA", ""))
    asked: Any = None  # the exercise whose answer is code, until its cell comes
    pictures: list[Path] = field(default_factory=list)
    _folder: Path | None = None

    @property
    def folder(self) -> Path:
        """This lesson's own folder: the first `<out>/<lesson>-N` that does not exist, so nothing is overwritten."""
        if self._folder is None:
            numbered = (self.out / f"{self.lesson}-{n}" for n in itertools.count(1))
            self._folder = next(path for path in numbered if not path.exists())
            try:
                self._folder.mkdir(parents=True)
            except OSError as error:
                raise InputError(f"{self.out} cannot be written ({error.strerror}); give another folder") from None
        return self._folder

    def pause(self) -> None:
        if self.interactive:
            self.console.input("[dim]Enter to go on[/] ")


_stage = Stage(quick=bool(os.environ.get("GLASSTUNE_QUICK")), out=Path(os.environ.get("GLASSTUNE_RUNS", "runs")))


def configure(stage: Stage) -> None:
    """Set the stage for this process; the walker does, before a lesson's first cell runs."""
    global _stage
    _stage = stage


def current() -> Stage:
    return _stage


def in_notebook() -> bool:
    """Is this Jupyter or Colab (not a terminal's IPython)?"""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return any(kind.__name__ == "ZMQInteractiveShell" for kind in type(shell).__mro__)


# --- showing -----------------------------------------------------------------------------------------


def show(*things: Any, name: str = "") -> None:
    """Show text, tables, runs, and pictures (a matplotlib Axes, several of them, or a Figure).

    name: what a picture's file is called, e.g. "delta"; needed for pictures.
    """
    for thing in things:
        figure = figure_of(thing)
        if figure is not None:
            show_picture(figure, name)
        elif in_notebook():
            from IPython.display import display

            display(thing) if not isinstance(thing, str) else print(printable(thing, keep="\n"))
        elif isinstance(thing, pd.DataFrame):
            _stage.console.print(table(thing))
        else:
            _stage.console.print(escape(printable(str(thing), keep="\n")), highlight=False)


def figure_of(thing: Any) -> Figure | None:
    if isinstance(thing, np.ndarray) and thing.size and isinstance(thing.flat[0], Artist):
        thing = thing.flat[0]
    if isinstance(thing, Figure):
        return thing
    figure = thing.get_figure() if isinstance(thing, Artist) else None
    return figure if isinstance(figure, Figure) else None


def show_picture(figure: Figure, name: str) -> None:
    import matplotlib.pyplot as plt

    path = _stage.folder / "pictures" / f"{len(_stage.pictures) + 1:02d}-{name or 'picture'}.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)
    _stage.pictures.append(path)
    if in_notebook():
        from IPython.display import Image, display

        display(Image(str(path)))
    else:
        draw_in_terminal(path)
        _stage.console.print(f"picture: [bold]{escape(str(path))}[/]", highlight=False, soft_wrap=True)
    plt.close(figure)


def show_form(form: Any, text: str, png: bytes = b"") -> None:
    """Display an ipywidget; where it cannot be drawn (a page without a kernel), `png` or else `text` stands for it."""
    from IPython.display import display

    bundle = {**form._repr_mimebundle_(), "text/plain": text}
    if png:
        bundle["image/png"] = base64.standard_b64encode(png).decode()
    display(bundle, raw=True)


def draw_in_terminal(path: Path) -> None:
    """The picture itself, in terminals that draw pictures (iTerm2's and kitty's protocols)."""
    if not sys.stdout.isatty():
        return
    data = base64.standard_b64encode(path.read_bytes()).decode()
    if os.environ.get("TERM_PROGRAM") in ("iTerm.app", "WezTerm"):
        sys.stdout.write(f"\033]1337;File=inline=1;width=90:{data}\a\n")
    elif "KITTY_WINDOW_ID" in os.environ or "ghostty" in os.environ.get("TERM", ""):
        for start in range(0, len(data), 4096):
            more = int(start + 4096 < len(data))
            head = "a=T,f=100,c=90," if start == 0 else ""
            sys.stdout.write(f"\033_G{head}m={more};{data[start : start + 4096]}\033\\")
        sys.stdout.write("\n")


def table(frame: pd.DataFrame) -> Table:
    shown = Table(box=None, header_style="bold", pad_edge=False)
    named = frame.index.name is not None or not isinstance(frame.index, pd.RangeIndex)
    for column in [*([str(frame.index.name or "")] if named else []), *frame.columns]:
        shown.add_column(escape(printable(str(column))))
    for index, row in zip(frame.index, frame.itertuples(index=False), strict=True):
        values = [*([index] if named else []), *row]
        shown.add_row(*(escape(plain(value)) for value in values))
    return shown


def plain(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return f"{value:,}"
    return printable(str(value), keep="\n")
