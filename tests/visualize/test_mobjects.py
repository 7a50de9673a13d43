"""What a film draws equals what it was given: matrices, curves, bars and words."""

import numpy as np
import pytest

pytest.importorskip("manim", reason="films need Manim: pip install -e '.[film]'")
from manim import Camera, tempconfig

from animations.camera import RegionCamera
from visualize.mobjects.bars import Columns, HorizontalBars, Row
from visualize.mobjects.curve import LossCurve
from visualize.mobjects.matrix import SHOWN, MatrixImage, cell_pixels, units
from visualize.mobjects.scale import ColourScale, signed
from visualize.mobjects.text import SMALLEST, clean, equation, fitted, label, register_font
from visualize.theme import PALETTES, contrast, diverging, ink


@pytest.fixture(autouse=True, scope="module")
def font(tmp_path_factory):
    register_font()
    with tempconfig({"media_dir": str(tmp_path_factory.mktemp("media")), "verbosity": "ERROR"}):
        yield


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(size=(24, 16)).astype(np.float32)


@pytest.mark.parametrize("theme", PALETTES)
def test_a_matrix_is_drawn_a_cell_a_weight(values, theme):
    picture = MatrixImage(values, 2.0, 10, "#ffffff", theme)
    np.testing.assert_array_equal(picture.image.pixel_array[..., :3], diverging(values, 2.0, theme))
    assert picture.image.width == pytest.approx(units(160))
    assert picture.image.height == pytest.approx(units(240))
    picture.show(2 * values)
    np.testing.assert_array_equal(picture.image.pixel_array[..., :3], diverging(2 * values, 2.0, theme))


def test_a_matrix_too_large_shows_its_first_part():
    picture = MatrixImage(np.zeros((SHOWN + 5, 3), np.float32), 1.0, 1, "#ffffff", "dark")
    assert picture.values.shape == (SHOWN, 3)


@pytest.mark.parametrize("longest", [1, 5, 16, 64, 128, 200, 256, 260, 512, 4096])
@pytest.mark.parametrize("beside", [0, 4, 16, 64])
def test_cells_are_even_where_they_can_be_and_always_fit(longest, beside):
    cell = cell_pixels((longest, 3), most=600, beside=beside)
    assert cell * (min(longest, SHOWN) + beside) <= 600
    assert cell % 2 == 0 or cell == 1


@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")  # stock Manim's, on Pillow 12
@pytest.mark.parametrize("theme", PALETTES)
@pytest.mark.parametrize("opacity", [1.0, 0.4])
@pytest.mark.parametrize("place", [(0, 0), (-6.9, 3.1), (8.5, 0)])
def test_the_cameras_region_is_stock_manims_picture(values, theme, opacity, place):
    picture = MatrixImage(values, 2.0, 10, "#ffffff", theme)
    picture.image.set_opacity(opacity)
    picture.move_to([*place, 0])
    frames = []
    with tempconfig({"pixel_width": 1920, "pixel_height": 1080}):
        for kind in (Camera, RegionCamera):
            camera = kind()
            camera.capture_mobjects([picture.image])
            frames.append(camera.pixel_array.astype(int))
    stock, ours = frames
    different = np.abs(stock - ours).max(axis=2) > 1  # of 255: rounding of a half-seen colour
    if place == (0, 0):  # 240 x 160 pixels: no more than the outermost row and column may fall otherwise
        assert different.sum() <= 2 * (240 + 160)
        assert not different[430:650, 890:1030].any()
    else:
        assert different.mean() < 0.002


def test_a_loss_curve_goes_through_the_captured_numbers():
    steps, losses = np.array([1, 5, 10]), np.array([4.0, 2.0, 1.0])
    curve = LossCurve(steps, losses, 5.0, 2.0, PALETTES["dark"])
    origin = curve.axes[1].get_bottom()
    for last, count in ((0, 0), (1, 0), (5, 2), (10, 3)):
        anchors = curve.upto(last).line.get_anchors()
        seen = np.unique(np.round([(a - origin)[:2] for a in anchors], 6), axis=0) if len(anchors) else np.zeros((0, 2))
        assert len(seen) == count
        wanted = np.stack([steps[:count] * 5.0 / 10, losses[:count] * 2.0 / 4.0], axis=1)
        np.testing.assert_allclose(seen, wanted, atol=1e-5)


def test_bars_are_as_long_as_their_numbers():
    rows = [Row("a", 10.0, "10", "#ffffff"), Row("b", 2.5, "2.5", "#56b4e9"), Row("c", 0.0, "0", "#56b4e9")]
    bars = HorizontalBars("things", rows, 10.0, PALETTES["dark"], width=6.0)
    assert [bar.width for bar in bars.bars] == pytest.approx([6.0, 1.5, 0.02])
    assert len({round(float(bar.get_left()[0]), 6) for bar in bars.bars}) == 1


def test_columns_are_as_high_as_their_numbers():
    columns = Columns(np.array([4.0, 2.0, 1.0]), 3.0, 2.0, "#34c79f", PALETTES["dark"])
    assert [column.height for column in columns.columns] == pytest.approx([2.0, 1.0, 0.5])
    assert [column.get_fill_opacity() for column in columns.keep(1).columns] == [1, 0, 0]


def test_a_colour_scale_says_what_its_ends_are():
    scale = ColourScale(0.25, "dark", width=64)
    assert [text.text for text in scale[1:]] == ["\N{MINUS SIGN}0.25", "0", "+0.25"]
    assert scale.bar.values[0, 0] == -0.25 and scale.bar.values[0, -1] == 0.25


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (0.126, "+0.13"), (-0.5, "\N{MINUS SIGN}0.50")])
def test_numbers_have_a_true_sign(value, text):
    assert signed(value) == text


def test_text_is_as_large_as_it_says():
    capital = label("H", 100, "#ffffff")
    assert capital.height / units(1) == pytest.approx(100 * 0.729, rel=0.02)  # the font's capitals: 0.729 em
    assert equation("H", 100).height / units(1) == pytest.approx(100 * 0.683, rel=0.02)
    with pytest.raises(ValueError, match="back row"):
        label("too small", SMALLEST - 1)


def test_long_text_is_cut_and_says_so():
    text = fitted("a sentence that a model went on with for much too long", 3.0, 40)
    assert text.width <= 3.0 and text.text.endswith("\N{HORIZONTAL ELLIPSIS}")
    assert clean("a\nb\t") == "a b" and clean("\x00") == "(nothing)"


@pytest.mark.parametrize("theme", PALETTES)
def test_every_colour_that_writes_can_be_read(theme):
    palette = PALETTES[theme]
    for name in ("foreground", "muted", "W", "A", "B", "delta", "full", "lora", "qlora", "right", "wrong"):
        assert contrast(getattr(palette, name), palette.background) >= 4.5, name


def test_ink_stands_out_from_every_colour_of_the_maps():
    for theme in PALETTES:
        for red, green, blue in diverging(np.linspace(-1, 1, 200), 1.0, theme):
            ground = f"#{red:02x}{green:02x}{blue:02x}"
            assert contrast(ink(ground), ground) >= 4.5
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
