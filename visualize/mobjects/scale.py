"""What does a colour stand for? The diverging map as a bar, with the numbers at its ends and its middle."""

import numpy as np
from manim import DOWN, LEFT, RIGHT, Group

from visualize.mobjects.matrix import MatrixImage
from visualize.mobjects.text import label
from visualize.theme import PALETTES, Theme


class ColourScale(Group):
    """A bar from -limit to limit, `width` pixels wide at 1080p (a multiple of 4). limit: in the weights' own unit."""

    def __init__(self, limit: float, theme: Theme, width: int = 512) -> None:
        super().__init__()
        colours = PALETTES[theme]
        places = np.linspace(-limit, limit, width // 4)[None].repeat(6, axis=0)
        self.bar = MatrixImage(places, limit, 4, colours.muted, theme)
        self.limit = limit
        self.add(self.bar)
        digits = max(0, 1 - int(np.floor(np.log10(limit))))
        for value, where in ((-limit, LEFT), (0.0, np.zeros(3)), (limit, RIGHT)):
            text = label(signed(value, digits), 36, colours.foreground).next_to(self.bar, DOWN, buff=0.12)
            self.add(text.set_x(self.bar.get_center()[0] + where[0] * self.bar.width / 2))


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign, the true minus; zero has none."""
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}") if value else "0"


def power(value: float) -> str:
    """A very small or large number as a power of ten, to one digit and with raised figures."""
    digit, exponent = f"{value:.0e}".split("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{digit}\N{MULTIPLICATION SIGN}10{raised}"
