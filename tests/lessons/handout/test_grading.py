"""What is handed in is read with care, and graded by what is measured again; code is tried in a process of its own."""

import csv
import json

import msgspec
import numpy as np
import pytest

from glasstune import InputError
from lessons.grade import main as grade_command
from lessons.handout import grading
from lessons.handout.again import again
from lessons.handout.grading import grade
from lessons.handout.handing import Answer, HandedIn, hand_in, read_handed_in
from lessons.handout.sandbox import Sandbox
from lessons.handout.table import Grade, write
from lessons.handout.tryout import decode, encode
from lessons.teaching import progress, stage
from lessons.teaching.asking import Exercise
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


def answer(question, given="", *, kind="exercise", told=True, code=(), seed=0, lesson="small", **more):
    return Answer(lesson, kind, question, given, told, 1, "", "", seed, code=list(code), **more)


def double(body, told=True, before=(), **more):
    """An answer to the small lesson's exercise in code."""
    code = [*before, "def double(x):", f"    {body}"]
    return answer("write double(x)", "code", kind="code", code=code, told=told, **more)


def hand(folder, answers, file="x", name=""):
    """As students write files, in which half of a character is an escape."""
    folder.mkdir(exist_ok=True)
    (folder / f"{file}.json").write_text(json.dumps(msgspec.to_builtins(HandedIn(name or file, answers))))


@pytest.fixture
def reruns(monkeypatch, watched):
    """Lessons are run again in this process, where that takes no time; gives what each was about."""
    ran = []

    def here(lesson, about, answers, _):
        ran.append(about)
        todo = [{**msgspec.to_builtins(one), "code": "\n".join(one.code)} for one in answers]
        return again(lesson, *about[1:], todo)

    monkeypatch.setattr(grading, "_rerun", here)
    return ran


def test_answers_are_graded_by_what_is_measured_anew(small, ada, reruns):
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
    (ada.parent / "cara.json").write_bytes(msgspec.json.encode(HandedIn("cara", [])))
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
    assert [row["given"] for row in rows if row["question"] == "Which?" and row["lesson"] == "small"] == ["'=1+1"]
    assert len(rows) == 8 + 2 and {row["file"]: row["note"][:18] for row in rows if not row["kind"]} == {
        "notes.json": str(ada.parent / "notes.json")[:18], "cara.json": "it holds no answer",
    }  # fmt: skip


def test_a_lesson_runs_again_in_a_process_of_its_own(small, ada, monkeypatch):
    ada.parent.mkdir()
    for name in ("json", "numpy", "lessons"):  # a student's, who knows where grading is started
        (ada.parent / f"{name}.py").write_text("open('run', 'w')")
    monkeypatch.chdir(ada.parent)
    asked = [answer("What is it, measured?", "1005", seed=5), answer("Else?", seed=5)]
    ada.write_bytes(msgspec.json.encode(HandedIn("Ada L", asked)))
    assert {one.question: one.right for one in grade(ada.parent, own=[small])[1]} == {
        asked[0].question: "yes",
        "Else?": "",
    }
    assert not (ada.parent / "run").exists()


@pytest.mark.parametrize(("text", "cell"), [
    ("=1+1", "'=1+1"), ("  @SUM(1)", "  '@SUM(1)"), ("x;=cmd|' /C calc'!A0;y", "x;'=cmd|' /C calc'!A0;y"),
    ("x\n+1", "x\n'+1"), ("a - b, -c", "a - b, -c"), ("-0.5", "-0.5"), ("-0,5", "-0,5"), ("Ana-Maria", "Ana-Maria"),
])  # fmt: skip
def test_no_answer_is_a_spreadsheets_formula(text, cell, tmp_path):
    """Semicolons part cells where commas part decimals."""
    write([Grade("ada.json", given=text)], tmp_path / "grades.csv")
    with (tmp_path / "grades.csv").open(newline="", encoding="utf-8") as file:
        assert next(csv.DictReader(file))["given"] == cell


@pytest.mark.parametrize(
    "body, told, right",
    [
        ("return TWO * x", True, "yes"),
        ("return math.ldexp(x.sum() * 0 + 1, 1) * x", True, "yes"),
        ("return root(4) * x", True, "yes"),
        ("return 2 * x * measured / measured", True, ""),  # which is an answer, so it is not there
        ("return 2 * x * measured / measured", False, "no"),
        ("import nowhere; return 2 * x", True, ""),
        ("return 3 * x", True, "no"),
    ],
)
def test_code_is_right_where_the_lesson_said_so_or_a_teacher_looks(small, ada, reruns, body, told, right):
    """There it had the lesson's names."""
    small.write_text(small.read_text().replace("import numpy as np\n", "import math\nimport numpy as np\nTWO = 2\n"))
    hand(ada.parent, [double(body, told, ["from math import sqrt as root"])])
    (found,) = grade(ada.parent, own=[small])[1]
    assert found.right == right and (found.look == "yes") == (right == "" or told != (right == "yes"))
    assert ("lacks what it had there" in found.note) == (right == "")


def test_one_answer_spoils_no_other(small, ada, reruns, monkeypatch):
    """Of two students with one seed, so with one run of the lesson."""
    is_right = Exercise.is_right

    def fails(self, given):
        return is_right(self, given) if given != "BREAKS" else 1 / 0

    monkeypatch.setattr(Exercise, "is_right", fails)
    hand(ada.parent, [answer("Which?", "9" * 5000, told=False), double("\ud800", False)], "a")
    hand(ada.parent, [answer("Which?", "2"), double("return x + x")], "b")
    hand(ada.parent, [answer("Which?", "BREAKS"), double("\0", False)], "c")
    hand(ada.parent, [answer("Which?", "2", seed=7)], "d", "\ud800")
    found = {(one.file[0], one.kind): one for one in grade(ada.parent, own=[small])[1]}
    rights = {who: found[who].right for who in found}
    assert rights == {
        ("a", "exercise"): "no", ("a", "code"): "no", ("b", "exercise"): "yes", ("b", "code"): "yes",
        ("c", "exercise"): "", ("c", "code"): "no", ("d", "exercise"): "yes",
    }  # fmt: skip
    assert "could not be tried (ZeroDivisionError" in found["c", "exercise"].note and len(reruns) == 2


def test_files_stay_apart_and_a_question_counts_once(small, ada, reruns, capsys):
    right, wrong = answer("Which?", "B"), answer("Which?", "A", told=False)
    hand(ada.parent, [right, wrong, right], "ada-1", "Ada")
    hand(ada.parent, [wrong], "ada-2", "Ada")
    hand(ada.parent, [], "bob", "Bob")
    grades = grade(ada.parent, own=[small])[1]
    assert [(one.file, one.right) for one in grades if one.kind] == [("ada-1.json", "yes"), ("ada-2.json", "no")]
    first = next(one for one in grades if one.file == "ada-1.json")
    assert first.look and "answered 3 times in this file" in first.note
    assert not next(one.look for one in grades if one.file == "ada-2.json")
    assert grade_command([str(ada.parent), "--lesson", str(small)]) == 1
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["ada-1.json", "Ada", "1", "1", "1"] in said and ["ada-2.json", "Ada", "0", "1", "0"] in said
    assert ["bob.json", "Bob", "0", "0", "1"] in said


def test_a_lesson_answered_in_two_languages_is_looked_at(small, ada, reruns):
    hand(ada.parent, [answer("Which?", "B"), answer("Welche?", "B", language="de"), answer("?", lesson="other")])
    found = {one.question: one.note for one in grade(ada.parent, own=[small])[1]}
    assert {question for question, note in found.items() if "several languages" in note} == {"Which?", "Welche?"}


def test_whose_numbers_they_are_is_told(small, ada, reruns):
    """Bob has copied Ada's file and written his name on it."""
    hers = answer("What is it, measured?", str(1000 + seed_of("Ada")), seed=seed_of("Ada"))
    hand(ada.parent, [hers], "ada", "Ada")
    hand(ada.parent, [hers], "bob", "Bob")
    hand(ada.parent, [answer("What is it, measured?", "1000", quick=True)], "cara", "Cara")
    found = {one.name: one for one in grade(ada.parent, own=[small])[1]}
    assert {name: one.right for name, one in found.items()} == {"Ada": "yes", "Bob": "yes", "Cara": "yes"}
    assert {name: one.look for name, one in found.items()} == {"Ada": "", "Bob": "yes", "Cara": ""}
    assert found["Ada"].note == "" and found["Bob"].note == "answered with another name's seed"
    assert "without a name" in found["Cara"].note and "short training" in found["Cara"].note
    assert found["Cara"].quick == "yes"


def test_a_teacher_sees_where_a_student_was_told_otherwise(small, ada, reruns, capsys):
    hand(ada.parent, [double("return 3 * x"), answer("Which?", "2", told=False), answer("Which one?")])
    assert grade_command([str(ada.parent), "--lesson", str(small)]) == 1
    assert ["x.json", "x", "1", "2", "3"] in [line.split() for line in capsys.readouterr().out.splitlines()]
    found = {one.question: one for one in grade(ada.parent, own=[small])[1]}
    assert found["write double(x)"].note.startswith("TEST-MESSAGE; the student was told otherwise")


def test_a_file_cannot_have_lessons_run_without_end(small, ada, reruns):
    many = [answer(f"Which {'?' * seed}", "B", seed=seed) for seed in range(50)]
    hand(ada.parent, [*many, *(answer("Which?", "B", lesson=f"none-{n}") for n in range(50))])
    grades = grade(ada.parent, own=[small])[1]
    assert len(reruns) == grading.MOST_TRAININGS and len(grades) == 100
    assert sum("more than 4 trainings" in one.note for one in grades) == 50 - grading.MOST_TRAININGS
    assert all(one.look for one in grades)


def test_ones_own_model_is_not_the_courses(small, ada, reruns, monkeypatch):
    small.write_text(small.read_text().replace("1000 + current().seed", "1000 * (1 + current().own)"))
    both = [answer("What is it, measured?", "1000"), answer("What is it, measured?", "2000", own=True)]
    for place, one in enumerate(both):
        hand(ada.parent, [one], f"{place}")
    first, second = sorted(grade(ada.parent, own=[small])[1], key=lambda one: one.file)
    assert first.right == "yes" and second.right == "" and second.look and "model or data" in second.note
    monkeypatch.setenv("LESSON_MODEL", "embedded")  # the course's own
    assert {one.file: one.right for one in grade(ada.parent, own=[small])[1]} == {"0.json": "yes", "1.json": ""}
    monkeypatch.setenv("LESSON_DATA", "colours.jsonl")  # the teacher has what they have
    assert [one.right for one in grade(ada.parent, own=[small])[1]] == ["yes", "yes"]


def test_where_no_table_can_be_written_nothing_is_run(small, ada, reruns, tmp_path):
    hand(ada.parent, [answer("Which?", "B")])
    for out in (tmp_path / "nowhere" / "grades.csv", tmp_path):
        with pytest.raises(InputError, match="is no f"):
            grade(ada.parent, out, own=[small])
    assert not reruns


def test_a_table_that_a_teacher_has_written_into_is_moved_aside(small, ada, reruns, capsys):
    hand(ada.parent, [answer("Which?", "B")])
    path, _ = grade(ada.parent, own=[small])
    path.write_text("mine")
    assert grade(ada.parent, own=[small])[0] == path and path.read_text() != "mine"
    assert path.with_name("grades.csv.kept-1").read_text() == "mine"
    assert "grades.csv.kept-1" in capsys.readouterr().out


def test_what_other_lessons_handed_in_stays(ada, capsys):
    progress.note("lora", "exercises", "how many?", given="3", right=True, seed=seed_of("Ada L"))
    hand_in("Ada L", ["lora"], ada.parent)
    progress.forget(["lora"])  # as in a notebook's folder that is not the first one's
    progress.note("full", "exercises", "how many?", given="4", right=True, seed=seed_of("Bob"))
    hand_in("Ada L", ["full"], ada.parent)
    hand_in("Ada L", ["full"], ada.parent)
    assert [(one.lesson, one.given) for one in read_handed_in(ada).answers] == [("lora", "3"), ("full", "4")]
    said = capsys.readouterr().out
    assert "2 answers of Ada L, of 2 lessons" in said and said.count("1 of them are about another name's numbers") == 2
    progress.note("lora", "exercises", "how many?", given="5", right=True)
    hand_in("Ada L", [], ada.parent)
    assert {one.lesson: one.given for one in read_handed_in(ada).answers} == {"lora": "5", "full": "4"}


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


def test_all_calls_together_have_their_time():
    """Else a test that calls often waits that often."""
    with Sandbox("import time\ndef f(x): time.sleep(0.6); return x", "f", seconds=2) as there:
        assert there.call(1) == 1
        with pytest.raises(TimeoutError, match="no answer within 2 s"):
            for _ in range(9):
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
