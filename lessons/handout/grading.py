"""Which of the answers that were handed in are right? Every lesson is run again, with the seed that they are about, and
they are compared with what it measures now; a student's code is tried on that, in a process of its own.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from engine.errors import InputError
from engine.files import aside, check_out
from engine.reading import parse_json, read_text
from engine.terminal import note, progress_bar
from lessons.handout.handing import Answer, HandedIn, read_handed_in
from lessons.handout.table import Grade, write
from lessons.teaching.course import FOLDER, lessons
from lessons.teaching.progress import name_of
from lessons.teaching.session import Session, seed_of

LESSON_LIMIT = 1800  # seconds
MOST_TRAININGS = 4  # of a lesson in one file: a student's own, nobody's, each quick or not

_OTHERWISE = "the student was told otherwise: measured there and here, it is not the same"
_LACKED = "the student was told that it is right; here it lacks what it had there"
_OTHERS = "answered with another name's seed"
_NOBODYS = "answered without a name, about the numbers that all have"
_LANGUAGES = "the file answers this lesson in several languages, so that a question may count twice"
_QUICK = "answered after the short training (--quick)"
_OWN = (
    "about a model or data of the student's own: name yours as it was, with LESSON_MODEL and LESSON_DATA, to have it "
    "graded"
)


class Training(NamedTuple):
    """What an answer is about, and what has to be run again for it."""

    lesson: str
    seed: int
    quick: bool
    own: bool
    language: str


class Handed(NamedTuple):
    """One answer of a file. doubts: what of the file speaks against counting it as others."""

    file: str
    name: str
    answer: Answer
    doubts: list[str]

    @property
    def training(self) -> Training:
        one = self.answer
        return Training(one.lesson, one.seed, one.quick, one.own, one.language)


def grade(
    folder: Path, out: Path | None = None, limit: int = LESSON_LIMIT, own: Sequence[Path] = ()
) -> tuple[Path, list[Grade]]:
    """Grade every file that was handed into a folder; returns the table's file (grades.csv in it) and its lines.

    limit: the seconds that a lesson may take. own: lessons that are no part of the course, by their files; what a
    student's file names is never run as a path. An earlier table is moved aside. Raises InputError where there is
    nothing to grade, or the table cannot be written; a file that is not what `hand_in` writes, and a lesson that fails,
    are said, and the others are graded.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    path = check_out(out or folder / "grades.csv")
    files = {file.stem: str(file) for file in own}
    handed, grades = _read(folder)
    if path.exists():  # a teacher writes into it, where it says look
        note(f"the earlier table is now {aside(path).name}")
    groups: dict[Training, list[Handed]] = defaultdict(list)
    for one, why in _bounded(handed, {*files, *lessons()}):
        if why:
            grades.append(_grade(one, {"note": why}))
        else:
            groups[one.training].append(one)
    for about, answers in progress_bar(sorted(groups.items(), key=lambda one: one[0]), unit="lesson"):
        try:
            found = _rerun(files.get(about.lesson, about.lesson), about, [one.answer for one in answers], limit)
        except InputError as error:
            note(str(error))
            found = [{"note": str(error)}] * len(answers)
        grades += [_grade(*both) for both in zip(answers, found, strict=True)]
        write(grades, path)  # what was graded stays, should the next be stopped
    write(grades, path)
    return path, grades


def _read(folder: Path) -> tuple[list[Handed], list[Grade]]:
    """The answers of all files, and a line of the table for each file without any."""
    handed: list[Handed] = []
    without: list[Grade] = []
    readable = False
    for path in sorted(folder.glob("*.json")):
        try:
            one = read_handed_in(path)
        except InputError as error:
            note(str(error))
            without.append(Grade(path.name, look="yes", note=str(error)))
            continue
        readable = True
        handed += _answers(path.name, one)
        if not one.answers:
            without.append(Grade(path.name, one.name, look="yes", note="it holds no answers"))
    if not readable:
        raise InputError(f"nothing that hand_in writes lies in {folder}")
    return handed, without


def _answers(file: str, one: HandedIn) -> Iterator[Handed]:
    """The first answer to each question."""
    same: dict[tuple[str, str, str], list[Answer]] = defaultdict(list)
    languages: dict[str, set[str]] = defaultdict(set)
    for answer in one.answers:
        same[answer.lesson, answer.kind, name_of(answer.question)].append(answer)
        languages[answer.lesson].add(answer.language)
    for answers in same.values():
        doubts = [f"answered {len(answers)} times in this file, of which the first counts"] * (len(answers) > 1)
        doubts += [_LANGUAGES] * (len(languages[answers[0].lesson]) > 1)
        yield Handed(file, one.name, answers[0], doubts)


def _bounded(handed: Sequence[Handed], known: set[str]) -> Iterator[tuple[Handed, str]]:
    """Each answer, and why nothing is run for it, if so: a file cannot have lessons run without end."""
    trainings: dict[tuple[str, str], dict[Training, int]] = defaultdict(dict)
    named = Session().own
    for one in handed:
        about = one.training
        if about.lesson not in known:
            yield one, f"there is no lesson called {about.lesson!r}; name your own with --lesson mine.py"
        elif about.own and not named:
            yield one, _OWN
        elif (of_file := trainings[one.file, about.lesson]).setdefault(about, len(of_file)) >= MOST_TRAININGS:
            yield one, f"not run again: the file is about more than {MOST_TRAININGS} trainings of this lesson"
        else:
            yield one, ""


def _rerun(lesson: str, about: Training, answers: Sequence[Answer], limit: int) -> list[dict[str, Any]]:
    """What `again` finds of these answers, in a process of its own. lesson: its name, or its file."""
    with tempfile.TemporaryDirectory() as scratch:
        asked, said = Path(scratch) / "asked.json", Path(scratch) / "said.json"
        todo = [
            {"kind": one.kind, "question": one.question, "given": one.given, "code": "\n".join(one.code)}
            for one in answers
        ]
        asked.write_text(json.dumps({"lesson": lesson, "how": about[1:], "answers": todo}))
        # -P: what was handed in lies in this folder, and may be called as a module that is imported.
        command = [sys.executable, "-P", "-m", "lessons.handout.again", str(asked), str(said)]
        here = {Path.cwd()} - {FOLDER.parent}
        places = [place for place in sys.path if place and Path(place).resolve() not in here]
        places += [str(Path(lesson).resolve().parent)] * lesson.endswith(".py")  # last: what it imports beside itself
        ours = {"GLASSTUNE_HOME": scratch, "MPLBACKEND": "Agg", "PYTHONPATH": os.pathsep.join(places)}
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env={**os.environ, **ours})
        except subprocess.TimeoutExpired:
            raise InputError(f"lesson {lesson} took longer than {limit} s; give it more time with --timeout") from None
        if done.returncode or not said.exists():
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise InputError(f"lesson {lesson} could not be run again: {last.removeprefix('error: ')}")
        return list(parse_json(read_text(said)))


def _grade(one: Handed, found: dict[str, Any]) -> Grade:
    answer, right = one.answer, found.get("right")
    doubts = [*one.doubts]
    if answer.told and found.get("lacks"):
        right = None
        doubts.append(_LACKED)
    elif right is not None and right != answer.told:
        doubts.append(_OTHERWISE)
    own_seed = seed_of(one.name)
    if answer.seed not in (0, own_seed):
        doubts.append(_OTHERS)
    rest = [_NOBODYS] * (answer.seed == 0 != own_seed) + [_QUICK] * answer.quick
    notes = [str(found.get("note", "")).rstrip("."), *doubts, *rest]
    return Grade(
        file=one.file, name=one.name, lesson=answer.lesson, kind=answer.kind, question=answer.question,
        given=answer.given if answer.kind != "code" else "\n".join(answer.code),
        right="" if right is None else "yes" if right else "no",
        told="" if answer.kind == "prediction" else "yes" if answer.told else "no",
        measured=str(found.get("measured", "")), tries=answer.tries, first=answer.first, last=answer.last,
        seed=answer.seed, quick="yes" if answer.quick else "",
        look="yes" if doubts or (right is None and answer.kind != "prediction") else "",
        note="; ".join(said for said in notes if said),
    )  # fmt: skip
