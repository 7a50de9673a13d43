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


def test_the_question_is_one_that_only_the_first_got_right_in_the_end():
    a = run(
        "a", [(0, "fox?", "x", False), (0, "dog?", "y", False), (9, "fox?", "zorro", True), (9, "dog?", "perro", True)]
    )
    b = run(
        "b", [(0, "fox?", "x", False), (0, "dog?", "y", False), (9, "fox?", "zorro", True), (9, "dog?", "gato", False)]
    )
    heard = scene_of(a, b).heard()
    assert heard.prompt.unique().tolist() == ["dog?"] and heard.step.tolist() == [0, 9]
    assert heard.answer_a.tolist() == ["y", "perro"] and heard.answer_b.tolist() == ["y", "gato"]


def test_or_else_one_that_both_got_right():
    rows = [(0, "fox?", "x", False), (9, "fox?", "y", False), (0, "dog?", "y", False), (9, "dog?", "perro", True)]
    assert scene_of(run("a", rows), run("b", rows)).heard().prompt.unique().tolist() == ["dog?"]


def test_two_that_were_not_asked_the_same_are_refused():
    a, b = run("a", [(0, "fox?", "x", False)]), run("b", [(0, "dog?", "x", False)])
    with pytest.raises(InputError, match="run a and b were not asked the same question"):
        scene_of(a, b).heard()
