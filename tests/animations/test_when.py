"""The film of the choice: what it says and reads is what the models say and read."""

import numpy as np
import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")

from animations import when
from engine.data import load
from engine.evaluate import generate_answers
from engine.evaluate.prompting import brackets
from engine.models import load_model, load_tokenizer
from tests.animations.unmade import unmade


@pytest.mark.parametrize("scene", [when.Asked, when.Unseen])
def test_the_answers_are_the_models_own(scene, walked):
    shown, beats = walked(scene).scene, walked(scene).beats
    data = brackets() if shown.task == "brackets" else load(shown.task)
    question, right = (turn["content"] for turn in data.heldout[0])
    asked = [[{"role": "user", "content": text}] for text in (question, f"{when.ORDERS[shown.task]} {question}")]
    said = generate_answers(load_model("embedded"), load_tokenizer("embedded"), asked, 24)
    assert [shown.prompts.said[way] for way in ("asked", "told")] == said
    words = [word.text for word in beats[0].words]
    assert question in words and right in words
    for beat, way in zip(beats[1:4], ("told", "shown", "trained"), strict=True):
        spoken = shown.prompts.said[way].strip()
        mark = "\N{CHECK MARK}" if spoken == right else "\N{MULTIPLICATION X}"
        assert any(word.text.rstrip("\N{HORIZONTAL ELLIPSIS}") and f"{mark} {spoken}".startswith(
            word.text.rstrip("\N{HORIZONTAL ELLIPSIS}")) for word in beat.words if word.text.startswith(mark))  # fmt: skip
        assert f"{shown.prompts.read[way]} tokens to read" in [word.text for word in beat.words]
    assert shown.prompts.read["shown"] > shown.prompts.read["told"] > shown.prompts.read["trained"]


def test_an_outcome_names_the_ways_that_worked(walked):
    scene = walked(when.Asked).scene
    said, right = scene.prompts.said, scene.prompts.right
    for ways in ((), ("told",), ("shown", "trained")):
        scene.prompts = scene.prompts._replace(said={way: right if way in ways else "no" for way in said})
        worked = scene.outcome()
        assert ("No way worked" in worked) == (not ways)
        assert [name for name in ("telling", "showing", "training") if name in worked] == [
            {"told": "telling", "shown": "showing", "trained": "training"}[way] for way in ways
        ]
    scene.prompts = scene.prompts._replace(said=said)


@pytest.mark.parametrize("last, level, said", [
    (0.8, 0.2, "clearly above showing (20 %) from 8 examples on"), (0.24, 0.2, "too few questions tell"),
    (0.1, 0.5, "does not pass showing"), (1.0, 0.98, "no room above it"),
])  # fmt: skip
def test_a_prompt_is_passed_by_more_than_chance(last, level, said, monkeypatch):
    scene = unmade(when.Trained)
    monkeypatch.setattr(scene, "graded", lambda: 60)
    assert said in scene.passed(np.array([2.0, 8.0]), np.array([0.0, last]), "showing", level)


@pytest.mark.parametrize("scores, said", [
    ((0.0, 0.05, 0.05), "no way was enough"), ((0.0, 0.0, 0.0), "no way was enough"), ((0.0, 0.3, 0.4), "no way"),
    ((1.0, 1.0, 1.0), "telling was enough"), ((0.95, 0.97, 1.0), "telling was enough"),
    ((0.49, 0.5, 0.55), "telling was enough"), ((0.1, 0.98, 1.0), "showing was enough"), ((0.0, 0.1, 0.9), "training was needed"),
])  # fmt: skip
@pytest.mark.parametrize("asked", [100, 8])
def test_what_hardly_works_is_not_enough(scores, said, asked, monkeypatch):
    scene = unmade(when.Choice)
    monkeypatch.setattr(scene, "graded", lambda: asked)
    assert said in scene.advice(dict(zip(("told", "shown", "trained"), scores, strict=True)))
