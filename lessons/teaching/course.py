"""Which lessons are there, in which order, and how long does each take?"""

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path

from engine.errors import InputError
from engine.reading import check_name
from lessons.teaching import progress
from lessons.teaching.percent import MARK, read_cells

FOLDER = Path(__file__).parents[1]
_FIGURES = FOLDER.parent / "benchmarks" / "figures.json"
WHOLE = "{lesson}: the whole lesson"  # what benchmarks/lesson.py calls a lesson's time


def in_checkout() -> bool:
    """Is this the project itself, or a package that was installed, into which nothing is written?"""
    return (FOLDER.parent / "pyproject.toml").is_file()


def lessons() -> list[str]:
    """The lessons that there are, in the course's order: the files of this folder in the percent format."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py")}
    found = {lesson: _place(text) for lesson, text in texts.items() if f"\n{MARK}" in text}
    return sorted(found, key=lambda lesson: (found[lesson], lesson))


def _place(text: str) -> int:
    """Where in the course a lesson's own file says that it stands; one that does not say it comes last."""
    place = re.search(r"^begin\(.*place=(\d+)", text, re.MULTILINE)
    return int(place[1]) if place else 99


def file_of(lesson: str) -> Path:
    """Where a lesson's file lies: one of the course by its name, one's own by its path.

    Raises InputError for a name that is none, and for a file that is not there or has no cells.
    """
    if lesson in lessons():
        return FOLDER / f"{lesson}.py"
    path = check_name(lesson)
    if path.suffix != ".py":
        raise InputError(
            f"no lesson called {lesson!r}; there are: {', '.join(lessons())}, and your own by a path: mine.py"
        )
    if not path.is_file():
        raise InputError(f"there is no file {lesson}")
    try:
        found = f"\n{MARK}" in "\n" + path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{lesson} cannot be read ({error})") from None
    if not found:
        raise InputError(f"{lesson} has no cells; each begins with a line {MARK} or {MARK} [markdown]")
    return path


@dataclass(frozen=True)
class About:
    """A lesson's title, its place in the course, how many words it says, and how often it asks for what."""

    title: str
    place: int
    words: int
    predictions: int
    choices: int
    code: int

    @property
    def exercises(self) -> int:
        return self.choices + self.code


def about(lesson: str) -> About:
    """What a lesson's file says of it; it is read, not run. lesson: one of the course, or the path of one's own."""
    path = Path(lesson) if lesson.endswith(".py") else FOLDER / f"{lesson}.py"
    text = path.read_text(encoding="utf-8")
    title = re.search(r"^# # (.+)$", text, re.MULTILINE)
    asked = [
        node.func.id
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    said = " ".join(cell.text for cell in read_cells(text) if cell.kind == "markdown")
    return About(
        title[1] if title else lesson,
        _place(text),
        len(said.split()),
        asked.count("predict"),
        asked.count("exercise"),
        asked.count("exercise_code"),
    )


def seconds(lesson: str) -> float | None:
    """How long the lesson took when it was last measured (by `python -m benchmarks lesson`); None if it was not."""
    if not _FIGURES.is_file():
        return None
    figures = json.loads(_FIGURES.read_text(encoding="utf-8")).get("lesson", {}).get("figures", [])
    return next((figure["median"] for figure in figures if figure["what"] == WHOLE.format(lesson=lesson)), None)


# Minutes in class: prose is read aloud or by oneself; a prediction is made, argued about and looked at; a number is
# worked out; a function is written.
_WORDS_A_MINUTE, _A_PREDICTION, _AN_EXERCISE, _A_FUNCTION = 130, 2.0, 2.0, 5.0


def class_minutes(lesson: str) -> float:
    """How long the lesson takes a class, in minutes: reading, predicting, exercises, and the machine's own time."""
    what = about(lesson)
    asked = _A_PREDICTION * what.predictions + _AN_EXERCISE * what.choices + _A_FUNCTION * what.code
    return what.words / _WORDS_A_MINUTE + asked + (seconds(lesson) or 0.0) / 60


def in_fives(minutes: float) -> int:
    """Minutes as they are told to a class: a multiple of five, at least five."""
    return 5 * max(1, round(minutes / 5))


def standing(lesson: str) -> str:
    """How far the student is with a lesson, in a few words."""
    answered, right = progress.count(lesson)
    words = [f"{right} of {max(about(lesson).exercises, answered)} exercises right"] if answered else []
    kept = progress.load(lesson)
    if stopped := kept.get("stopped"):
        again = kept.get("options", f"--from {stopped}")
        words.append(f"stopped in cell {stopped}; to go on: glasstune lesson {lesson} {again}")
    if finished := kept.get("finished"):
        words.append(f"finished {finished}")
    return ", ".join(words) or "not begun"
