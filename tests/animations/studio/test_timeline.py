"""What counts as still, and as a swap; and the ledger, the dial and the words that a film reads."""

import json

import numpy as np
import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")

from manim import FadeIn, Square, UpdateFromAlphaFunc, VGroup, tempconfig

from animations.studio import ledger
from animations.studio.camera import RegionCamera
from animations.studio.dial import strongest
from animations.studio.film import FilmScene
from animations.studio.preview import frame_of, walk
from animations.studio.timeline import Timeline
from visualize.mobjects.dial import Dial
from visualize.mobjects.text import label, lines_of, paragraph, register_font


def test_stills_are_what_neither_moves_nor_is_meant():
    timeline = Timeline(moves=[(1.0, 2.0), (1.5, 3.0), (6.0, 7.0)], pauses=[(4.0, 5.0)])
    assert timeline.stills(9.0) == [(0.0, 1.0), (3.0, 4.0), (5.0, 6.0), (7.0, 9.0)]
    assert timeline.still(9.0) == 5.0 and timeline.longest(9.0) == 2.0
    assert Timeline().still(3.0) == 3.0


class Bare(FilmScene):
    title = "Bare"

    def construct(self):
        self.say("Nothing is there.")
        self.hold(5.0)
        self.add(Square(3))
        self.play(FadeIn(Square(1)), run_time=1.0)
        self.finish()


def test_a_scene_that_is_blank_still_and_swaps_is_caught(film_runs, shown):
    scene = walk(Bare, lambda scene: None, width=480, height=270)
    assert scene.timeline.blank
    assert scene.timeline.longest(scene.now) > 4.9
    assert [what for _, what in scene.timeline.swaps] == ["Square appears"]


def test_only_so_many_directions_are_left():
    change = np.random.default_rng(0).normal(size=(12, 7)).astype(np.float32)
    for rank in (1, 3):
        assert np.linalg.matrix_rank(strongest(change, rank), tol=1e-4) == rank
    np.testing.assert_allclose(strongest(change, 7), change, atol=1e-5)
    assert not strongest(change, 0).any() and not strongest(change[0], 0).any()


def row(**changed):
    effect = {"mean": 3.0, "low": 1.0, "high": 5.0, "seeds": 5}
    condition = {"values": [3.0], "effect": effect, "answer": "yes"}
    whole = {"sentence": "A helps.", "verdict": "holds", "effect": "a minus b", "unit": "points", "seeds": 5}
    return whole | {"conditions": {"here": condition}} | changed


@pytest.mark.parametrize(
    "kept", [{}, {"a": row(conditions={})}, {"a": row(seeds=0)}, {"a": {"sentence": "not yet tried"}}, {"a": None}, []]
)
def test_what_was_not_tried_is_not_there(kept, tmp_path, monkeypatch):
    (tmp_path / "claims.json").write_text(json.dumps(kept))
    monkeypatch.setattr(ledger, "KEPT", tmp_path / "claims.json")
    assert ledger.claim("a") is None


def test_a_claim_has_its_interval(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "KEPT", tmp_path / "claims.json")
    assert ledger.claim("a") is None, "no ledger"
    (tmp_path / "claims.json").write_text(json.dumps({"a": row()}))
    found = ledger.claim("a")
    assert found.verdict == "holds" and [(one.low, one.mean, one.high) for one in found.tried] == [(1.0, 3.0, 5.0)]


def test_lines_hold_all_words_and_fit():
    register_font()
    text = "What does the model say when it is asked again and again about one and the same thing"
    lines = lines_of(text, 6.0, 40)
    assert " ".join(lines) == text and len(lines) > 1
    assert max(map(len, lines)) - min(map(len, lines)) < 15, "about equally long"


@pytest.mark.parametrize("text", ["很" * 60, "a" * 150, "see https://example.org/" + "path/" * 20 + " there"])
def test_a_word_longer_than_a_line_is_broken(text):
    register_font()
    lines = lines_of(text, 6.0, 40)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(label(line, 40).width <= 6.0 for line in lines)
    cut = lines_of(text, 6.0, 40, most=2)
    assert len(cut) == 2 and cut[1].endswith("\N{HORIZONTAL ELLIPSIS}")


def test_a_paragraph_is_set_smaller_before_it_is_cut():
    register_font()
    text = "What does the model say when it is asked again and again? "
    assert paragraph(text, 13.0, 3, (60, 40))[1] == 60
    lines, size = paragraph(3 * text, 13.0, 3, (60, 40))
    assert size == 40 and " ".join(lines) == (3 * text).strip()
    lines, size = paragraph(20 * text, 13.0, 3, (60, 40))
    assert len(lines) == 3 and all(label(line, size).width <= 13.0 for line in lines)


class Turning(FilmScene):
    title = "Turning"

    def construct(self):
        dial = Dial(1.5, 1.5, self.colours, self.colours.lora, (0.0, 1.0))
        group = VGroup(dial)
        self.add(group, self.stamp(0))
        self.say("It turns.")
        self.play(UpdateFromAlphaFunc(group, lambda *_: dial.turn(1.0)), run_time=0.2)
        self.drawn = self.renderer.get_frame().copy()
        self.anew = frame_of(self)


def test_what_an_animation_replaces_does_not_stay_in_the_picture(film_runs, shown, tmp_path):
    size = {"pixel_width": 480, "pixel_height": 270, "frame_rate": 10, "dry_run": True, "media_dir": str(tmp_path)}
    with tempconfig(size):
        scene = Turning(camera_class=RegionCamera)
        scene.render()
    np.testing.assert_array_equal(scene.drawn, scene.anew)
