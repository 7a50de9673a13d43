"""What does a number look like where it is stored? Its bits: one cell each, a number a column, the first on top."""

import numpy as np
from manim import RESAMPLING_ALGORITHMS, Group, ImageMobject

from visualize.mobjects.matrix import units
from visualize.theme import rgb_of


def bits_of(numbers: np.ndarray, count: int | None = None) -> np.ndarray:
    """(bits, numbers) of 0 and 1, most significant first. count: of unsigned integers, only the lowest so many.

    float32 is taken in IEEE 754's 32 bits.
    """
    numbers = np.atleast_1d(numbers)
    whole = numbers.view(np.uint32) if numbers.dtype == np.float32 else numbers.astype(np.uint32)
    places = np.arange(count or 32)[::-1, None]
    return ((whole[None] >> places.astype(np.uint32)) & 1).astype(np.uint8)


def bfloat16(values: np.ndarray) -> np.ndarray:
    """The 16 bits of each number in bfloat16, as integers: float32's upper half, rounded to the nearest even."""
    whole = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    return ((whole + 0x7FFF + ((whole >> 16) & 1)) >> 16).astype(np.uint32)


class Bits(Group):
    """A table of bits as one image, `cell` pixels a bit at 1080p. Hex colours: of a one, a zero, and between them."""

    def __init__(self, bits: np.ndarray, cell: int, one: str, zero: str, ground: str) -> None:
        super().__init__()
        self.bits = bits
        hexes = (zero, one, ground)
        colours = np.array([[*rgb_of(colour), 255] for colour in hexes], np.uint8)
        pixels = colours[bits.repeat(7, 0).repeat(7, 1)]
        pixels[6::7] = pixels[:, 6::7] = colours[2]  # so that equal neighbours are still seen as two
        self.image = ImageMobject(pixels, scale_to_resolution=0)
        self.image.set_resampling_algorithm(RESAMPLING_ALGORITHMS["nearest"])
        rows, columns = bits.shape
        self.image.stretch_to_fit_height(units(rows * cell)).stretch_to_fit_width(units(columns * cell))
        self.add(self.image)
