"""How are a student's own lines of code asked for, and tried? On data that was measured, in a terminal or a cell."""

import ast
import itertools
import linecache
import os
import re
import shlex
import subprocess
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import InputError, as_it_was
from engine.language.speaking import tr
from engine.notebook import in_notebook
from engine.reading import check_name, read_text
from lessons.teaching.asking import TRIES, keep, number_of
from lessons.teaching.session import current
from lessons.teaching.showing import show, show_data
from lessons.teaching.written import complete, function_name, source_of


@dataclass
class CodeExercise:
    """A function to write. `check(function)` tries it on what was measured.

    test: gets the function, and fails by an assertion whose message helps.
    """

    question: str
    test: Callable[[Callable[..., Any]], object]
    solution: str
    hint: str
    seed: int | None = None  # of what was measured, as `Session.measured_with` says
    solved: bool = False

    def check(self, function: Callable[..., Any]) -> None:
        """Say whether the student's function does what it should; the answer is kept, and `solved` tells it."""
        if _is_untouched(function):
            show(tr("Write your lines in place of the dots, then run this cell."))
            return
        trouble = self.trouble(function)
        lines = source_of(function, function_name(self.solution))
        keep("exercises", self.question, "code", not trouble, self.seed, code=lines)
        show(tr("Not yet. {trouble}Hint: {hint}", trouble=trouble, hint=self.hint) if trouble else tr("Right."))
        self.solved = not trouble

    def trouble(self, function: Callable[..., Any]) -> str:
        """What is wrong with a function, in a sentence; empty if nothing is."""
        try:
            self.test(function)
        except AssertionError as error:
            said = str(error).split("\n")[0]
            return f"{said}. " if said else tr("It gives another result.") + " "
        except KeyboardInterrupt:
            return tr("It was stopped.") + " "
        except Exception as error:
            return tr("It raised {error}.", error=describe(error)) + " "
        return ""

    def reveal(self) -> None:
        show(
            tr("The lesson's own:") if self.solved else tr("The answer:"),
            *(f"    {line}" for line in self.solution.strip().split("\n")),
        )


def exercise_code(
    question: str, test: Callable[[Callable[..., Any]], object], solution: str, hint: str
) -> CodeExercise:
    """Ask for a function. The next cell, marked `# %% tags=["answer"]`, is where it is written.

    test: called with the student's function; its assertions, on measured data, say what is wrong. solution: the text
    of one that passes, which is tried here, so that a lesson never gives an answer that is wrong. hint: after a
    wrong one. Raises AssertionError if the solution does not pass.
    """
    asked = CodeExercise(question, test, solution, hint, current().measured_with(question))
    scratch: dict[str, Any] = {"np": np}
    exec(solution, scratch)
    trouble = asked.trouble(scratch[function_name(solution)])
    assert not trouble, f"the lesson's own solution fails: {trouble}"
    session = current()
    session.asked = asked
    session.questions.append(asked)
    if in_notebook() and session.forms == "data":
        show_data("code", question, number=number_of(asked), question=question, hint=hint, solution=solution.strip())
    else:
        show(tr("Exercise: {question}", question=question))
    return asked


def describe(error: BaseException) -> str:
    """An error in one line, with the line of the student's code that it came from."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == _FILE]
    if isinstance(error, SyntaxError):
        lines = [error.lineno] if error.lineno else []
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {said}" + (f" (line {lines[-1]})" if lines else "")


_FILE = "your code"


def ask_in_terminal(starter: str, namespace: dict[str, Any]) -> None:
    """The student's cell in a terminal: ask for its lines, run them on a copy of the lesson's names, and check.

    starter: the cell's text. Three tries, then, or when skipped, the answer; without anybody there, the answer.
    """
    asked = current().asked
    assert isinstance(asked, CodeExercise), "a cell marked as an answer follows an exercise_code"
    for _ in range(TRIES if current().interactive and not asked.solved else 0):
        source = _read(starter)
        if source is None:
            break
        scratch = dict(namespace)
        linecache.cache[_FILE] = (len(source), None, source.splitlines(keepends=True), _FILE)  # for `written.source_of`
        try:
            exec(compile(source, _FILE, "exec"), scratch)
        except (Exception, KeyboardInterrupt) as error:
            trouble = tr("It raised {error}.", error=describe(error)) + " "
            show(tr("Not yet. {trouble}Hint: {hint}", trouble=trouble, hint=asked.hint))
            continue
        function = scratch.get(function_name(starter))
        if not callable(function):
            show(tr("Not yet. There is no function called {name}.", name=function_name(starter)))
        else:
            asked.check(function)
        if asked.solved:
            break
    asked.reveal()


def _read(starter: str) -> str | None:
    """The student's code; None if skipped."""
    show(tr("Type your lines; an empty line ends them. Or: e for an editor, a file's name to read it, Enter to skip."))
    lines: list[str] = []
    while line := current().console.input("... " if lines else ">>> ").rstrip():
        if not lines and line.strip() == "e":
            return complete(_from_editor(starter), starter)
        if not lines and line.strip().endswith(".py"):
            try:
                path = check_name(line.strip())
            except InputError as error:
                show(str(error))
                continue
            if path.is_file():
                return complete(read_text(path), starter)
            show(tr("There is no file {path} here.", path=path))
            continue
        lines.append(line)
    return complete("\n".join(lines), starter) if lines else None


def _from_editor(starter: str) -> str:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ("notepad" if os.name == "nt" else "nano")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answer.py"
        path.write_text(starter + "\n", encoding="utf-8")
        try:
            subprocess.run([*shlex.split(editor), str(path)], check=True, env=as_it_was())
        except (OSError, subprocess.CalledProcessError) as error:
            show(f"The editor {editor} did not work ({error}); set the environment variable EDITOR to another.")
        return path.read_text(encoding="utf-8")


def _is_untouched(function: Callable[..., Any]) -> bool:
    def stub(*_: Any) -> None: ...

    code = getattr(function, "__code__", None)
    return code is not None and code.co_code == stub.__code__.co_code


def without_answers(source: str) -> str:
    """A cell's code without its questions, which hold their answers, and the tests of those."""
    found = parts(source)
    if not any(asks for asks, _ in found):
        return source
    return re.sub(r"\n{3,}", "\n\n", "\n\n".join(text for asks, text in found if not asks))


def parts(source: str) -> list[tuple[bool, str]]:
    """A cell's code in order, taken apart: does a part ask something, and its text.

    A part that asks is one statement, with the tests of what it asks before it.
    """
    body = ast.parse(source).body
    calls = [call for node in body for call in _asks(node)]
    given = [value for call in calls for value in (*call.args, *(keyword.value for keyword in call.keywords))]
    tests = {value.id for value in given if isinstance(value, ast.Name)}
    lines = source.split("\n")
    groups = [0] * len(lines)  # even: to be read; odd: asks. What stands after a statement goes with what follows
    group = 0
    for node in body:
        asking = bool(_asks(node))
        if asking or (isinstance(node, ast.FunctionDef) and node.name in tests):
            group += 1 - group % 2
        else:
            group += group % 2
        end = node.end_lineno or node.lineno
        groups[node.lineno - 1 : end] = [group] * (end - node.lineno + 1)
        group += asking  # the next question is a part of its own
        groups[end:] = [group] * (len(lines) - end)
    found = itertools.groupby(zip(groups, lines, strict=True), key=lambda pair: pair[0])
    taken = [(kind % 2 == 1, "\n".join(line for _, line in pairs).strip("\n")) for kind, pairs in found]
    return [(asks, text) for asks, text in taken if text.strip()]


def shown(source: str) -> str:
    """A cell's code as a reader sees it: without questions, and without what is said to a formatter."""
    return re.sub(r"[ \t]*# fmt: skip$", "", without_answers(source), flags=re.MULTILINE)


def _asks(node: ast.stmt) -> list[ast.Call]:
    """The calls of `predict`, `exercise` and `exercise_code` in a statement."""
    calls = (inside for inside in ast.walk(node) if isinstance(inside, ast.Call))
    names = ("predict", "exercise", "exercise_code")
    return [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in names]
