"""The film of measuring: its pair, its dots and its verdict are what was measured of two models."""

import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")

from manim import Circle, Dot

from animations import evaluation
from tests.animations.unmade import unmade


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


def test_the_loss_is_the_mean_over_tokens_that_it_is_called(walked):
    scene = walked(evaluation.Why).scene
    assert "mean over tokens" in scene.captions[0].text and "questions" not in scene.title
    for side, moment in zip(("low", "high"), scene.pair, strict=True):
        asked, tokens = scene.each[side], scene.each[f"{side}_tokens"]
        assert asked.sum() / tokens.sum() == pytest.approx(moment.loss, rel=1e-3)
        assert (asked / tokens).mean() != pytest.approx(moment.loss, rel=1e-3), "each answer by its own mean: another"


@pytest.mark.parametrize("right, said", [((10, 60), "B answers better"), ((60, 10), "A answers better"),
                                         ((40, 41), "no clear difference")])  # fmt: skip
def test_the_verdict_follows_from_the_counts(right, said, walked, monkeypatch):
    scene = walked(evaluation.Parted).scene
    monkeypatch.setattr(scene, "right", lambda: tuple(round(count * len(scene.each) / 84) for count in right))
    assert said in scene.verdict()


def pair_of(scene, low, high):
    return unmade(scene, pair=tuple(evaluation.Moment(None, 0, loss, 0.5) for loss in (low, high)))


@pytest.mark.parametrize("losses, said", [((0.31, 0.95), "prefers A: 0.31, not 0.95"), ((0.31, 0.312), "neither")])
def test_the_loss_prefers_what_it_tells_apart(losses, said, monkeypatch):
    scene = pair_of(evaluation.Parted, *losses)
    assert said in scene.preferred()
    monkeypatch.setattr(scene, "right", lambda: (80, 10))
    scene.each = range(100)
    assert ("A answers better, too" in scene.verdict()) == scene.prefers()


@pytest.mark.parametrize("before, now, said", [(4.9, 1.2, "down from 4.90 to 1.20"), (4.9, 9.3, "up from 4.90 to 9.30"),
                                               (4.9, 4.9, "where it began"), (6.24, 6.17, "down from 6.24 to 6.17")])  # fmt: skip
def test_a_loss_went_where_it_went(before, now, said):
    assert said in evaluation.went(before, now)
    assert evaluation.perplexed(0.0) == "1" and evaluation.perplexed(1000.0) == "e^1000"


def test_of_no_pairs_no_share_is_said():
    scene = unmade(evaluation.Cloud, every=[], parted=[])
    assert "%" not in scene.agreed()
    scene = unmade(evaluation.Cloud, every=[1] * 8, parted=[1] * 2)
    assert scene.agreed() == "Of 8 clearly different pairs it told the better in 75 %."
