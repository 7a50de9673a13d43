"""What has this student answered? One small JSON file a lesson, on this machine only.

It lies in the folder that GLASSTUNE_HOME names, or in the user's own data folder. Nothing in it is needed: a file that
cannot be read is set aside, and one that cannot be written is left unwritten, each with one sentence.
"""

import os
import re
import time
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_data_path

from engine.files import aside, write_json
from engine.reading import check_name, read_json
from engine.terminal import say

Kind = Literal["predictions", "exercises"]


def home() -> Path:
    """Where a student's answers are kept."""
    if given := os.environ.get("GLASSTUNE_HOME"):
        return check_name(given)
    return user_data_path("glasstune", appauthor=False)


def load(lesson: str) -> dict[str, Any]:
    """A lesson's answers: {"predictions": {question: {...}}, "exercises": ..., "finished": date}; empty if none."""
    path = _path(lesson)
    try:
        if not path.exists():
            return {}
        kept = read_json(path)
        answers = [answer for kind in KINDS for answer in kept.get(kind, {}).values()]
        if not all(isinstance(answer, dict) and isinstance(answer.get("tries", 0), int) for answer in answers):
            raise ValueError("not what Glasstune wrote")
        return kept
    except (OSError, ValueError, AttributeError) as error:
        return _set_aside(path, str(error))


KINDS: tuple[Kind, ...] = ("predictions", "exercises")


def note(
    lesson: str, kind: Kind, question: str, *, given: str, right: bool, code: str = "", seed: int = 0,
    quick: bool = False, own: bool = False, language: str = "en",
) -> None:  # fmt: skip
    """Keep an answer. An exercise that was once right stays right, with what was right; tries are counted. An answer
    about another training (another student's seed, a quick one, one's own data) is about another number: it counts for
    nothing here. One about the course's own stays when a quick one, one's own or nobody's is answered later.

    code: the lines of an answer that is a function. seed, quick: of the training that it is about. own: it is about a
    model or data of one's own. language: of the question.
    """
    kept = load(lesson)
    name = name_of(question)
    before = kept.setdefault(kind, {}).get(name, {})
    about = {"seed": seed, "quick": quick, "own": own}
    told = {what: before.get(what, type(value)()) for what, value in about.items()}
    if told != about:
        if before and _further(told) < _further(about):
            return
        before = {}
    now = time.strftime("%Y-%m-%dT%H:%M:%S")
    answer = {"question": question, "given": given, "right": right, "code": code, **about, "language": language}
    if kind == "exercises" and before.get("right") and not right:
        answer = {what: before.get(what, value) for what, value in answer.items()}
    kept[kind][name] = {**answer, "tries": before.get("tries", 0) + 1, "first": before.get("first", now), "last": now}
    _save(lesson, kept)


def _further(about: dict[str, Any]) -> tuple[bool, bool, bool]:
    """How far a training is from the student's own in the course: a model or data of one's own is furthest."""
    return about["own"], about["quick"], about["seed"] == 0


def name_of(question: str) -> str:
    """What a question is called: it is the same when only the numbers in it, measured anew, differ."""
    return " ".join(re.sub(r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?", "#", question).split())


def finish(lesson: str) -> None:
    """The student came to the lesson's end."""
    kept = {what: value for what, value in load(lesson).items() if what not in ("stopped", "options")}
    _save(lesson, {**kept, "finished": time.strftime("%Y-%m-%d")})


def stop(lesson: str, cell: int, options: str) -> None:
    """The student stopped in this cell. options: that the lesson was begun with, to go on with."""
    _save(lesson, {**load(lesson), "stopped": cell, "options": options})


def count(lesson: str) -> tuple[int, int]:
    """How many of a lesson's exercises were answered, and how many of them rightly."""
    answers = load(lesson).get("exercises", {}).values()
    return len(answers), sum(bool(answer.get("right")) for answer in answers)


def forget(lessons: list[str]) -> list[str]:
    """Delete what was kept of these lessons; returns those of which something was."""
    had = [lesson for lesson in lessons if _path(lesson).exists()]
    for lesson in had:
        _path(lesson).unlink()
    return had


def _path(lesson: str) -> Path:
    return home() / f"{lesson}.json"


def _save(lesson: str, kept: dict[str, Any]) -> None:
    try:
        home().mkdir(parents=True, exist_ok=True)
        write_json(_path(lesson), kept)
    except OSError as error:
        say(f"note: your answers are not kept: {home()} cannot be written ({error.strerror})")


def _set_aside(path: Path, why: str) -> dict[str, Any]:
    broken = path.with_suffix(".broken.json")
    try:
        if broken.exists():  # of an earlier time
            aside(broken)
        path.rename(broken)
        say(f"note: {path} could not be read ({why}); it is now {broken.name}, and your answers begin anew")
    except OSError:
        say(f"note: {path} could not be read ({why}); your answers begin anew")
    return {}
