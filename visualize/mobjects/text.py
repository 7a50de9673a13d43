"""How is text set in a film? One font that every machine has, sizes in pixels of a 1080p frame, no LaTeX."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import manimpango
import matplotlib
import numpy as np
from manim import LEFT, Text, config

FONT = "DejaVu Sans"
STRUT = "|"
SMALLEST = 26  # pixels; what the back row can read


def register_font() -> None:
    """Make matplotlib's own copy of the font known, so that a film looks the same on every machine."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for file in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"):
        manimpango.register_font(str(folder / file))


def label(text: str, size: int = 34, color: str = "#ffffff", bold: bool = False) -> Text:
    """Plain text whose letters are `size` pixels tall (em) at 1080p. Raises ValueError below what can be read."""
    if size < SMALLEST:
        raise ValueError(f"{text!r} is set in {size} px; nothing below {SMALLEST} px is read from the back row")
    # Manim scales so that font_size 48 is about 67 px of em at 1080p. The strut says where the line is, whatever the
    # letters: a text's box ends lower with a g in it, and captions set by their boxes would jump.
    weight = "BOLD" if bold else "NORMAL"
    with _one_line():
        mobject = Text(STRUT + clean(text), font=FONT, font_size=size * 0.72, color=color, weight=weight)
    strut = mobject.submobjects[0]
    mobject.remove(strut)
    mobject.em_pixels, mobject.original_text = size, clean(text)
    mobject.line_above_centre = float(strut.get_center()[1] - mobject.get_center()[1])
    return mobject


@contextmanager
def _one_line() -> Iterator[None]:
    """Manim breaks a text where the video's width in pixels ends, whatever its size: a film for a telephone would
    have its captions broken, one for a wall not."""
    before, config.pixel_width = config.pixel_width, 100_000
    try:
        yield
    finally:
        config.pixel_width = before


def sit(mobject: Text, x: float, y: float, edge: np.ndarray = LEFT) -> Text:
    """Put a label's `edge` (LEFT, ORIGIN or RIGHT) at x and the middle of its line, not of its letters, at y."""
    return mobject.move_to([x, y - mobject.line_above_centre, 0], aligned_edge=edge)


def clean(text: str) -> str:
    """What may come from a model or a file: control characters out, one line, never empty."""
    return "".join(c if c.isprintable() else " " for c in text).strip() or "(nothing)"


def signed(value: float, digits: int = 2) -> str:
    """A number with a true minus sign, and no minus before zero."""
    text = f"{value:.{digits}f}"
    return text.replace("-", "" if float(text) == 0 else "\N{MINUS SIGN}")


def largest(text: str, width: float, sizes: tuple[int, ...], color: str) -> Text:
    """Text in the largest of these sizes in which it fits; cut if it does not fit in the last."""
    for size in sizes:
        mobject = label(text, size, color)
        if mobject.width <= width:
            return mobject
    return fitted(text, width, sizes[-1], color)


def fitted(text: str, width: float, size: int = 34, color: str = "#ffffff") -> Text:
    """Text of at most `width` units: cut with an ellipsis where it is longer."""
    whole = clean(text)
    mobject = label(whole, size, color)
    while mobject.width > width and len(whole) > 1:
        whole = whole[: max(1, int(len(whole) * min(0.95, width / mobject.width)))].rstrip()
        mobject = label(whole + "\N{HORIZONTAL ELLIPSIS}", size, color)
    return mobject
