"""The films' building blocks: they hold captured values, can be read, and say so when they cannot."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")

from manim import Camera, Square, Text, tempconfig

from animations.studio.camera import RegionCamera
from animations.studio.film import quiet
from visualize.mobjects import text as lettering
from visualize.mobjects.answers import AnswerTable, answers_at, questions
from visualize.mobjects.bars import Bars, Row
from visualize.mobjects.curve import LossCurve
from visualize.mobjects.magnifier import Magnifier
from visualize.mobjects.matrix import MatrixImage, cell_pixels, units
from visualize.mobjects.model import WholeModel
from visualize.mobjects.plane import Path, Plane
from visualize.mobjects.strengths import Strengths
from visualize.mobjects.strips import Strips
from visualize.mobjects.text import clean, fitted, label, register_font, signed, sit
from visualize.theme import PALETTES, glow_rgba, ink_on

COLOURS = PALETTES["dark"]
RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def quietly(tmp_path):
    quiet()
    register_font()
    with tempconfig({"media_dir": str(tmp_path), "pixel_width": 1920, "pixel_height": 1080}):
        yield


def matrix(rows=64, columns=48, cell=4):
    return MatrixImage(RANDOM.standard_normal((rows, columns)), 2.0, cell, "#ffffff", "dark")


def drawn(camera_class, *mobjects):
    camera = camera_class(background_color="#14161b")
    camera.capture_mobjects(mobjects)
    return camera.pixel_array


@pytest.mark.parametrize("rows, columns, cell", [(64, 48, 4), (128, 128, 4), (8, 128, 4), (5, 5, 112), (300, 200, 2)])
@pytest.mark.parametrize("place", [(0, 0, 0), (-3.9, -0.25, 0), (2.71828, 1.41421, 0)])
def test_region_camera_draws_as_stock_manim_does(rows, columns, cell, place):
    one = matrix(rows, columns, cell).move_to(place).settle()
    np.testing.assert_array_equal(drawn(RegionCamera, one, Square()), drawn(Camera, one, Square()))


def test_region_camera_draws_what_is_half_outside_half_seen_or_turned():
    outside = matrix().move_to([-7.2, 3.9, 0]).settle()
    np.testing.assert_array_equal(drawn(RegionCamera, outside), drawn(Camera, outside))
    faded = matrix().settle()
    faded.image.set_opacity(0.4)
    difference = drawn(RegionCamera, Square(), faded).astype(int) - drawn(Camera, Square(), faded)
    assert np.abs(difference).max() <= 1, "rounding"
    turned = matrix().rotate(0.3)
    difference = drawn(RegionCamera, turned).astype(int) - drawn(Camera, turned)
    assert np.abs(difference).mean() < 2, "smoothed between cells"
    gone = matrix()
    gone.image.set_opacity(0)
    np.testing.assert_array_equal(drawn(RegionCamera, gone.image), drawn(Camera))


def test_a_matrix_shows_its_values_one_cell_each():
    one = matrix(8, 6, cell=10).settle()
    frame = drawn(RegionCamera, one.image)
    left = round((one.image.get_left()[0] / 14.2222 + 0.5) * 1920)
    top = round((0.5 - one.image.get_top()[1] / 8) * 1080)
    np.testing.assert_array_equal(frame[top + 5 : top + 80 : 10, left + 5 : left + 60 : 10], one.image.pixel_array)


def test_other_values_keep_the_scale_and_the_opacity():
    one = matrix()
    one.image.set_opacity(0.5)
    before = one.image.pixel_array[0, 0, 3]
    one.show(np.zeros((64, 48)))
    assert one.limit == 2.0 and (one.image.pixel_array[..., 3] == before).all()


@pytest.mark.parametrize("shape", [(128, 128), (1, 8), (384, 128), (4096, 4096), (260, 260)])
def test_cells_are_even_and_fit(shape):
    cell = cell_pixels(shape)
    assert (cell % 2 == 0 or cell == 1) and cell * min(512, max(shape)) <= 520


def test_small_text_is_refused():
    with pytest.raises(ValueError, match="back row"):
        label("tiny", 20)


@pytest.mark.parametrize("text", ["", "\n\t", "\x1b[31mred", "a\nb", "ñ ¿ à"])
def test_any_answer_of_a_model_can_be_set(text):
    assert clean(text) and "\n" not in clean(text)
    assert label(text, 30).width > 0


def test_long_text_is_cut_where_it_ends():
    cut = fitted("word " * 100, 4.0)
    assert cut.width <= 4.0 and cut.original_text.endswith("\N{HORIZONTAL ELLIPSIS}")


@pytest.mark.parametrize("width", [160, 854, 3840])
def test_a_line_stays_one_line_whatever_the_video(width, tmp_path):
    with tempconfig({"pixel_width": width, "media_dir": str(tmp_path / str(width))}):
        assert label("a caption that is as long as captions can be, and then some", 40).height < 0.5


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "text, size, bold", [("step 57", 28, False), ("Wavy Té fi 12.5 % → “q”", 48, True), ("×− …✓✗", 34, False)]
)
def test_a_label_is_set_as_manims_own_text(text, size, bold, known, monkeypatch):
    """known: whether the way in which this cairo writes outlines is one that we read ourselves."""
    if not known:
        monkeypatch.setattr(lettering, "SVG", "{unknown}")
    lettering._set.cache_clear()
    ours = label(text, size, "#ff8800", bold)
    with lettering._one_line():
        own = Text(
            f"|{text}", font="DejaVu Sans", font_size=size * 0.72, color="#ff8800", weight="BOLD" if bold else "NORMAL"
        )
    own.remove(own.submobjects[0])
    lettering._set.cache_clear()
    assert len(ours) == len(own) > 0
    for letter, true in zip(ours, own, strict=True):
        np.testing.assert_allclose(letter.points, true.points, atol=1e-9)
        np.testing.assert_array_equal(letter.fill_rgbas, true.fill_rgbas)
        np.testing.assert_array_equal(letter.stroke_rgbas, true.stroke_rgbas)


def test_a_label_can_be_changed_without_changing_the_next():
    label("twice", 40).shift([1, 2, 0]).set_opacity(0.3)[0].points[:] = 0
    again = label("twice", 40)
    assert again[0].points.any() and again[0].get_fill_opacity() == 1
    assert np.abs(again.get_center()).max() < 1


@pytest.mark.parametrize("text, letters", [("Hallo", 5), ("שלום", 4), ("✓ שלום עולם", 9), ("a שלום", 5)])
def test_no_letter_is_lost_whichever_way_it_is_written(text, letters):
    assert len(label(text)) == letters


@pytest.mark.parametrize("text", ["שלום", "\ue000\ue001 ab", "中文", "ab \U0001f9ff"])
def test_what_says_where_the_line_is_is_never_seen(text):
    """Also where a font has no such letter, whose box is drawn first."""
    strut = label("|").height
    assert max(letter.height for letter in label(text)) < strut - 0.01


def test_lines_do_not_depend_on_letters():
    low, high = sit(label("gpqy", 40), 0, 1), sit(label("xxxx", 40), 0, 1)
    assert low.get_top()[1] == pytest.approx(high.get_top()[1], abs=0.06)
    assert low.get_bottom()[1] < high.get_bottom()[1] - 0.03


@pytest.mark.parametrize("value, text", [(-0.001, "0.00"), (-0.5, "\N{MINUS SIGN}0.50"), (0.126, "0.13")])
def test_numbers_have_true_signs(value, text):
    assert signed(value) == text


def test_a_curve_is_drawn_as_far_as_its_step():
    steps, losses = np.arange(1, 11), np.linspace(5, 1, 10)
    curve = LossCurve(steps, losses, 4.0, 2.0, COLOURS)
    curve.upto(4)
    ends = (curve.line.get_end() - curve.axes[1].get_bottom())[:2]
    np.testing.assert_allclose(ends, [4 * 4.0 / 10, losses[3] * 2.0 / 5], atol=1e-6)
    assert not len(curve.upto(0).line.points)


def test_a_loss_that_is_no_number_is_left_out():
    curve = LossCurve(np.arange(1, 4), np.array([2.0, np.nan, 1.0]), 4.0, 2.0, COLOURS).upto(3)
    assert np.isfinite(curve.line.points).all()


def test_one_infinite_loss_does_not_flatten_the_others():
    curve = LossCurve(np.arange(1, 5), np.array([2.0, np.inf, np.nan, 1.0]), 4.0, 2.0, COLOURS).upto(4)
    heights = (curve.line.points - curve.axes[1].get_bottom())[:, 1]
    assert heights.max() == pytest.approx(2.0), "the largest finite loss is as high as the axis"
    assert np.isfinite(LossCurve(np.arange(2), np.full(2, np.inf), 4.0, 2.0, COLOURS).upto(1).axes[1].points).all()


def test_bars_are_as_long_as_their_numbers():
    bars = Bars("title", [Row("a", 4.0, "4", "#ffffff"), Row("b", 1.0, "1", "#ffffff")], 4.0, 6.0, COLOURS)
    assert [bar.width for bar in bars.bars] == pytest.approx([6.0, 1.5])


def test_answers_are_the_last_ones_known():
    answers = pd.DataFrame(
        [(0, "es", "q1", "x", "a", False), (0, "old", "q2", "y", "y", True), (8, "es", "q1", "x", "x", True),
         (8, "old", "q2", "y", "z", False)],
        columns=["step", "skill", "prompt", "expected", "answer", "correct"],
    )  # fmt: skip
    asked = questions(answers, "es", 1, 1)
    assert asked == ["q1", "q2"]
    assert list(answers_at(answers, 7, asked).answer) == ["a", "y"]
    table = AnswerTable(answers_at(answers, 8, asked), 5.0, COLOURS)
    assert [text.original_text[0] for text in table[1::2]] == ["\N{CHECK MARK}", "\N{MULTIPLICATION X}"]
    assert len(AnswerTable(answers.iloc[:0], 5.0, COLOURS)) == 0


def test_units_are_pixels_of_1080p():
    assert units(1080) == pytest.approx(8)


def test_a_whole_model_has_a_pixel_for_every_weight(full_run):
    model = WholeModel(full_run, "dark").show("change", full_run.steps[-1])
    claimed = np.zeros(model.pixels, int)
    for tile in model.tiles.values():
        claimed[tile.top : tile.top + tile.rows, tile.left : tile.left + tile.columns] += 1
    assert claimed.max() == 1, "no two tiles overlap"
    assert claimed.sum() == model.weights == full_run.info.model.parameters
    frame = drawn(RegionCamera, model.move_to([0, 0, 0]).settle())
    name = "model.layers.2.mlp.up_proj"
    tile, corner = model.tiles[name], model.image.get_corner(np.array([-1, 1, 0]))
    left, top = round((corner[0] / 14.2222 + 0.5) * 1920) + tile.left, round((0.5 - corner[1] / 8) * 1080) + tile.top
    truth = full_run.delta(name)
    assert truth.shape == (384, 128) and (tile.rows, tile.columns) == (128, 384), "long matrices lie on their side"
    seen = frame[top : top + 128, left : left + 384]
    np.testing.assert_array_equal(seen, glow_rgba(truth.T, model.limit, "dark"))


def test_a_vector_that_is_longer_than_its_row_goes_on_in_a_next_column(full_run):
    tile = WholeModel(full_run, "dark").tiles["model.norm"]
    long = type(tile)("x", (5,), 0, 0, 0, 2, 3)
    np.testing.assert_array_equal(long.fold(np.arange(5)), [[0, 2, 4], [1, 3, np.nan]])
    np.testing.assert_array_equal(tile.fold(np.arange(128))[:, 0], np.arange(128))


def test_no_change_glows_not_at_all_and_both_signs_alike():
    values = np.array([0.0, 0.5, -0.5, 9.0, np.nan])
    shown = glow_rgba(values, 1.0, "dark")
    np.testing.assert_array_equal(shown[0], shown[4])
    np.testing.assert_array_equal(shown[1], shown[2])
    np.testing.assert_array_equal(shown[3], glow_rgba(np.array([1.0]), 1.0, "dark")[0])
    assert ink_on(shown[0]) == "#ffffff" and ink_on(shown[3]) == "#000000"


def test_strips_are_drawn_as_far_as_their_step(lora_run):
    steps = list(lora_run.skills.index)
    strips = Strips(lora_run, 300, 20, "dark", names=300)
    assert strips.scores.columns[0] == lora_run.task
    assert not len(strips.shown()) and not len(strips.numbers)
    assert list(strips.upto(steps[2]).shown().index) == steps[:3]
    assert len(strips.numbers) == lora_run.skills.shape[1]


def test_paths_end_where_the_run_does(lora_run, full_run):
    plane = Plane([Path(lora_run, "#ffffff"), Path(full_run, "#ffffff")], 4.0, 3.0, COLOURS).upto(1.0)
    assert plane.drawn == [len(lora_run.skills), len(full_run.skills)]
    assert plane.upto(0.0).drawn == [1, 1]
    badges = plane.lines[-1]
    assert np.linalg.norm(badges[0].get_center() - badges[1].get_center()) > 0.5, "numbers do not cover each other"


def test_a_magnifier_writes_the_weights_themselves():
    one = matrix()
    near = Magnifier(one, 3, [3.0, 0.0, 0.0])
    assert [text.original_text for text in near.numbers] == [signed(value) for value in one.values[:3, :3].ravel()]


def test_strengths_are_as_long_as_singular_values():
    bars = Strengths(np.array([4.0, 1.0]), 1, 0.0, 0.0, 2.0, COLOURS)[1]
    assert [bar.width for bar in bars] == pytest.approx([2.0, 0.5])
