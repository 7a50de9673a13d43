"""Which of the answers that were handed in are right? Every lesson is run again, with the seed that they are about, and
they are compared with what it measures now; a student's code is tried on that, in a process of its own.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from engine.errors import InputError, printable
from engine.files import whole
from engine.reading import parse_json, read_text
from engine.terminal import note, progress_bar
from lessons.handout.handing import Answer, HandedIn, read_handed_in
from lessons.teaching.course import lessons

LESSON_LIMIT = 1800  # seconds


@dataclass(frozen=True)
class Grade:
    """A line of the table. right: by what was measured anew; empty for a prediction, which is not graded, and where it
    could not be told. told: what the student was told. measured: the answer, anew. note: what a teacher should know."""

    name: str
    lesson: str
    kind: str
    question: str
    given: str
    right: str
    told: str
    measured: str
    tries: int
    first: str
    last: str
    seed: int
    note: str


def grade(
    folder: Path, out: Path | None = None, limit: int = LESSON_LIMIT, own: Sequence[Path] = ()
) -> tuple[Path, list[Grade]]:
    """Grade every file that was handed into a folder; returns the table's file (grades.csv in it) and its lines.

    limit: the seconds that a lesson may take. own: lessons that are no part of the course, by their files; what a
    student's file names is never run as a path. Raises InputError where there is nothing to grade; a file that is not
    what `hand_in` writes, and a lesson that fails, are said, and the others are graded.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    handed = list(_read(sorted(folder.glob("*.json"))))
    if not handed:
        raise InputError(f"nothing that hand_in writes lies in {folder}")
    files = {path.stem: str(path) for path in own}
    groups: dict[tuple[str, int, bool, str], list[tuple[str, Answer]]] = defaultdict(list)
    for one in handed:
        for answer in one.answers:
            groups[answer.lesson, answer.seed, answer.quick, answer.language].append((one.name, answer))
    grades: list[Grade] = []
    path = out or folder / "grades.csv"
    for about, answers in progress_bar(sorted(groups.items(), key=lambda one: one[0]), unit="lesson"):
        lesson, *how = about
        try:
            found = _rerun(files[lesson] if lesson in files else _known(lesson), how, answers, limit)
        except InputError as error:
            note(str(error))
            found = [{"note": str(error)}] * len(answers)
        grades += [_grade(name, answer, one) for (name, answer), one in zip(answers, found, strict=True)]
        write(grades, path)  # what was graded stays, should the next be stopped
    return path, grades


def _read(paths: Iterable[Path]) -> Iterable[HandedIn]:
    for path in paths:
        try:
            yield read_handed_in(path)
        except InputError as error:
            note(str(error))


def _known(lesson: str) -> str:
    if lesson not in lessons():
        raise InputError(f"there is no lesson called {lesson!r}; name your own with --lesson mine.py")
    return lesson


def _rerun(lesson: str, how: Sequence[Any], answers: Sequence[tuple[str, Answer]], limit: int) -> list[dict[str, Any]]:
    """What `again` finds of these answers, in a process of its own. how: seed, quick or not, language."""
    with tempfile.TemporaryDirectory() as scratch:
        asked, said = Path(scratch) / "asked.json", Path(scratch) / "said.json"
        todo = [
            {"kind": one.kind, "question": one.question, "given": one.given, "code": "\n".join(one.code)}
            for _, one in answers
        ]
        asked.write_text(json.dumps({"lesson": lesson, "how": list(how), "answers": todo}))
        command = [sys.executable, "-m", "lessons.handout.again", str(asked), str(said)]
        ours = {"GLASSTUNE_HOME": scratch, "MPLBACKEND": "Agg", "PYTHONPATH": os.pathsep.join(sys.path)}
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env={**os.environ, **ours})
        except subprocess.TimeoutExpired:
            raise InputError(f"lesson {lesson} took longer than {limit} s; give it more time with --timeout") from None
        if done.returncode or not said.exists():
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise InputError(f"lesson {lesson} could not be run again: {last.removeprefix('error: ')}")
        return list(parse_json(read_text(said)))


def _grade(name: str, answer: Answer, found: dict[str, Any]) -> Grade:
    right = found.get("right")
    said = found.get("note", "")
    if right is not None and right != answer.told and not said:
        said = "the student was told otherwise: measured there and here, it is not the same"
    return Grade(
        name=name, lesson=answer.lesson, kind=answer.kind, question=answer.question,
        given=answer.given if answer.kind != "code" else "\n".join(answer.code),
        right="" if right is None else "yes" if right else "no",
        told="" if answer.kind == "prediction" else "yes" if answer.told else "no",
        measured=str(found.get("measured", "")), tries=answer.tries, first=answer.first, last=answer.last,
        seed=answer.seed, note=said,
    )  # fmt: skip


def write(grades: Sequence[Grade], path: Path) -> None:
    """The table, as CSV. Text that a spreadsheet would take for a formula gets a quote before it."""
    try:
        with whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, [field.name for field in fields(Grade)])
            table.writeheader()
            for one in grades:
                table.writerow({what: _harmless(value) for what, value in asdict(one).items()})
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); give another file with --out") from None


def _harmless(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = printable(value, keep="\n")
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
