"""The film of measuring: its pair, its dots and its verdict are what was measured of two models."""

import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")

from manim import Circle, Dot

from animations import evaluation


def test_both_models_answer_the_same_question_at_their_step(walked):
    scene, beats = walked(evaluation.Two).scene, walked(evaluation.Two).beats
    (last,) = [scene.asked()[-1]]
    words = [word.text for word in beats[-1].words]
    assert last in words
    for moment in scene.pair:
        rows = moment.run.answers
        (row,) = rows[(rows.step == moment.step) & (rows.prompt == last)].itertuples()
        shown = row.answer.strip()[:5]
        assert any(word.startswith(shown) for word in words), "as it was captured"


def test_a_dot_a_question(walked):
    scene = walked(evaluation.Parted).scene
    for side, x in zip(("low", "high"), scene.sides, strict=True):
        dots = [dot for row in scene.dots(side, x) for dot in row]
        verdicts = [isinstance(dot, Dot) for dot in dots]
        assert all(isinstance(dot, Circle) for dot in dots) and verdicts == [
            bool(v) for v in scene.each[f"{side}_right"]
        ]
    assert scene.pair[0].loss <= scene.pair[1].loss


@pytest.mark.parametrize("right, said", [((10, 60), "B answers better"), ((60, 10), "A answers better"),
                                         ((40, 41), "no clear difference")])  # fmt: skip
def test_the_verdict_follows_from_the_counts(right, said, walked, monkeypatch):
    scene = walked(evaluation.Parted).scene
    monkeypatch.setattr(scene, "right", lambda: tuple(round(count * len(scene.each) / 84) for count in right))
    assert said in scene.verdict()
