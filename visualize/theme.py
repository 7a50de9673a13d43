"""Which colour means what? One palette for plots and films, on dark and on light ground.

No two meanings share a colour: what is right or wrong, the methods, the matrices, and the signs of a weight each have
their own, and those of one kind stay apart for colour-blind eyes and in grey (tests/visualize/test_theme.py). A signed
matrix is drawn through one diverging map whose middle is the ground itself, so that zero looks like nothing.
`theme("dark")` is a context: nothing global is changed, and matplotlib is loaded only when it is used.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

Theme = Literal["dark", "light"]


@dataclass(frozen=True)
class Palette:
    """Plain hex colours. W, A, B, delta: the matrices of W' = W + B A. full, lora, qlora: the methods.

    hill: the highest ground of a loss surface; the lowest is the background. rates: a low, a usual and a high learning
    rate. stops: the diverging map, most negative first, the middle one the ground's own tone.
    """

    background: str
    foreground: str
    muted: str
    grid: str
    W: str
    A: str
    B: str
    delta: str
    full: str
    lora: str
    qlora: str
    right: str
    wrong: str
    hill: str
    rates: tuple[str, str, str]
    stops: tuple[str, ...]

    def method(self, name: str) -> str:
        """The colour of a method; a method that is not ours is drawn like text."""
        return getattr(self, name, self.foreground) if name in METHOD_LINES else self.foreground


PALETTES: dict[Theme, Palette] = {
    "dark": Palette(
        background="#14161b", foreground="#f2f2ef", muted="#a9adb5", grid="#343842",
        W="#c0c6d4", A="#fdfd63", B="#ab68e4", delta="#41c281",
        full="#aa816f", lora="#62fcfe", qlora="#f080d3",
        right="#76fc93", wrong="#dd516e",
        hill="#6a7080", rates=("#93a0bb", "#e9e2d0", "#ff9f9f"),
        stops=("#bfe3ff", "#56b4e9", "#1d6fa8", "#14161b", "#a84a10", "#ff8a3d", "#ffdcc0"),
    ),
    "light": Palette(
        background="#ffffff", foreground="#16181d", muted="#5b606b", grid="#d9dce2",
        W="#3a3d45", A="#6f7a2a", B="#5a14a8", delta="#00573a",
        full="#561e00", lora="#1a4a6e", qlora="#b24da8",
        right="#2a8000", wrong="#94002f",
        hill="#9aa1af", rates=("#66708a", "#26241c", "#9a5546"),
        stops=("#08306b", "#0072b2", "#8fc3e8", "#ffffff", "#f7b58a", "#c95400", "#6b2500"),
    ),
}  # fmt: skip

# Line style repeats what colour says.
METHOD_LINES = {"full": "-", "lora": "--", "qlora": ":"}


def rgb_of(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of a hex colour: "#ff8a3d"."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def limit_of(values: np.ndarray) -> float:
    """The magnitude that takes the strongest colour: the 99.9th percentile, lest one weight hide all others.

    Where fewer than a thousandth have moved at all it is the largest; never zero, so that one may divide by it.
    """
    magnitudes = np.abs(values[np.isfinite(values)])
    if not magnitudes.size:
        return _NOTHING
    return float(np.percentile(magnitudes, 99.9)) or float(magnitudes.max()) or _NOTHING


_NOTHING = 1e-12
_STEPS = 511  # odd, so that zero has an entry of its own


def _lookup(stops: tuple[str, ...]) -> np.ndarray:
    """(511, 3) uint8: the stops, evenly spaced and joined by straight lines."""
    rgb = np.array([rgb_of(stop) for stop in stops], dtype=float)
    places = np.linspace(0, len(stops) - 1, _STEPS)
    return (
        np.stack([np.interp(places, range(len(stops)), channel) for channel in rgb.T], axis=1).round().astype(np.uint8)
    )


def _pack(rgb: np.ndarray) -> np.ndarray:
    """Red, green, blue and an opaque alpha as one number: looking up four bytes at once is several times as fast."""
    return np.concatenate([rgb, np.full((_STEPS, 1), 255, np.uint8)], axis=1).view(np.uint32)[:, 0]


_LOOKUPS = {name: _lookup(palette.stops) for name, palette in PALETTES.items()}
_PACKED = {name: _pack(rgb) for name, rgb in _LOOKUPS.items()}
_SCORE = {name: _pack(_lookup((palette.grid, palette.right))) for name, palette in PALETTES.items()}
# How far something moved has no sign: from the ground through the colour of a change to what stands out most.
_GLOW = {
    name: _pack(_lookup((palette.background, palette.delta, palette.foreground))) for name, palette in PALETTES.items()
}


def diverging(values: np.ndarray, limit: float, theme: Theme = "dark") -> np.ndarray:
    """Colours of a signed array: uint8, (*values.shape, 3). -limit, 0 and limit are the map's ends and its middle.

    Values beyond the limit take the end's colour; a value that is no number takes the middle's (and so is not seen).
    """
    return diverging_rgba(values, limit, theme)[..., :3]


def diverging_rgba(values: np.ndarray, limit: float, theme: Theme = "dark") -> np.ndarray:
    """The same with an opaque alpha: uint8, (*values.shape, 4). A film asks for a million of them in each frame."""
    middle = (_STEPS - 1) / 2
    place = np.multiply(values, middle / limit if limit > 0 else 0.0, dtype=np.float32)
    np.nan_to_num(place, copy=False, nan=0.0, posinf=middle, neginf=-middle)
    place += np.float32(middle)
    np.rint(np.clip(place, 0, _STEPS - 1, out=place), out=place)
    return _PACKED[theme].take(place.astype(np.int16)).view(np.uint8).reshape(*np.shape(values), 4)


def score_rgba(values: np.ndarray, theme: Theme = "dark") -> np.ndarray:
    """Colours of scores from 0 to 1, those of `score_map`: uint8, (*values.shape, 4), opaque. NaN is drawn as 0."""
    place = np.rint(np.nan_to_num(np.clip(values, 0, 1), nan=0.0) * (_STEPS - 1)).astype(np.int16)
    return _SCORE[theme].take(place).view(np.uint8).reshape(*np.shape(values), 4)


def glow_rgba(values: np.ndarray, limit: float, theme: Theme = "dark") -> np.ndarray:
    """Colours of magnitudes: uint8, (*values.shape, 4), opaque. 0 is the ground, `limit` and more the strongest.

    A value that is no number takes the ground's colour.
    """
    place = np.multiply(values, (_STEPS - 1) / limit if limit > 0 else 0.0, dtype=np.float32)
    np.fmax(np.abs(place, out=place), 0.0, out=place)  # of NaN and 0 this is 0
    np.minimum(place, _STEPS - 1, out=place)
    place += np.float32(0.5)  # so that cutting off what follows the point rounds
    return _GLOW[theme].take(place.astype(np.intp)).view(np.uint8).reshape(*np.shape(values), 4)


def ink_on(rgb: np.ndarray) -> str:
    """Black or white, whichever stands out from a colour of 0 to 255 a channel, by WCAG's relative luminance."""
    linear = (np.asarray(rgb[:3], float) / 255.0) ** 2.2
    return "#000000" if linear @ np.array([0.2126, 0.7152, 0.0722]) > 0.179 else "#ffffff"


def diverging_map(theme: Theme) -> "Colormap":
    """The same map for matplotlib."""
    from matplotlib.colors import ListedColormap

    return ListedColormap(_LOOKUPS[theme] / 255.0, name=f"glasstune-{theme}")


def score_map(theme: Theme) -> "Colormap":
    """0 to 1: from the ground to the colour of what is right."""
    from matplotlib.colors import LinearSegmentedColormap

    palette = PALETTES[theme]
    return LinearSegmentedColormap.from_list(f"glasstune-score-{theme}", [palette.grid, palette.right])


_current: Theme = "light"


def current_theme() -> Theme:
    """The theme of the innermost `with theme(...)`; light outside of all."""
    return _current


def palette() -> Palette:
    return PALETTES[_current]


@contextmanager
def theme(name: Theme) -> Iterator[Palette]:
    """Draw inside this context in a theme. Raises KeyError for a name that is neither "dark" nor "light"."""
    global _current
    colours = PALETTES[name]
    import matplotlib as mpl

    before, _current = _current, name
    try:
        with mpl.rc_context(rc(colours)):
            yield colours
    finally:
        _current = before


def rc(colours: Palette) -> dict[str, Any]:
    """matplotlib's settings: large enough for the back row, quiet axes, text in sans-serif."""
    return {
        "figure.figsize": (10, 5.6), "figure.dpi": 100, "savefig.dpi": 150, "figure.constrained_layout.use": True,
        "figure.facecolor": colours.background, "savefig.facecolor": colours.background,
        "axes.facecolor": colours.background, "axes.edgecolor": colours.muted, "axes.labelcolor": colours.foreground,
        "text.color": colours.foreground, "xtick.color": colours.foreground, "ytick.color": colours.foreground,
        "axes.titlecolor": colours.foreground, "grid.color": colours.grid, "legend.frameon": False,
        "font.size": 14, "axes.titlesize": 16, "axes.labelsize": 14, "legend.fontsize": 13,
        "axes.titlelocation": "left",
        "xtick.labelsize": 13, "ytick.labelsize": 13, "axes.titlepad": 10,
        "axes.spines.top": False, "axes.spines.right": False, "lines.linewidth": 2.2,
        "font.family": ["DejaVu Sans"], "text.parse_math": False, "image.interpolation": "nearest",
    }  # fmt: skip
