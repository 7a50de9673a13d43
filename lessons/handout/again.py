"""What does a lesson measure, with this seed, of the questions that were answered? It is walked through once more, with
nobody there: python -m lessons.handout.again ASKED SAID, two JSON files. Called by `grading`.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from engine.errors import InputError, command, first_line
from engine.files import write_text
from engine.language.speaking import speak, spoken
from engine.terminal import Terminal
from lessons.handout.lent import lent
from lessons.handout.sandbox import Sandbox
from lessons.teaching.asking import Exercise, Prediction
from lessons.teaching.coding import CodeExercise
from lessons.teaching.course import file_of
from lessons.teaching.language import said_in
from lessons.teaching.percent import Cell, read_cells
from lessons.teaching.progress import name_of
from lessons.teaching.session import Session, configure
from lessons.teaching.showing import plain
from lessons.teaching.walk import Walk
from lessons.teaching.written import complete, function_name

_NOT_ASKED = "not asked when the lesson was run again"
_NO_LINES = "its lines were not handed in"
_LACKING = ("NameError", "ImportError", "ModuleNotFoundError")  # what is here may have been there


class Again(Walk):
    """A walk that tries what was handed in instead of asking for it. `tried` has what was found of each code."""

    def __init__(self, path: Path, cells: list[Cell], session: Session, answers: list[dict[str, Any]]) -> None:
        super().__init__(path, cells, session)
        self.answers = answers
        self.tried: dict[int, dict[str, Any]] = {}

    def run(self) -> None:
        """All cells, up to the last that was answered."""
        wanted = {name_of(answer["question"]) for answer in self.answers}
        for number, cell in enumerate(self.cells, 1):
            self.number = number
            if cell.kind == "answer":
                self._try_all(self.session.asked, cell.text)
            elif cell.kind == "code":
                self._run(cell)
            if cell.kind != "markdown" and wanted <= self._settled(after=cell.kind):
                break

    def _settled(self, after: str) -> set[str]:
        """What needs no more cells: exercises; predictions once they are revealed; code once it was tried."""
        return {
            name_of(asked.question)
            for asked in self.session.questions
            if isinstance(asked, Exercise)
            or (isinstance(asked, Prediction) and (asked.measured is not None or asked.undecided))
            or (isinstance(asked, CodeExercise) and (asked is not self.session.asked or after == "answer"))
        }

    def _try_all(self, asked: CodeExercise, starter: str) -> None:
        for place, answer in enumerate(self.answers):
            if answer["kind"] == "code" and name_of(answer["question"]) == name_of(asked.question):
                self.tried[place] = _of_this_one(partial(self._try, answer["code"], asked, starter))

    def _try(self, code: str, asked: CodeExercise, starter: str) -> dict[str, Any]:
        """As `found`. lacks: it failed over a name or module that may have been there, in the lesson."""
        code, lacks = complete(code, starter), False
        with Sandbox(code, function_name(starter), lent(code, self.namespace)) as there:

            def call(*values: Any) -> Any:
                nonlocal lacks
                try:
                    return there.call(*values)
                except Exception as error:
                    lacks = type(error).__name__ in _LACKING
                    raise

            trouble = asked.trouble(call).strip()
        return {"right": not trouble, "note": trouble, "lacks": lacks}

    def found(self) -> list[dict[str, Any]]:
        """Of each answer: right, measured and note, as far as they can be told."""
        asked = {name_of(one.question): one for one in self.session.questions}
        return [_of_this_one(partial(self._found, *numbered, asked)) for numbered in enumerate(self.answers)]

    def _found(self, place: int, answer: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
        match asked.get(name_of(answer["question"])):
            case Exercise() as one if answer["kind"] == "exercise":
                return {"right": one.is_right(answer["given"]), "measured": plain(one.answer)}
            case Prediction() as one if answer["kind"] == "prediction":
                return {"measured": one.measured or "", "note": one.undecided}
            case CodeExercise():
                return self.tried.get(place, {"note": _NO_LINES})
        return {"note": _NOT_ASKED}


def _of_this_one(find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is found of an answer; what it breaks is not broken for the others."""
    try:
        return find()
    except Exception as error:
        return {"note": f"this answer could not be tried ({type(error).__name__}: {first_line(error)})"}


def again(
    lesson: str, seed: int, quick: bool, own: bool, language: str, answers: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Walk through a lesson once more; gives what `Again.found` does. own: on the model and data that the environment
    names, which the course's own answers are not about."""
    path = file_of(lesson)
    speak(language)
    cells = list(read_cells(said_in(path, spoken())))
    with tempfile.TemporaryDirectory() as scratch:
        session = Session(
            lesson=path.stem, out=Path(scratch), quick=quick, console=Terminal(quiet=True), given_seed=seed
        )
        if not own:
            session.model = session.data = ""
        configure(session)
        walk = Again(path, cells, session, answers)
        walk.run()
        return walk.found()


def main(arguments: list[str] | None = None) -> int:
    asked, said = (Path(name) for name in (arguments or sys.argv[1:]))
    told = json.loads(asked.read_text(encoding="utf-8"))
    try:
        seed, quick, own, language = told["how"]
        found = again(told["lesson"], seed, quick, own, language, told["answers"])
    except AssertionError as error:
        raise InputError(f"what it asserts did not come out ({error})") from None
    write_text(said, json.dumps(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(command(main)())
