"""How is a text shown as the model reads it? A box a token, which glows with how much the token surprised the model."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from manim import DOWN, ORIGIN, RIGHT, Rectangle, VGroup

from visualize.mobjects.text import label, sit
from visualize.theme import PALETTES, Theme, glow_rgba, ink_on

HEIGHT, PAD, GAP = 0.56, 0.13, 0.07  # of a box, in units: its height, the room beside its text, and between two boxes
SPACE = "\N{OPEN BOX}"  # a space that is part of a token


class TokenBoxes(VGroup):
    """The tokens of a text in boxes, in lines of at most `width` units; beyond `lines` of them they are left out.

    texts: of each token. `boxes` and `words` hold each one's box and text. `losses`: what `glow` last showed, nats.
    least: the smallest box. drop: from one line to the next.
    """

    def __init__(
        self, texts: Sequence[str], width: float, theme: Theme, size: int = 32, lines: int = 1, least: float = HEIGHT,
        drop: float = 1.3,
    ) -> None:  # fmt: skip
        super().__init__()
        self.colours, self.theme = PALETTES[theme], theme
        self.boxes, self.words = VGroup(), VGroup()
        self.losses, self.limit = np.full(len(texts), np.nan), 1.0
        x, line = 0.0, 0
        for text in texts:
            shown = text.replace(" ", SPACE).replace("\n", "\N{RETURN SYMBOL}")
            word = label(shown, size, self.colours.foreground)
            wide = max(least, word.width + 2 * PAD)
            if x and x + wide > width:
                x, line = 0.0, line + 1
            if line == lines:
                break
            box = Rectangle(width=wide, height=HEIGHT, stroke_width=2, stroke_color=self.colours.muted)
            box.set_fill(self.colours.background, 1).move_to([x + wide / 2, -line * drop, 0])
            word.move_to([x + wide / 2, -line * drop - word.line_above_centre, 0])
            self.boxes.add(box)
            self.words.add(word)
            x += wide + GAP
        self.add(self.boxes, self.words)

    def at(self, left: float, middle: float) -> Self:
        """The whole with its left edge and the middle of its first line there."""
        return self.shift([left - self.boxes[0].get_left()[0], middle - self.boxes[0].get_center()[1], 0])

    def glow(self, losses: np.ndarray, limit: float, which: Sequence[int] | None = None) -> Self:
        """Fill boxes by loss: the ground at 0 nats, the strongest colour at `limit`. which: only these tokens."""
        self.losses, self.limit = np.full(len(self.boxes), np.nan), limit
        for index in range(len(self.boxes)) if which is None else which:
            if index < len(self.boxes):
                self.losses[index] = losses[index]
                rgb = glow_rgba(np.array([losses[index]], np.float32), limit, self.theme)[0, :3]
                self.boxes[index].set_fill("#{:02x}{:02x}{:02x}".format(*rgb), 1)
                self.words[index].set_color(ink_on(rgb))
        return self

    def tint(self, color: str, which: Sequence[int]) -> Self:
        """Frame and letters of some tokens in a colour."""
        for index in which:
            if index < len(self.boxes):
                self.boxes[index].set_stroke(color)
                self.words[index].set_color(color)
        return self

    def below(self, texts: Sequence[str], size: int, color: str) -> VGroup:
        """A text under each box, e.g. the token's number."""
        return VGroup(
            label(text, size, color).move_to(box.get_center() + DOWN * 0.55, ORIGIN)
            for text, box in zip(texts, self.boxes, strict=False)
        )

    def stands_for(self) -> np.ndarray:
        """(tokens, 4): the loss that each box shows, and the red, green and blue (0 to 255) that it is filled with."""
        filled = np.array([box.get_fill_color().to_rgb() * 255 for box in self.boxes]).round()
        return np.column_stack([self.losses[: len(self.boxes)], filled])


class SurpriseScale(VGroup):
    """How is a box's colour read? From 0 nats, expected for certain, to `limit`, and these numbers at its ends."""

    def __init__(self, limit: float, width: float, theme: Theme, parts: int = 48) -> None:
        super().__init__()
        colours = PALETTES[theme]
        ramp = glow_rgba(np.linspace(0, limit, parts, dtype=np.float32), limit, theme)[:, :3]
        for index, rgb in enumerate(ramp):
            cell = Rectangle(width=width / parts + 0.01, height=0.24, stroke_width=0)
            self.add(
                cell.set_fill("#{:02x}{:02x}{:02x}".format(*rgb), 1).move_to([(index + 0.5) * width / parts, 0, 0])
            )
        self.add(Rectangle(width=width, height=0.24, color=colours.muted, stroke_width=2).move_to([width / 2, 0, 0]))
        self.add(sit(label("0: expected", 32, colours.muted), -0.15, 0, RIGHT))
        self.add(sit(label(f"{limit:.1f} nats: surprising", 32, colours.muted), width + 0.15, 0))

    def at(self, left: float, middle: float) -> Self:
        """The whole with its colours' left end there."""
        return self.shift([left, middle, 0])
