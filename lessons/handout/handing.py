"""What does a student hand in? One JSON file, to be read by a teacher's eyes and by `grading`: what was answered, the
code line by line, how often it was tried, and when.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from engine.errors import InputError
from engine.files import write_json
from engine.reading import read_json
from engine.terminal import say
from lessons.teaching import progress
from lessons.teaching.course import lessons
from lessons.teaching.session import current, seed_of

Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class Answer(msgspec.Struct, frozen=True):
    """One answer. told: was it called right? code: a function's lines, for an exercise that asks for one. seed, quick:
    of the training that it is about. own: it is about a model or data of one's own. language: of the question."""

    lesson: str
    kind: Literal["prediction", "exercise", "code"]
    question: str
    given: str
    told: bool
    tries: Count
    first: str
    last: str
    seed: Count = 0
    quick: bool = False
    code: list[str] = []
    language: str = "en"
    own: bool = False


class HandedIn(msgspec.Struct, frozen=True):
    """A student's file."""

    name: str
    answers: list[Answer]
    format: Literal[1] = 1


def hand_in(name: str, chosen: Sequence[str] = (), out: Path | None = None) -> Path:
    """Write what this student answered; returns the file, `<name>.json` here or in the folder `out`.

    chosen: lessons, one's own by their paths (default: all of the course). Of other lessons, what the file holds
    already stays in it. Raises InputError without a name, where nothing was answered, and rather than write over a file
    that is not this student's.
    """
    name = " ".join(name.split())
    if not name:
        raise InputError("whose answers are these? Give a name, in a notebook in the cell near its top")
    answers = [answer for lesson in chosen or lessons() for answer in _answers(Path(lesson).stem)]
    if not answers:
        raise InputError("nothing was answered yet, so there is nothing to hand in")
    stem = re.sub(r"[^\w.-]+", "-", name).strip(".-") or "student"
    path = (out or Path()) / f"{stem}.json"
    before = read_handed_in(path) if path.exists() else HandedIn(name, [])
    if before.name != name:
        raise InputError(f"{path} is another student's; give another folder, or move it")
    here = {answer.lesson for answer in answers}
    every = [answer for answer in before.answers if answer.lesson not in here] + answers
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, msgspec.to_builtins(HandedIn(name, every)))
    count = len({answer.lesson for answer in every})
    say(f"{len(every)} answers of {name}, of {count} lesson{'s' * (count > 1)}, are in {path}: hand that in.")
    if others := sum(answer.seed not in (0, seed_of(name)) for answer in answers):
        say(f"note: {others} of them are about another name's numbers, and your teacher is told so")
    return path


def hand_in_here(name: str) -> None:
    """A notebook's last cell: hand in its lesson; what is missing is said in a sentence."""
    try:
        hand_in(name, [current().lesson], Path())
    except InputError as error:
        say(error)


def _answers(lesson: str) -> list[Answer]:
    kept = progress.load(lesson)
    found: list[Answer] = []
    for kind in progress.KINDS:
        found += [_answer(lesson, kind, name, said) for name, said in kept.get(kind, {}).items()]
    return sorted(found, key=lambda answer: answer.first)


def _answer(lesson: str, kind: progress.Kind, name: str, said: dict[str, Any]) -> Answer:
    code = str(said.get("code", ""))
    return Answer(
        lesson=lesson,
        kind="code" if code else "prediction" if kind == "predictions" else "exercise",
        question=str(said.get("question", name)),
        given=str(said.get("given", "")),
        told=bool(said.get("right")),
        tries=int(said.get("tries", 0)),
        first=str(said.get("first", "")),
        last=str(said.get("last", "")),
        seed=int(said.get("seed", 0)),
        quick=bool(said.get("quick")),
        code=code.split("\n") if code else [],
        language=str(said.get("language", "en")),
        own=bool(said.get("own")),
    )


def read_handed_in(path: Path) -> HandedIn:
    """A file that somebody handed in. Raises InputError for one that is not what `hand_in` writes."""
    try:
        return msgspec.convert(read_json(path, "ask for it again", within=path.parent), HandedIn)
    except msgspec.ValidationError as error:
        raise InputError(f"{path} is not what hand_in writes ({error}); ask for it again") from None
