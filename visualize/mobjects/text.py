"""How is text set in a film? One font that every machine has, sizes in pixels of a 1080p frame, no LaTeX."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Self
from xml.etree import ElementTree

import manimpango
import matplotlib
import numpy as np
import svgelements
from manim import LEFT, RIGHT, WHITE, Text, VMobject, VMobjectFromSVGPath, config

FONT = "DejaVu Sans"
STRUT = "\N{LEFT-TO-RIGHT MARK}|"  # the mark keeps it on the left, also before a text that runs to the left
SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
SMALLEST = 28  # pixels; what the back row can read. What matters is set in 32 and more, and a stamp in this.


def register_font() -> None:
    """Make matplotlib's own copy of the font known, so that a film looks the same on every machine."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for file in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"):
        manimpango.register_font(str(folder / file))


def label(text: str, size: int = 34, color: str = "#ffffff", bold: bool = False) -> Text:
    """Plain text whose letters are `size` pixels tall (em) at 1080p. Raises ValueError below what can be read."""
    if size < SMALLEST:
        raise ValueError(f"{text!r} is set in {size} px; nothing below {SMALLEST} px is read from the back row")
    made = _set(clean(text), size, bold).copy().set_color(color, family=False)
    for glyph in made:
        glyph.set_fill(color)
    return made


@lru_cache(maxsize=512)
def _set(text: str, size: int, bold: bool) -> Text:
    """A label, to be copied and coloured: setting one takes tens of milliseconds, and most of a film's are seen step
    after step."""
    # Manim scales so that font_size 48 is about 67 px of em at 1080p. The strut says where the line is, whatever the
    # letters: a text's box ends lower with a g in it, and captions set by their boxes would jump.
    weight = "BOLD" if bold else "NORMAL"
    with _one_line():
        mobject = _Line(
            STRUT + text, font=FONT, font_size=size * 0.72, color=WHITE, weight=weight, warn_missing_font=False
        )
    # Not the first that is drawn: the boxes that stand for letters which no font has come before all others.
    strut = min(mobject.submobjects, key=lambda glyph: float(glyph.get_left()[0]))
    mobject.remove(strut)
    mobject.em_pixels, mobject.original_text = size, text
    mobject.line_above_centre = float(strut.get_center()[1] - mobject.get_center()[1])
    return mobject


@lru_cache(maxsize=8192)
def _wide(text: str, size: int, bold: bool = False) -> float:
    """How wide a label is, in units: asked for at every place where a line might end, and added up from every letter's
    points."""
    return float(_set(text, size, bold).width)


class _Line(Text):
    """A Text whose outlines are read once for each letter, not once for each place where it stands."""

    def generate_mobject(self) -> Self:
        """Cairo writes the outline of every letter once, under a name, and then where it stands (`use`)."""
        root = ElementTree.parse(self.get_file_path()).getroot()
        named = {part.get("id"): part.find(f"{SVG}path") for part in root.iter() if part.get("id")}
        outlines = {f"#{name}": path.get("d", "") for name, path in named.items() if path is not None}
        if not outlines:  # a way of writing that is not known here
            return super().generate_mobject()
        for use in root.iter(f"{SVG}use"):
            if path := outlines.get(use.get(LINK, "")):  # a space has none
                place = [float(use.get("x", 0)), float(use.get("y", 0)), 0]
                self.add(_outline(path).copy().set_fill(self.color, self.fill_opacity).shift(place))
        return self.flip(RIGHT)  # an SVG's y points down


@lru_cache(maxsize=2048)
def _outline(path: str) -> VMobject:
    letter = VMobjectFromSVGPath(svgelements.Path(path))
    letter.path_obj = None  # which Manim would copy at every animation, and that takes longer than all the rest
    return letter


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
        if _wide(clean(text), size) <= width:
            return label(text, size, color)
    return fitted(text, width, sizes[-1], color)


def lines_of(text: str, width: float, size: int, most: int | None = None, bold: bool = False) -> list[str]:
    """The text's words in as few lines as fit into `width` units, about equally long. A word longer than a line, as
    text without spaces is, is broken. most: lines; what is left then is cut with an ellipsis."""

    def wide(line: str) -> float:
        return _wide(line, size, bold)

    em = size / 1080 * 8  # units: no usual letter is wider
    words = clean(text).split()
    words = [part for one in words for part in ([one] if len(one) * em <= width else _pieces(one, width, wide))]

    def broken(most: float) -> list[str]:
        lines: list[str] = []
        for word in words:
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and wide(longer) <= most:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines

    lines, narrow = broken(width), width
    if most is not None and len(lines) > most:
        return [*lines[: most - 1], _cut(" ".join(lines[most - 1 :]), width, wide)]
    count = len(lines)
    while narrow > 1 and len(found := broken(narrow - 0.3)) == count and max(map(wide, found)) <= width:
        narrow -= 0.3
    return broken(narrow)


def paragraph(text: str, width: float, most: int, sizes: tuple[int, ...], bold: bool = False) -> tuple[list[str], int]:
    """The text in at most so many lines, and the largest of these sizes in which that is all of it."""
    for size in sizes:
        if len(lines := lines_of(text, width, size, bold=bold)) <= most:
            return lines, size
    return lines_of(text, width, sizes[-1], most, bold), sizes[-1]


def _pieces(word: str, width: float, wide: Callable[[str], float]) -> Iterator[str]:
    """The word, or what of it fits into a line, piece by piece."""
    while len(word) > 1 and wide(word) > width:
        fits = max(1, bisect_right(range(1, len(word)), width, key=lambda count: wide(word[:count])))
        yield word[:fits]
        word = word[fits:]
    yield word


def _cut(text: str, width: float, wide: Callable[[str], float]) -> str:
    """As much of it as fits, with an ellipsis where it is longer."""
    whole = shown = clean(text)
    while (now := wide(shown)) > width and len(whole) > 1:
        whole = whole[: max(1, int(len(whole) * min(0.95, width / now)))].rstrip()
        shown = whole + "\N{HORIZONTAL ELLIPSIS}"
    return shown


def fitted(text: str, width: float, size: int = 34, color: str = "#ffffff") -> Text:
    """Text of at most `width` units: cut with an ellipsis where it is longer."""
    return label(_cut(text, width, lambda line: _wide(line, size)), size, color)
