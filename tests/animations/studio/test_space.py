"""Perspective, and the zoom from a weight to the model: what lies where, worked out on its own."""

import numpy as np
import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")

from manim import config, tempconfig

from animations.studio.camera import RegionCamera, _lay_over, _premultiplied
from animations.studio.film import quiet, watched_module
from animations.studio.space import Sheets, View
from animations.studio.zoom import NEAR, Zoom
from visualize.mobjects.matrix import MatrixImage, units
from visualize.theme import PALETTES, diverging

RANDOM = np.random.default_rng(0)
DARK = PALETTES["dark"]


@pytest.fixture(autouse=True)
def quietly(tmp_path):
    quiet()
    with tempconfig({"media_dir": str(tmp_path), "pixel_width": 1920, "pixel_height": 1080}):
        yield


def test_a_view_from_the_front_changes_nothing_in_the_middle_plane():
    points = RANDOM.normal(size=(9, 3)) * [3, 2, 0]
    np.testing.assert_allclose(View().project(points), points)


def test_what_is_twice_as_far_is_half_as_large():
    view = View(distance=10.0)
    near, far = view.project(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, -10.0]]))
    np.testing.assert_allclose(near[:2], 2 * far[:2])


def test_a_quarter_turn_shows_the_edge():
    width = np.ptp(View(turn=np.pi / 2, distance=1e9).project(np.array([[-2.0, 0, 0], [2.0, 0, 0]]))[:, 0])
    assert width == pytest.approx(0, abs=1e-6)


def sheet(limit=3.0):
    return MatrixImage(RANDOM.normal(size=(16, 16)), limit, 16, DARK.W, "dark")


def test_sheets_seen_from_the_front_lie_where_they_lay():
    one = sheet().settle()
    before = one.image.points.copy()
    Sheets([one], one.get_center()).see(View(), 0.5)
    np.testing.assert_allclose(one.image.points, before, atol=1e-9)


def test_a_nearer_sheet_is_larger_and_one_that_has_not_come_is_not_seen():
    stack = Sheets([sheet(), sheet()], [0, 0, 0]).see(View(), 2.0, [1.0, 0.0])
    far, near = (np.ptp(one.image.points[:, 0]) for one in stack)
    assert near > far
    assert stack[1].image.pixel_array[..., 3].max() == 0 and stack[0].image.pixel_array[..., 3].min() == 255


def test_the_camera_draws_a_tilted_picture_between_its_corners():
    one = sheet()
    Sheets([one], [0, 0, 0]).see(View(turn=0.6, tilt=0.3), 0.0)
    camera = RegionCamera(pixel_width=1920, pixel_height=1080)
    camera.capture_mobjects([one.image])
    frame = camera.pixel_array
    middle = one.image.points.mean(axis=0)
    column, row = (int((middle[0] / config.frame_width + 0.5) * 1920), int((0.5 - middle[1] / 8) * 1080))
    assert frame[row, column, :3].any()
    outside = frame[: int((0.5 - one.image.points[:, 1].max() / 8) * 1080) - 2]
    assert (outside[..., :3] == outside[0, 0, :3]).all(), "nothing beyond its corners"


def test_a_tilted_picture_lies_over_the_frame_by_its_opacity():
    below, over = RANDOM.integers(0, 256, (40, 30, 4), np.uint8), RANDOM.integers(0, 256, (40, 30, 4), np.uint8)
    below[..., 3] = 255
    for opacity in (RANDOM.choice([0, 255], (40, 30)), RANDOM.choice([0, 90, 255], (40, 30), p=[0.5, 0.1, 0.4]), 90):
        over[..., 3] = opacity
        seen, frame = np.asarray(_premultiplied(over)), below.copy()
        _lay_over(frame, seen)
        share = over[..., 3:] / 255
        np.testing.assert_allclose(frame[..., :3], over[..., :3] * share + below[..., :3] * (1 - share), atol=1.5)
        assert (frame[..., 3] == 255).all()


def test_a_tilted_picture_that_has_not_come_draws_nothing():
    one = sheet()
    Sheets([one], [0, 0, 0]).see(View(turn=0.6, tilt=0.3), 0.0, [0.0])
    camera = RegionCamera(pixel_width=1920, pixel_height=1080)
    before = camera.pixel_array.copy()
    camera.capture_mobjects([one.image])
    np.testing.assert_array_equal(camera.pixel_array, before)


def test_the_zoom_begins_at_one_weight_and_ends_at_the_model(full_run):
    module = watched_module(full_run)
    zoom = Zoom(full_run, module, "dark", DARK)
    weight = full_run.weight(module)
    row, column = np.argwhere(weight == np.float32(zoom.value))[0]
    camera = RegionCamera(pixel_width=1920, pixel_height=1080)
    camera.capture_mobjects([zoom.image])
    seen = camera.pixel_array[540, 960, :3]
    np.testing.assert_array_equal(seen, diverging(np.array([zoom.value]), zoom.model.limit, "dark")[0])
    assert zoom.in_sight() < 60 and units(NEAR) > 3
    zoom.to(1.0)
    np.testing.assert_allclose(zoom.image.points, zoom.whole, atol=1e-9)
    assert zoom.in_sight() == zoom.weights == full_run.info.model.parameters
    assert np.abs(weight[row, column]) >= np.quantile(np.abs(weight), 0.85)
