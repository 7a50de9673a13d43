"""Which question do two models answer at a film's beginning, and what is heard of it?"""

from types import SimpleNamespace

import pandas as pd
import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")

from animations.studio.twofold import AskedTwice
from glasstune import InputError


def run(name, rows):
    table = pd.DataFrame(rows, columns=["step", "prompt", "answer", "correct"]).assign(skill="spanish")
    return SimpleNamespace(name=name, task="spanish", answers=table)


def scene_of(a, b):
    scene = AskedTwice.__new__(AskedTwice)
    scene.pair = lambda: (a, b)
    return scene


def test_the_question_is_the_first_that_both_were_asked_whatever_they_said():
    a = run(
        "a", [(9, "fox?", "x", False), (0, "cat?", "y", False), (0, "dog?", "y", False), (9, "dog?", "perro", True)]
    )
    b = run(
        "b", [(0, "dog?", "y", False), (0, "cat?", "z", False), (9, "dog?", "gato", False), (9, "cat?", "gato", True)]
    )
    heard = scene_of(a, b).heard()
    assert heard.prompt.unique().tolist() == ["cat?"] and heard.step.tolist() == [0]
    assert heard.answer_a.tolist() == ["y"] and heard.answer_b.tolist() == ["z"]


def test_two_that_were_not_asked_the_same_are_refused():
    a, b = run("a", [(0, "fox?", "x", False)]), run("b", [(0, "dog?", "x", False)])
    with pytest.raises(InputError, match="run a and b were not asked the same question"):
        scene_of(a, b).heard()
