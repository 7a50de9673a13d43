"""Charts of several curves and maps of a loss surface: what is drawn lies where its numbers say."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")

from engine.evaluate.landscape import Landscape
from visualize.mobjects.chart import Axis, Chart, Series, polyline
from visualize.mobjects.surface import SurfaceMap
from visualize.mobjects.text import register_font
from visualize.theme import PALETTES

COLOURS = PALETTES["dark"]


@pytest.fixture(autouse=True)
def font():
    register_font()


def test_a_chart_draws_as_far_as_x_and_where_the_values_lie():
    series = Series("one", np.array([0.0, 1.0, 2.0]), np.array([1.0, np.nan, 100.0]), "#ffffff")
    chart = Chart([series], 4.0, 2.0, Axis("x", 0, 2), Axis("y", 1, 100, log=True), COLOURS).shift([1, 1, 0])
    corner = chart.across.get_start()
    np.testing.assert_allclose(chart.place(1, 10) - corner, [2.0, 1.0, 0.0], atol=1e-9)
    assert len(chart.upto(1).heads) == 1 and len(chart.drawn(series, 1)) == 1, "what is no number is left out"
    np.testing.assert_allclose(chart.upto(2).heads[0].get_center() - corner, [4.0, 2.0, 0.0], atol=1e-9)


def test_a_pen_goes_along_the_line_and_dots_stay_where_something_was_measured():
    series = Series("s", np.array([0.0, 1.0, 3.0]), np.array([0.0, 4.0, 2.0]), "#fff")
    chart = Chart([series], 3.0, 4.0, Axis("x", 0, 3), Axis("y", 0, 4), COLOURS)
    corner = chart.across.get_start()
    for x, end, head in (
        (0.5, [0.5, 2.0], [0, 0]),
        (1.0, [1, 4], [1, 4]),
        (2.0, [2, 3], [1, 4]),
        (3.0, [3, 2], [3, 2]),
    ):
        chart.upto(x, pen=True)
        np.testing.assert_allclose((chart.lines[0].points[-1] - corner)[:2], end, atol=1e-9)
        np.testing.assert_allclose((chart.heads[0].get_center() - corner)[:2], head, atol=1e-9)


def test_a_broken_line_begins_and_ends_where_a_whole_one_does():
    points = np.array([[0.0, 0, 0], [1, 1, 0], [3, 1, 0]])
    whole = polyline(points, "solid", "#ffffff")
    for dash in ("dashed", "dotted"):
        broken = polyline(points, dash, "#ffffff")
        assert len(broken.get_subpaths()) > 3 and broken.get_start() == pytest.approx(whole.get_start())
        assert broken.get_arc_length() < whole.get_arc_length()


def test_a_map_puts_a_path_above_the_ground_it_walked_on():
    x, y = np.arange(-1, 4) * 0.5, np.arange(-1, 2) * 0.5
    losses = 0.1 + x[None, :] ** 2 + y[:, None] ** 2
    path = pd.DataFrame({"x": [0.0, 1.0], "y": [0.0, 0.5], "outside": [0.0, 0.0]}, index=[0, 1])
    ground = Landscape(x, y, {"task": losses}, {"run": path}, {"run": {"task": 1.0}})
    surface = SurfaceMap(ground, "task", 40, {"run": ("#ffffff", "solid")}, COLOURS).shift([1, 2, 0])
    corners = surface.place(x[0] - 0.25, y[0] - 0.25), surface.place(x[-1] + 0.25, y[-1] + 0.25)
    for corner, direction in zip(corners, ([-1, -1, 0], [1, 1, 0]), strict=True):
        np.testing.assert_allclose(corner, surface.image.get_corner(np.array(direction)), atol=1e-6)
    np.testing.assert_allclose(surface.upto(1).heads[-1].get_center(), surface.place(1.0, 0.5), atol=1e-6)
    lowest = surface.image.pixel_array[::-1][np.unravel_index(losses.argmin(), losses.shape)]
    assert tuple(lowest[:3]) == tuple(bytes.fromhex(COLOURS.background[1:]))
    assert ground.on_plane("task", "run", 0) == losses[1, 1]
