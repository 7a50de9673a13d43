"""How is text set in a film? One font that every machine has, sizes in pixels of a 1080p frame, no LaTeX."""

from pathlib import Path

import manimpango
import matplotlib
import numpy as np
from manim import MathTypst, Text

FONT = "DejaVu Sans"
SMALLEST = 26  # pixels; what the back row can read


def register_font() -> None:
    """Make matplotlib's own copy of the font known, so that a film looks the same on every machine."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for file in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"):
        manimpango.register_font(str(folder / file))


def label(text: str, size: int = 42, color: str = "#ffffff", bold: bool = False) -> Text:
    """Plain text whose letters are `size` pixels tall (em) at 1080p. Raises ValueError below what can be read."""
    if size < SMALLEST:
        raise ValueError(f"{text!r} is set in {size} px; nothing below {SMALLEST} px is read from the back row")
    # Measured on capital letters: Manim's font_size 48 is 90 px of em at 1080p.
    mobject = Text(clean(text), font=FONT, font_size=size * 48 / 90, color=color, weight="BOLD" if bold else "NORMAL")
    mobject.em_pixels = size
    return mobject


def equation(source: str, size: int = 60, color: str = "#ffffff") -> MathTypst:
    """Mathematics in Typst's notation, in letters of `size` pixels: no LaTeX. Parts are named {{source : name}}."""
    mobject = MathTypst(source, color=color, font_size=size / 1.406)  # measured likewise
    mobject.em_pixels = size
    return mobject


def on_line(mobject: Text, left: np.ndarray) -> Text:
    """Put text so that it begins at `left` and stands with its baseline at that height, whatever letters it has."""
    letters = [character for character in mobject.text if not character.isspace()]
    standing = [glyph for glyph, one in zip(mobject, letters, strict=False) if one.isalnum() and one not in "gjpqyQçJ"]
    baseline = (standing or [mobject])[0].get_bottom()[1]
    return mobject.shift([left[0] - mobject.get_left()[0], left[1] - baseline, 0])


def clean(text: str) -> str:
    """What may come from a model or a file: control characters out, one line, never empty."""
    return "".join(c if c.isprintable() else " " for c in text).strip() or "(nothing)"


def fitted(text: str, width: float, size: int = 42, color: str = "#ffffff") -> Text:
    """Text of at most `width` units: cut with an ellipsis where it is longer."""
    whole = clean(text)
    mobject = label(whole, size, color)
    while mobject.width > width and len(whole) > 1:
        whole = whole[: max(1, int(len(whole) * min(0.95, width / mobject.width)))].rstrip()
        mobject = label(whole + "\N{HORIZONTAL ELLIPSIS}", size, color)
    return mobject
