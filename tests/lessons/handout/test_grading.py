"""What is handed in is read with care, and graded by what is measured again; code is tried in a process of its own."""

import csv
import json

import msgspec
import numpy as np
import pytest

from glasstune import InputError
from lessons.handout import grading
from lessons.handout.again import again
from lessons.handout.grading import grade
from lessons.handout.handing import Answer, HandedIn, hand_in, read_handed_in
from lessons.handout.sandbox import Sandbox
from lessons.handout.tryout import decode, encode
from lessons.teaching import progress, stage
from lessons.teaching.session import seed_of
from lessons.teaching.walk import main


@pytest.fixture
def ada(tmp_path):
    return tmp_path / "handed" / "Ada-L.json"


def test_a_students_answers_code_tries_and_times_are_handed_in(watched, small, ada, monkeypatch):
    typed, _ = watched
    typed += [""]
    monkeypatch.setattr(stage.current(), "lesson", "small")
    monkeypatch.setattr(stage.current(), "student", "Ada L")
    own = 1000 + seed_of("Ada L")
    asked = stage.exercise("What is it, measured?", own, "HINT", choices=())
    asked.check(own)
    asked.check(3)
    written = stage.exercise_code("write double(x)", lambda f: None, "def double(x):\n    return 2 * x", hint="")

    def double(x):
        return x + x

    written.check(double)
    path = hand_in("  Ada  L ", [str(small)], ada.parent)
    kept = json.loads(path.read_text())
    assert path == ada and kept["name"] == "Ada L" and "Ada L" in json.dumps(kept)
    number, code = kept["answers"]
    assert number["given"] == str(own) and number["told"] and number["tries"] == 2, "what was right is handed in"
    assert number["seed"] == seed_of("ada l") and number["first"] <= number["last"]
    assert code["kind"] == "code" and [line.strip() for line in code["code"]] == ["def double(x):", "return x + x"]
    hand_in("Ada L", [str(small)], ada.parent)
    with pytest.raises(InputError, match="another student's"):
        hand_in("Ada L.", [str(small)], ada.parent)
    with pytest.raises(InputError, match="nothing was answered"):
        hand_in("Ada L", ["lora"], ada.parent)
    with pytest.raises(InputError, match="Give a name"):
        hand_in(" ", [str(small)], ada.parent)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"name": "x"}', '{"name": "x", "answers": [{}]}', "[" * 100_000, '{"format": 2}', "\xff"]
)
def test_what_nobody_handed_in_is_refused_in_one_sentence(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=r"is not what hand_in writes|cannot be read as JSON|holds no JSON object"):
        read_handed_in(path)


def answer(question, given="", *, kind="exercise", told=True, code=(), seed=0, lesson):
    return Answer(lesson, kind, question, given, told, 1, "", "", seed, False, list(code))


def test_answers_are_graded_by_what_is_measured_anew(small, ada, monkeypatch, watched):
    def here(lesson, how, answers, _):
        todo = [{**msgspec.to_builtins(one), "code": "\n".join(one.code)} for _, one in answers]
        return again(lesson, *how, todo)

    monkeypatch.setattr(grading, "_rerun", here)  # in this process; the next test is about another
    ada.parent.mkdir()
    lesson = "small"
    seed = seed_of("ada")
    right = ["def double(x):", "    return x + x"]
    handed = {
        "ada": [
            answer("which is larger?", "the one", kind="prediction", seed=seed, lesson=lesson),
            answer("What is it, measured?", str(1000 + seed), seed=seed, lesson=lesson),
            answer("write double(x)", "code", kind="code", code=right, seed=seed, lesson=lesson),
        ],
        "bob": [
            answer("What is it, measured?", str(1000 + seed), lesson=lesson),  # looked up at Ada's
            answer("Which?", "=1+1", told=False, lesson=lesson),
            answer("write double(x)", "code", kind="code", code=["def double(x):", "    return 1 / 0"], lesson=lesson),
            answer("Never asked?", "7", lesson=lesson),
            answer("Which?", "B", lesson=str(small)),  # a path of the student's own
        ],
    }
    for name, answers in handed.items():
        (ada.parent / f"{name}.json").write_bytes(msgspec.json.encode(HandedIn(name, answers)))
    (ada.parent / "notes.json").write_text("{}")
    path, grades = grade(ada.parent, own=[small])
    by = {(one.name, one.question): one for one in grades if one.lesson == "small"}
    assert {key: one.right for key, one in by.items()} == {
        ("ada", "which is larger?"): "", ("ada", "What is it, measured?"): "yes", ("ada", "write double(x)"): "yes",
        ("bob", "What is it, measured?"): "no", ("bob", "Which?"): "no", ("bob", "write double(x)"): "no",
        ("bob", "Never asked?"): "",
    }  # fmt: skip
    assert by["ada", "which is larger?"].measured == "the other"
    assert (
        by["bob", "What is it, measured?"].measured == "1,000"
        and "told otherwise" in by["bob", "What is it, measured?"].note
    )
    assert "ZeroDivisionError: division by zero (line 2)" in by["bob", "write double(x)"].note
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert next(one.note for one in grades if one.lesson == str(small)).startswith("there is no lesson called")
    assert len(rows) == 8 and [
        row["given"] for row in rows if row["question"] == "Which?" and row["lesson"] == "small"
    ] == ["'=1+1"]


def test_a_lesson_runs_again_in_a_process_of_its_own(small, ada):
    ada.parent.mkdir()
    asked = [answer("What is it, measured?", "1005", seed=5, lesson="small"), answer("Else?", seed=5, lesson="small")]
    ada.write_bytes(msgspec.json.encode(HandedIn("Ada L", asked)))
    assert {one.question: one.right for one in grade(ada.parent, own=[small])[1]} == {
        asked[0].question: "yes",
        "Else?": "",
    }


def test_an_empty_folder_is_said(tmp_path):
    with pytest.raises(InputError, match="nothing that hand_in writes"):
        grade(tmp_path)
    with pytest.raises(InputError, match="there is no folder"):
        grade(tmp_path / "no")


@pytest.mark.parametrize(
    "code, message",
    [
        ("def f(x): return x +", "invalid syntax"),
        ("def g(x): return x", "'f'"),
        ("def f(x): return undefined", r"name 'undefined' is not defined \(line 1\)"),
        ("def f(x):\n    while True: pass", "more time|no answer"),
        ("def f(x):\n    import os; os._exit(0)", "ended the process"),
        ("def f(x): return object()", "object cannot be handed over"),
        ("def f(x): return bytearray(1 << 40)", "line 1"),
        ("def f(x):\n    open('here', 'w').write('x' * 9999999)", "File too large|ended"),
    ],
)
def test_code_that_misbehaves_harms_only_itself(code, message):
    with Sandbox(code, "f", seconds=2) as there, pytest.raises(Exception, match=message):
        there.call(1)


def test_values_travel_and_printing_does_not():
    values = [1, 2.5, "é", None, True, (1, [2]), {"a": (1,)}]
    assert decode(json.loads(json.dumps(encode(values)))) == values
    code = "def f(x, many):\n    print('{\"value\": 9}')\n    return x * np.float32(2), many"
    with Sandbox(code, "f") as there:
        doubled, many = there.call(np.arange(6.0).reshape(2, 3), {"k": [1]})
        assert np.array_equal(doubled, 2 * np.arange(6.0).reshape(2, 3)) and many == {"k": [1]}
        assert there.call(np.int64(2), 0)[0] == 4


def test_a_students_seed_is_theirs_in_a_terminal_too(small, tmp_path, capsys):
    main(str(small), ["--auto", "--out", str(tmp_path / "runs"), "--student", "Ada"])
    assert f"{(1000 + seed_of('ada')) / 2}" in capsys.readouterr().out
    assert seed_of("") == 0 and seed_of(" ADA ") == seed_of("ada") != seed_of("bob")
    assert not progress.load("small")
