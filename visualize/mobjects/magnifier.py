"""What are the pixels of a matrix? Its first corner magnified, every weight with its number."""

from dataclasses import replace

from manim import DOWN, LEFT, RIGHT, UP, Group, Line, Rectangle, VGroup

from visualize.mobjects.matrix import MatrixImage, units
from visualize.mobjects.text import label, signed
from visualize.theme import PALETTES, ink_on

SIDE = 112  # pixels a magnified weight


class Magnifier(Group):
    """The first `count` rows and columns of `matrix`, enlarged around `place`, in the matrix's own colours.

    patch: the frame around them in the matrix. corner: the enlarged weights. lines: from the one to the other.
    numbers: the weights, written on them.
    """

    def __init__(self, matrix: MatrixImage, count: int, place: list[float]) -> None:
        super().__init__()
        colours, side = PALETTES[matrix.theme], units(SIDE)
        source = matrix.source and replace(matrix.source, part=count)
        values = matrix.values[:count, :count]
        self.corner = MatrixImage(values, matrix.limit, SIDE, colours.muted, matrix.theme, source)
        self.corner.move_to(place).settle()
        start = self.corner.image.get_corner(UP + LEFT) + (RIGHT + DOWN) * side / 2
        self.numbers = VGroup(
            label(signed(value), 32, ink_on(rgb)).move_to(start + side * (RIGHT * j + DOWN * i))
            for i, (row, pixels) in enumerate(zip(values, self.corner.image.pixel_array, strict=True))
            for j, (value, rgb) in enumerate(zip(row, pixels, strict=True))
        )
        self.patch = Rectangle(width=units(count * matrix.cell), height=units(count * matrix.cell), stroke_width=3)
        self.patch.set_color(colours.foreground).move_to(matrix.image.get_corner(UP + LEFT), aligned_edge=UP + LEFT)
        self.lines = VGroup(
            Line(self.patch.get_corner(edge + RIGHT), self.corner.get_corner(edge + LEFT), stroke_width=2)
            for edge in (UP, DOWN)
        ).set_color(colours.muted)
        self.add(self.patch, self.corner, self.lines, self.numbers)
