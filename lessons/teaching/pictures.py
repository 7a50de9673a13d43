"""How is a picture drawn in a terminal? By kitty's, iTerm2's or sixel's protocol; elsewhere in half blocks and words.

A half block is one character with two colours, above and below: 100 columns and 25 lines are 100 x 50 pixels. That is
enough for a shape and not for its labels. So the labels are left out of it and stand as text above.
"""

import base64
import math
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Text as Label
from matplotlib.ticker import FixedLocator
from PIL import Image
from rich.color import Color
from rich.style import Style
from rich.text import Text

from engine.language.speaking import tr

COLUMNS = 100  # of a terminal, at most
_NAMED = 8  # names along an axis, of which all are said
_FINER = 4  # a half block's colour is the mean of so many pixels, squared


def fitted(size: tuple[int, int], columns: int, lines: int, cell: tuple[int, int]) -> tuple[int, int]:
    """Columns and lines that a picture of this size, in pixels, takes, with its proportions, if it may take so many."""
    wide, tall = size[0] / cell[0], size[1] / cell[1]
    scale = min(columns / wide, lines / tall)
    return max(1, math.floor(wide * scale)), max(1, math.floor(tall * scale))


def kitty(png: bytes, columns: int, lines: int) -> str:
    """A PNG by kitty's graphics protocol (sw.kovidgoyal.net/kitty/graphics-protocol), in pieces of 4096 characters."""
    data = base64.standard_b64encode(png).decode()
    pieces = [data[start : start + 4096] for start in range(0, len(data), 4096)]
    heads = [f"a=T,f=100,c={columns},r={lines},q=2,", *[""] * (len(pieces) - 1)]
    mores = [1] * (len(pieces) - 1) + [0]
    drawn = (f"\033_G{head}m={more};{piece}\033\\" for head, more, piece in zip(heads, mores, pieces, strict=True))
    return "".join(drawn) + "\n"


def iterm(png: bytes, columns: int, lines: int) -> str:
    """A PNG by iTerm2's protocol (iterm2.com/documentation-images.html)."""
    data = base64.standard_b64encode(png).decode()
    return f"\033]1337;File=inline=1;width={columns};height={lines};preserveAspectRatio=1:{data}\a\n"


def sixel(png: bytes, columns: int, lines: int, cell: tuple[int, int]) -> str:
    """A PNG as sixels (DEC VT340): bands of six rows, in each a line a colour, a character a column."""
    image = (
        Image.open(BytesIO(png)).convert("RGB").resize((columns * cell[0], lines * cell[1]), Image.Resampling.LANCZOS)
    )
    image = image.quantize(255, dither=Image.Dither.NONE)
    colours = np.array(image.getpalette()).reshape(-1, 3)
    pixels = np.asarray(image)
    parts = ["\033Pq", f'"1;1;{image.width};{image.height}']
    parts += [f"#{n};2;{';'.join(str(round(100 * v / 255)) for v in colour)}" for n, colour in enumerate(colours)]
    for top in range(0, image.height, 6):
        band = pixels[top : top + 6]
        weights = 1 << np.arange(len(band))[:, None]
        for colour in np.unique(band):
            bits = ((band == colour) * weights).sum(axis=0)
            runs = ((chr(63 + value), len(list(same))) for value, same in groupby(bits.tolist()))
            parts.append(f"#{colour}" + "".join(f"!{n}{sign}" if n > 3 else sign * n for sign, n in runs) + "$")
        parts.append("-")
    return "".join(parts) + "\033\\\n"


def blocks(figure: Figure, columns: int, lines: int) -> Text | None:
    """A figure without its words, two pixels a character; None if nothing but words is in it."""
    wide, tall = figure.get_size_inches()
    width, height = fitted((round(wide * 100), round(tall * 100)), columns, lines, (1, 2))
    png = BytesIO()
    with _without_words(figure, width / wide):
        figure.savefig(png, format="png", dpi=_FINER * width / wide)
    pixels = np.asarray(Image.open(png).convert("RGB").resize((width, 2 * height), Image.Resampling.BOX))
    if (pixels == pixels[0, 0]).all():
        return None
    drawn = Text(no_wrap=True)
    for above, below in zip(pixels[::2], pixels[1::2], strict=True):
        for one, other in zip(above.tolist(), below.tolist(), strict=True):
            drawn.append("\N{UPPER HALF BLOCK}", Style(color=Color.from_rgb(*one), bgcolor=Color.from_rgb(*other)))
        drawn.append("\n")
    return drawn


@contextmanager
def _without_words(figure: Figure, dots_an_inch: float) -> Iterator[None]:
    """Words hidden, and lines at least one pixel wide."""
    words = [(word, word.get_visible()) for kind in (Label, Legend) for word in figure.findobj(kind)]
    lines = [(line, line.get_linewidth()) for line in figure.findobj(Line2D) if np.size(line.get_xdata()) > 2]
    try:
        for word, _ in words:
            word.set_visible(False)
        for line, width in lines:
            line.set_linewidth(max(width, 72 / dots_an_inch) if width else 0)
        yield
    finally:
        for word, seen in words:
            word.set_visible(seen)
        for line, width in lines:
            line.set_linewidth(width)


def words(figure: Figure) -> Text:
    """What stands in a figure, as text: titles, what the axes measure and how far they go, which colour is what."""
    said = Text()
    above = figure.get_suptitle()
    for line in [above] if above else []:
        said.append(f"{line}\n", "bold")
    for ax in figure.axes:
        if hasattr(ax, "_colorbar"):
            low, high = ax.get_ylim()
            reach = tr("{low} to {high}", low=f"{low:.3g}", high=f"{high:.3g}")
            said.append(f"  {tr('colours: {what}', what=f'{ax.get_ylabel()} ({reach})')}\n", "dim")
            continue
        if title := " ".join((ax.get_title() or ax.get_title("left")).split()):
            said.append(f"{title}\n", "bold")
        if not ax.axison:
            continue
        across, up = _along(ax, "x"), _along(ax, "y")
        if across and up:
            said.append(f"  {tr('across: {x}; up: {y}', x=across, y=up)}\n", "dim")
        elif up:
            said.append(f"  {tr('up: {y}', y=up)}\n", "dim")
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            said.append("  \N{BLACK SQUARE} ", Style(color=_colour(handle))).append(f"{label}\n")
    return said


def _along(ax: Axes, which: str) -> str:
    """What an axis measures, and from where to where; the names along it, if it has such."""
    axis = getattr(ax, f"{which}axis")
    half = 0.5 if ax.images else 0.0  # a cell's number is at its middle
    low, high = np.sort(getattr(ax.dataLim, f"interval{which}"))
    reach = tr("{low} to {high}", low=f"{low + half:.4g}", high=f"{high - half:.4g}")
    if isinstance(axis.get_major_locator(), FixedLocator):
        named = list(dict.fromkeys(tick.get_text() for tick in axis.get_ticklabels() if tick.get_text()))
        reach = ", ".join(named if len(named) <= _NAMED else [*named[:2], "...", named[-1]])
    return f"{axis.get_label_text()} ({reach})" if axis.get_label_text() and reach else axis.get_label_text() or reach


def _colour(handle: object) -> str | None:
    for name in ("get_color", "get_facecolor", "get_edgecolor"):
        try:
            colour = np.atleast_1d(np.asarray(getattr(handle, name)(), dtype=object))
            return str(to_hex(colour[0] if isinstance(colour[0], str | np.ndarray) else tuple(colour)[:4]))
        except (AttributeError, ValueError, TypeError, IndexError):
            continue
    return None
