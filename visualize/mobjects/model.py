"""How is a whole model seen at once? As one image, a pixel a weight: a row a layer, its matrices side by side."""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from manim import DOWN, LEFT, ORIGIN, RESAMPLING_ALGORITHMS, RIGHT, UP, Group, ImageMobject, Rectangle, config

from engine.measure import relative_norm
from engine.run.run import Run
from visualize.mobjects.matrix import units
from visualize.mobjects.text import label, sit
from visualize.naming import layer_of
from visualize.theme import PALETTES, Theme, diverging_rgba, glow_rgba, limit_of, rgb_of

GAP = 4  # pixels between neighbours
ALL = 100_000  # a percentile is taken from about so many weights
What = Literal["W", "signed", "change", "moved"]


@dataclass(frozen=True)
class Tile:
    """Where one parameter lies: `rows` x `columns` pixels, from `top` and `left` on, and the row that it is in.

    Matrices lie on their longer side, so (out, in) is turned where out is larger; a vector stands upright, and goes on
    in a next column where it is longer than its row is high.
    """

    module: str
    shape: tuple[int, ...]
    row: int
    top: int
    left: int
    rows: int
    columns: int

    def fold(self, values: np.ndarray) -> np.ndarray:
        """Its values as they lie in the picture: (rows, columns); what a vector leaves over is NaN."""
        if values.ndim == 2:
            return values if values.shape == (self.rows, self.columns) else values.T
        whole = np.full(self.rows * self.columns, np.nan, np.float32)
        whole[: values.size] = values
        return whole.reshape(self.columns, self.rows).T

    @property
    def kind(self) -> str:
        """What a lecturer calls it: "q", "gate", "embed tokens"."""
        return self.module.split(".")[-1].removesuffix("_proj").replace("_", " ")


def lay_out(run: Run, gap: int = GAP) -> list[Tile]:
    """A place for every parameter that the run captured: first what is outside of the layers, then a row a layer."""
    modules = {name: run.shape(name) for name in run.info.modules}
    tiles, top = list[Tile](), gap
    for row, layer in enumerate(
        sorted({layer_of(name) for name in modules}, key=lambda layer: -1 if layer is None else layer)
    ):
        inside = {name: shape for name, shape in modules.items() if layer_of(name) == layer}
        matrices = [name for name, shape in inside.items() if len(shape) == 2]
        high, left = max((min(inside[name]) for name in matrices), default=128), gap
        for name in [*matrices, *(name for name in inside if name not in matrices)]:
            size = int(np.prod(inside[name]))
            rows = min(inside[name]) if name in matrices else min(size, high)
            tiles.append(Tile(name, inside[name], row, top, left, rows, -(-size // rows)))
            left += tiles[-1].columns + (gap if name in matrices else 2)
        top += high + gap
    return tiles


class WholeModel(Group):
    """Every captured weight of a run as one pixel of a 1080p frame. `show` says of what the pixels are made.

    what: "W", the weights before training, in the signed colours; "signed", their change at a step, in the same;
    "change", how far each has moved, on one scale for all; "moved", each matrix's relative norm of delta-W, as one
    colour. `values` are the numbers shown, by
    module; `limit` takes the strongest colour.
    """

    def __init__(self, run: Run, theme: Theme) -> None:
        super().__init__()
        self.run, self.theme, self.colours = run, theme, PALETTES[theme]
        self.tiles = {tile.module: tile for tile in lay_out(run)}
        self.pixels = (
            max(tile.top + tile.rows for tile in self.tiles.values()) + GAP,
            max(tile.left + tile.columns for tile in self.tiles.values()) + GAP,
        )
        self.what: What = "W"
        self.step, self.limit = 0, 1.0
        self.values: dict[str, np.ndarray] = {}
        self.image = ImageMobject(self._floor(), scale_to_resolution=0)
        self.image.set_resampling_algorithm(RESAMPLING_ALGORITHMS["nearest"])
        rows, columns = self.pixels
        self.image.stretch_to_fit_height(units(rows)).stretch_to_fit_width(units(columns))
        self.add(self.image)

    def _floor(self) -> np.ndarray:
        """The picture without its weights: a quiet frame around each tile, and the ground beyond."""
        floor = np.full((*self.pixels, 4), 255, np.uint8)
        floor[..., :3] = rgb_of(self.colours.background)
        for tile in self.tiles.values():
            place = floor[tile.top - GAP : tile.top + tile.rows + GAP, tile.left - GAP : tile.left + tile.columns + GAP]
            place[..., :3] = rgb_of(self.colours.grid)
        for tile in self.tiles.values():
            floor[tile.top : tile.top + tile.rows, tile.left : tile.left + tile.columns, :3] = rgb_of(
                self.colours.background
            )
        return floor

    @property
    def weights(self) -> int:
        """How many weights there are."""
        return sum(int(np.prod(tile.shape)) for tile in self.tiles.values())

    def show(self, what: What, step: int = 0, limit: float | None = None, only: set[str] | None = None) -> Self:
        """Show these numbers. limit: by default what `strongest` says of them. only: leave the other tiles empty."""
        self.what, self.step = what, step
        chosen = [tile for name, tile in self.tiles.items() if only is None or name in only]
        self.values = {tile.module: self._read(tile.module) for tile in chosen}
        self.limit = limit or self.strongest()
        pixels = self.image.pixel_array = self._floor() if only is not None else self.image.pixel_array
        colour = diverging_rgba if what in ("W", "signed") else glow_rgba
        for tile in chosen:
            place = pixels[tile.top : tile.top + tile.rows, tile.left : tile.left + tile.columns]
            place[...] = colour(tile.fold(self.values[tile.module]), self.limit, self.theme)
        return self

    def _read(self, module: str) -> np.ndarray:
        if self.what == "W":
            return self.run.weight(module)
        if self.what in ("signed", "change"):
            return self.run.delta(module, self.step)
        return np.full(self.run.shape(module), relative_norm(self.run, module, self.step), np.float32)

    def strongest(self) -> float:
        """The magnitude that all but a thousandth of the shown numbers stay below, lest one weight hide all others."""
        every = max(1, sum(values.size for values in self.values.values()) // ALL)
        sample = np.concatenate([np.abs(values).ravel()[::every] for values in self.values.values()])
        return limit_of(sample)

    def settle(self) -> Self:
        """Move, by less than two pixels, to where its first pixel is an even one of a 1080p frame."""
        corner = self.image.get_corner(UP + LEFT) + np.array([config.frame_width, -config.frame_height, 0]) / 2
        return self.shift((np.rint(corner / units(2)) - corner / units(2)) * units(2))

    def box(self, *modules: str, room: float = 2, **look: float | str) -> Rectangle:
        """A frame around these tiles, `room` pixels away from them. look: as of `Rectangle`."""
        tiles = [self.tiles[name] for name in modules]
        top, left = min(tile.top for tile in tiles) - room, min(tile.left for tile in tiles) - room
        bottom = max(tile.top + tile.rows for tile in tiles) + room
        right = max(tile.left + tile.columns for tile in tiles) + room
        box = Rectangle(width=units(right - left), height=units(bottom - top), **look)
        corner = self.image.get_corner(UP + LEFT) + units(left) * RIGHT + units(top) * DOWN
        return box.move_to(corner, aligned_edge=UP + LEFT)

    def rows(self) -> dict[int, list[str]]:
        """The matrices of each row, from the top."""
        found: dict[int, list[str]] = {}
        for tile in self.tiles.values():
            if len(tile.shape) == 2:
                found.setdefault(tile.row, []).append(tile.module)
        return found


class GlowScale(Group):
    """How is a glow read? From no change to `limit`, the strongest colour, with both numbers; `width` in pixels."""

    def __init__(self, title: str, limit: float, width: int, theme: Theme) -> None:
        super().__init__()
        colours = PALETTES[theme]
        ramp = np.linspace(0, limit, width // 2, dtype=np.float32)[None]
        bar = ImageMobject(glow_rgba(ramp, limit, theme), scale_to_resolution=0)
        bar.set_resampling_algorithm(RESAMPLING_ALGORITHMS["nearest"])
        bar.stretch_to_fit_height(units(24)).stretch_to_fit_width(units(width))
        number = label(f"{limit:.1g}".removeprefix("0"), 32, colours.foreground)  # ".004": there is little room
        self.add(
            bar,
            sit(label(title, 32, colours.muted), 0, units(38), ORIGIN),
            sit(label("0", 32, colours.foreground), -units(width / 2), -units(38)),
            sit(number, units(width / 2), -units(38), RIGHT),
        )
