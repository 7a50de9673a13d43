"""Students get questions and no answers, teachers both, in nbgrader's marks; no export shows an answer too early."""

import ast
import re
from types import SimpleNamespace

import nbformat
import pytest
from nbconvert import HTMLExporter, MarkdownExporter, PythonExporter

from lessons.handout.editions import compose
from lessons.handout.notebooks import make_notebook
from lessons.handout.packed import NotAsked, pack, unpack
from lessons.teaching.coding import parts
from lessons.teaching.course import FOLDER, lessons

SECRETS = ("REASON-", "HINT-", "WHY-NUMBER", "SOLUTION", "TEST-MESSAGE", "1000")


def test_a_students_notebook_holds_no_answer_and_was_not_run(small, tmp_path):
    path = make_notebook(str(small), tmp_path / "out", edition="student")
    text = path.read_text()
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
    assert not [secret for secret in SECRETS if secret in text.replace("measured = 1000 + current", "")]
    for exporter in (HTMLExporter, MarkdownExporter, PythonExporter):
        shown = exporter().from_filename(path)[0].replace("measured = 1000 + current", "")
        assert not [secret for secret in ("REASON-", "HINT-", "WHY-", "SOLUTION") if secret in shown]


def test_a_teachers_differs_in_what_nbgrader_takes_out(small):
    """Its regions removed, as `nbgrader generate_assignment` does, and a function's rest apart, they are the same."""

    def stripped(source):
        source = re.sub(r"^ *### BEGIN HIDDEN TESTS\n.*?\n *### END HIDDEN TESTS\n?", "", source, flags=re.M | re.S)
        return re.sub(r"^ *### BEGIN SOLUTION\n.*?\n *### END SOLUTION\n?", "", source, flags=re.M | re.S).strip()

    student, teacher = compose(small, "student").cells, compose(small, "teacher").cells
    assert [cell.id for cell in student] == [cell.id for cell in teacher]
    assert [cell.metadata for cell in student] == [cell.metadata for cell in teacher]
    for mine, theirs in zip(student, teacher, strict=True):
        if mine.id.startswith("answer"):
            assert "..." in mine.source and "### BEGIN SOLUTION" in theirs.source
            assert stripped(theirs.source) in ("", mine.source.replace(" ...", ""))
        else:
            assert stripped(theirs.source) == mine.source
    assert "return 2 * x" in next(cell.source for cell in teacher if "def double" in cell.source)


@pytest.mark.parametrize("lesson", lessons())
def test_marks_are_nbgraders_and_ids_are_one_each(lesson):
    cells = compose(FOLDER / f"{lesson}.py", "teacher").cells
    nbformat.validate(nbformat.v4.new_notebook(cells=cells))
    assert len({cell.id for cell in cells}) == len(cells)
    marked = [cell.metadata["nbgrader"] for cell in cells if "nbgrader" in cell.metadata]
    assert len({mark["grade_id"] for mark in marked}) == len(marked)
    for mark in marked:
        assert mark["schema_version"] == 3 and mark["grade"] == ("points" in mark) and not mark["task"]
        assert not (mark["grade"] and mark["solution"]) and mark["locked"] != mark["solution"]
    graded, solved = (sum(mark[kind] for mark in marked) for kind in ("grade", "solution"))
    assert graded == solved > 0
    for cell in cells:
        if cell.id.startswith("answer"):
            assert "### BEGIN SOLUTION" in cell.source


@pytest.mark.parametrize("lesson", lessons())
def test_a_lesson_begins_before_it_is_signed(lesson):
    """So whoever fills in a name and runs all again is not told that what was measured before is of another."""
    first, second, *others = (c for c in compose(FOLDER / f"{lesson}.py", "student").cells if c.cell_type == "code")
    assert "begin(__name__" in first.source and second.id == "name"
    assert "begin(__name__" not in "".join(cell.source for cell in others)


@pytest.mark.parametrize("lesson", lessons())
def test_nothing_of_a_lesson_is_lost(lesson):
    """What is packed and what is not, together, is the lesson's code."""
    text = (FOLDER / f"{lesson}.py").read_text(encoding="utf-8")
    source = "".join(cell.source for cell in compose(FOLDER / f"{lesson}.py", "course").cells)
    packed = [unpack(found) for found in re.findall(r"ask\('([^']+)'", source)]
    assert len(packed) == len(re.findall(r"(?<!\w)(?:predict|exercise|exercise_code)\(", text))
    for asks in packed:
        assert asks in text and len([found for found, _ in parts(asks) if found]) >= 1


@pytest.mark.parametrize("lesson", lessons())
def test_what_asks_brings_no_name_that_the_lesson_has(lesson):
    """A lesson calls `ask(model, ...)`, too: what a question imports must not stand in its place."""

    def names(nodes):
        for node in nodes:
            if isinstance(node, ast.ImportFrom):
                yield from (name.asname or name.name for name in node.names)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id

    file = FOLDER / f"{lesson}.py"
    own = {node.id for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Name)}
    cells = [cell for cell in compose(file, "student").cells if re.match("name|question|answer|hand-in", cell.id)]
    brought = set(names(node for cell in cells for node in ast.walk(ast.parse(cell.source))))
    assert brought and not brought & own - {"current"}


def test_a_teachers_notebook_answers_below_its_questions(small, tmp_path, quick_kernel):
    cells = nbformat.read(make_notebook(str(small), tmp_path, edition="teacher"), 4).cells
    said = {cell.id: "".join(one.get("text", "") for one in cell.outputs) for cell in cells if cell.cell_type == "code"}
    assert said["question-2"] == "Exercise: What is it, measured?\n" and said["check-2"] == "Right. WHY-NUMBER\n"
    assert said["check-3"].startswith("Right.") and said["check-4"].startswith("Right.")
    assert "Measured: the other\nWhy: REASON-OTHER." in "".join(said.values())
    assert not [name for name, text in said.items() if name.startswith("question") and "1000" in text]
    errors = [one for cell in cells for one in cell.get("outputs", []) if one.output_type == "error"]
    red = [one for cell in cells for one in cell.get("outputs", []) if one.get("name") == "stderr"]
    assert not errors and not red


def test_the_courses_notebook_says_run_this_cell_where_a_form_would_be(small, tmp_path, quick_kernel):
    cells = {cell.id: cell for cell in nbformat.read(make_notebook(str(small), tmp_path), 4).cells}
    for name in ("question-1", "question-2", "question-3"):
        assert "run this cell" in cells[name].outputs[-1].data["text/plain"]
        assert cells[name].metadata.jupyter.source_hidden and "hide-input" in cells[name].metadata.tags
    assert "widgets" not in nbformat.read(tmp_path / "small.ipynb", 4).metadata
    assert not [one for one in cells.values() if "REASON-ONE" in str(one) or "SOLUTION" in str(one)]


def test_what_was_not_asked_takes_any_answer(watched):
    nothing = NotAsked()
    nothing.check(3)
    assert nothing.is_right(3) and nothing.solved and "not asked here" in watched[1].getvalue()


def test_what_was_not_asked_gives_its_point_where_nbgrader_took_the_answer_out(small, watched, monkeypatch):
    cells = {cell.id: cell.source for cell in compose(small, "teacher").cells}
    there = {"measured": 1000}
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(user_ns=there))
    exec(cells["question-5"], there)
    exec(cells["check-5"], there)  # the hidden test with it
    assert isinstance(there["question_5"], NotAsked)


def test_packing_keeps_the_lines():
    lines = "x = 'é'\n\n# §\ny = 2"
    assert unpack(pack(lines)) == lines
