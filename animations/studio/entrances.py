"""How does something come into the frame? A matrix is written row by row, bars grow, texts rise: part by part.

What comes in parts leads the eye through it in the order in which it is read.
"""

from typing import Any

from manim import LEFT, UP, Animation, Create, FadeIn, Group, GrowFromEdge, Line, Mobject, Text, VGroup

from visualize.mobjects.bars import Bars
from visualize.mobjects.matrix import MatrixImage
from visualize.theme import PALETTES, rgb_of

MOST = 60  # parts; what has more comes as one
RISE = 0.15  # units that a text rises while it comes


class Written(Animation):
    """A matrix appears row by row, from the top, as one reads."""

    def __init__(self, matrix: MatrixImage, **options: Any) -> None:
        super().__init__(matrix, introducer=True, **options)

    def begin(self) -> None:
        self.whole = self.mobject.image.pixel_array.copy()
        super().begin()

    def interpolate_mobject(self, alpha: float) -> None:
        shown = self.whole.copy()
        shown[round(self.rate_func(alpha) * len(shown)) :, :, :3] = rgb_of(PALETTES[self.mobject.theme].background)
        self.mobject.image.pixel_array = shown


def entrances(mobject: Mobject) -> list[Animation]:
    """The animations that bring this in, in the order in which they should start."""
    match mobject:
        case MatrixImage():
            return [Written(mobject)]
        case Bars():
            title, *words = [part for part in mobject.submobjects if part is not mobject.bars]
            rows = zip(mobject.bars, words[::2], words[1::2], strict=True)
            return [
                _risen(title),
                *(one for bar, name, text in rows for one in (_risen(name), GrowFromEdge(bar, LEFT), _risen(text))),
            ]
        case Text():
            return [_risen(mobject)]
        case Line():
            return [Create(mobject)]
        case VGroup() | Group() if len(mobject.submobjects) > 1 and len(mobject.get_family()) <= 40 * MOST:
            parts = [one for part in mobject.submobjects if part.get_family() for one in entrances(part)]
            return parts if len(parts) <= MOST else [FadeIn(mobject, shift=RISE * UP)]
        case _:
            return [FadeIn(mobject, shift=RISE * UP)] if mobject.get_family() else []


def _risen(text: Mobject) -> Animation:
    return FadeIn(text, shift=RISE * UP, run_time=0.6)
