"""What differs between the notebooks of a lesson? One to read and touch, one for students to fill in, one for teachers.

In all of them plumbing is folded away, and what asks is packed (see `packed`), so that no answer stands above its
question in whatever the notebook is exported to. For students and teachers an exercise is answered in a cell of its
own, with nbgrader's marks: the teacher's is a source that `nbgrader generate_assignment` takes, the student's is what
that would hand out, but with dots where it puts an error.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from engine.language.speaking import ENGLISH, speaking, tr
from lessons.handout.packed import pack
from lessons.teaching.coding import parts, shown
from lessons.teaching.language import said_in
from lessons.teaching.percent import HIDDEN, Cell, read_cells
from lessons.teaching.written import function_name

Edition = Literal["course", "student", "teacher"]
_NAME = """\
from lessons.teaching.session import current

# {why}
NAME = ""
current().sign(NAME)"""
_HAND_IN = """\
# {why}
from lessons.handout.handing import hand_in_here

hand_in_here(NAME)"""
_FIRST = "from lessons.handout import packed as _packed\n"  # by a name that no lesson has
_DOTS = "answer_{number} = ...  # {how}"


def compose(source: Path, edition: Edition, language: str = ENGLISH) -> Any:
    """A lesson's notebook in this edition and language, not run. source: its file."""
    import jupytext

    text = said_in(source, language)
    notebook = jupytext.reads(text, "py:percent")
    with speaking(language):
        notebook.cells = list(_Composer(source.stem, edition).cells(list(read_cells(text))))
    return notebook


class _Composer:
    """Makes a notebook's cells of a lesson's, with ids that stay the same from one writing to the next."""

    def __init__(self, lesson: str, edition: Edition) -> None:
        self.lesson, self.edition = lesson, edition
        self.graded = edition != "course"
        self.questions = 0
        self.ids: dict[str, int] = {}

    def cells(self, cells: list[Cell]) -> Iterator[Any]:
        from nbformat.v4 import new_markdown_cell

        begun = False
        solution = ""
        for cell in cells:
            if cell.kind == "markdown":
                yield new_markdown_cell(cell.text, id=self._id("text"))
                continue
            if cell.kind == "answer":
                yield from self._function(cell.text, solution)
                continue
            for asks, text in parts(cell.text):
                if asks:
                    solution = solution_in(text) or solution
                    yield from self._question(text)
                else:
                    yield self._code(shown(text), "code", folded=HIDDEN in cell.tags, tags=cell.tags)
            if not begun and self.graded:  # after `begin`: whoever runs all again, with a name now, begins again first
                whose = tr(
                    "yours, between the quotes: your numbers are then your own, and your teacher knows whose they are"
                )
                yield self._code(_NAME.format(why=whose), "name")
            begun = True
        if self.graded:
            what = tr(
                "Writes what you answered, your code, tries and times into a file beside this notebook, to hand in."
            )
            yield self._code(_HAND_IN.format(why=what), "hand-in")

    def _question(self, text: str) -> Iterator[Any]:
        """The cell that asks, folded; and for an exercise that is no code, the cells to answer and to check it."""
        self.questions += 1
        number = self.questions
        below = self.graded and _asks_by_value(text)
        how = f"question_{number} = _packed.ask({pack(text)!r}{', below=True' if below else ''})"
        if below:  # nbgrader takes the whole answer out of what it releases, and a question may not be asked
            how += f"\nanswer_{number} = ..."
        asks = tr("A question: run this cell, and answer below.")  # what one sees of it while it is folded
        yield self._code(f"# {asks}\n{_FIRST}\n{how}", f"question-{number}", folded=True, nbgrader={"locked": True})
        if not below:
            return
        how = tr("yours, in place of the dots: a number (0.5, no comma), a word in quotes, or a choice's number")
        mine = _DOTS.format(number=number, how=how)
        if self.edition == "teacher":
            mine = _between("SOLUTION", f"answer_{number} = question_{number}.answer")
        yield self._code(mine, f"answer-{number}", nbgrader={"solution": True})
        said = f"question_{number}.check(answer_{number});"
        yield self._check(number, said, f"question_{number}.is_right(answer_{number})")

    def _function(self, starter: str, solution: str) -> Iterator[Any]:
        """The cell in which a function is written, and the one that tries it; in one where nothing is graded."""
        number = self.questions
        if not self.graded:
            yield self._code(starter, f"answer-{number}", tags=("answer",))
            return
        head, check = _apart(starter)
        if self.edition == "teacher" and solution:
            head = _solved(head, solution)
        yield self._code(head, f"answer-{number}", nbgrader={"solution": True})
        yield self._check(number, check, f"question_{number}.solved")

    def _check(self, number: int, said: str, test: str) -> Any:
        """The cell that checks an answer; the teacher's also fails if it is wrong, as nbgrader grades."""
        hidden = _between("HIDDEN TESTS", f'assert {test}, "not right yet"')
        source = f"{said}\n{hidden}" if self.edition == "teacher" else said
        return self._code(source, f"check-{number}", nbgrader={"grade": True, "locked": True, "points": 1})

    def _code(
        self, source: str, name: str, *, folded: bool = False, tags: tuple[str, ...] = (),
        nbgrader: dict[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        from nbformat.v4 import new_code_cell

        metadata: dict[str, Any] = {}
        if folded:
            metadata["jupyter"] = {"source_hidden": True}  # a click opens it
            tags = tuple(dict.fromkeys((*tags, HIDDEN)))
        if tags:
            metadata["tags"] = list(tags)
        if nbgrader and self.graded:
            marks = {"grade": False, "locked": False, "solution": False, "task": False, "schema_version": 3}
            metadata["nbgrader"] = {**marks, "grade_id": f"{self.lesson}-{name}", **nbgrader}
        return new_code_cell(source, id=self._id(name), metadata=metadata)

    def _id(self, name: str) -> str:
        self.ids[name] = self.ids.get(name, 0) + 1
        return name if name[-1].isdigit() or self.ids[name] == 1 else f"{name}-{self.ids[name]}"


def _asks_by_value(text: str) -> bool:
    """Does it ask for a number, a word or a choice, rather than a guess or code?"""
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "exercise"
        for node in ast.walk(ast.parse(text))
    )


def solution_in(text: str) -> str:
    """The solution that an `exercise_code` gives as text; empty if there is none."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "exercise_code":
            given = [keyword.value for keyword in node.keywords if keyword.arg == "solution"] + node.args[2:3]
            if given and isinstance(given[0], ast.Constant):
                return str(given[0].value).strip()
    return ""


def _between(what: str, lines: str, indent: str = "") -> str:
    return f"{indent}### BEGIN {what}\n{lines}\n{indent}### END {what}"


def _apart(starter: str) -> tuple[str, str]:
    """A student's cell as the function to write, and the line that has it checked."""
    body = ast.parse(starter).body
    last = body[-1].lineno - 1
    lines = starter.split("\n")
    return "\n".join(lines[:last]).rstrip(), "\n".join(lines[last:])


def _solved(head: str, solution: str) -> str:
    """The solution, with its function's lines between nbgrader's marks."""
    wanted = function_name(head)
    lines = solution.split("\n")
    for node in ast.parse(solution).body:
        if isinstance(node, ast.FunctionDef) and node.name == wanted:
            start = node.body[0].lineno - 1
            indent = lines[start][: len(lines[start]) - len(lines[start].lstrip())]
            inside = _between("SOLUTION", "\n".join(lines[start : node.end_lineno]), indent)
            return "\n".join([*lines[:start], inside, *lines[node.end_lineno :]])
    return solution
