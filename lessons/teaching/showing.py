"""How does a lesson show something? Text, tables and pictures, in a terminal or in Jupyter, by the same call."""

import base64
import html
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from rich.table import Table
from rich.text import Text

from engine.errors import printable
from engine.language.speaking import tr
from engine.notebook import in_notebook
from engine.terminal import say
from lessons.teaching import pictures
from lessons.teaching.language import heading
from lessons.teaching.session import current

DATA = "application/vnd.glasstune+json"


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

            if isinstance(thing, pd.DataFrame):
                with pd.option_context("display.float_format", plain):  # as in a terminal
                    display(thing.rename(columns=_said).rename_axis(index=_said))
            else:
                display(thing) if not isinstance(thing, str) else _say_in_notebook(thing)
        elif isinstance(thing, pd.DataFrame):
            current().console.print(table(thing))
        else:
            current().console.print(str(thing))


def _say_in_notebook(text: str) -> None:
    """Where somebody reads it in Jupyter, lines end between words: what is printed there is broken within them."""
    if current().forms != "live":
        say(text)
        return
    said = html.escape(printable(text, keep="\n"))
    style = "white-space: pre-wrap; overflow-wrap: anywhere; font-family: var(--jp-code-font-family, monospace)"
    display_as({"text/html": f'<div style="{style}">{said}</div>'}, printable(text, keep="\n"))


def figure_of(thing: Any) -> Figure | None:
    if isinstance(thing, np.ndarray) and thing.size and isinstance(thing.flat[0], Artist):
        thing = thing.flat[0]
    if isinstance(thing, Figure):
        return thing
    figure = thing.get_figure() if isinstance(thing, Artist) else None
    return figure if isinstance(figure, Figure) else None


def show_picture(figure: Figure, name: str) -> None:
    import matplotlib.pyplot as plt

    session = current()
    path = session.folder / "pictures" / f"{len(session.pictures) + 1:02d}-{name or 'picture'}.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)
    session.pictures.append(path)
    if in_notebook():
        from IPython.display import Image, display

        said = {"image/png": {"alt": str(pictures.words(figure))}} if session.forms == "data" else None
        display(Image(str(path)), metadata=said)
    else:
        draw_in_terminal(figure, path)
        session.console.print(Text.assemble(tr("picture: "), (str(path), "bold")), soft_wrap=True)
    plt.close(figure)


def show_form(form: Any, text: str, png: bytes = b"") -> None:
    """Display an ipywidget; where it cannot be drawn (a page without a kernel), `png` or else `text` stands for it."""
    display_as(form._repr_mimebundle_(), text, png)


def show_data(kind: str, text: str, **data: Any) -> None:
    """Display `text`, and beside it what a page needs to draw the same itself: JSON, with its `kind`."""
    display_as({DATA: {"kind": kind, **data}}, text)


def display_as(bundle: dict[str, Any], text: str, png: bytes = b"") -> None:
    from IPython.display import display

    bundle = {**bundle, "text/plain": text}
    if png:
        bundle["image/png"] = base64.standard_b64encode(png).decode()
    display(bundle, raw=True)


def draw_in_terminal(figure: Figure, path: Path) -> None:
    """The picture itself, as the terminal can draw it: no higher than the screen, its prompt below it."""
    session = current()
    protocol, cell = session.abilities.protocol, session.abilities.cell
    if protocol == "none" or session.console.quiet:
        return
    if session.interactive and session.small:
        session.console.input(f"[dim]{tr('a picture: Enter')}[/] ")
    room = min(session.console.width, pictures.COLUMNS), max(4, session.console.height - 3)
    if protocol == "blocks":
        said = pictures.words(figure)
        above = len(session.console.render_lines(said, pad=False))
        drawn = pictures.blocks(figure, room[0], max(4, room[1] - above))
        session.console.print(said, drawn if drawn is not None else "", sep="", end="")
        return
    png = path.read_bytes()
    columns, lines = pictures.fitted(_pixels(figure), *room, cell)
    if protocol == "sixel":
        sys.stdout.write(pictures.sixel(png, columns, lines, cell))
    else:
        sys.stdout.write((pictures.kitty if protocol == "kitty" else pictures.iterm)(png, columns, lines))
    sys.stdout.flush()


def _pixels(figure: Figure) -> tuple[int, int]:
    width, height = figure.get_size_inches()
    return round(100 * width), round(100 * height)


def table(frame: pd.DataFrame) -> Table:
    shown = Table(box=None, header_style="bold", pad_edge=False)
    named = frame.index.name is not None or not isinstance(frame.index, pd.RangeIndex)
    for column in [*([str(frame.index.name or "")] if named else []), *frame.columns]:
        shown.add_column(str(_said(column)), overflow="fold")
    for index, row in zip(frame.index, frame.itertuples(index=False), strict=True):
        values = [*([index] if named else []), *row]
        shown.add_row(*(plain(value) for value in values))
    return shown


def _said(name: Any) -> Any:
    return heading(name) if isinstance(name, str) else name


def plain(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
