"""How is a lesson run once for many buildings of the site? What it gave is kept, under a digest of all that it ran."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from engine.derived import key
from engine.files import alone, whole
from engine.language.speaking import ENGLISH
from engine.reading import check_name
from lessons.handout.notebooks import CELL_LIMIT, make_notebook, name_of
from lessons.teaching.course import FOLDER, file_of
from lessons.teaching.session import NAMED

_SOURCES = ("engine/**/*", "visualize/**/*", "lessons/teaching/*", "lessons/handout/notebooks.py",
            "lessons/handout/editions.py", "lessons/handout/packed.py", "lessons/claims/*.py",
            "lessons/claims/claims.json", "lessons/locale/**/*")  # fmt: skip
_KINDS = (".py", ".json", ".jsonl", ".safetensors", ".mo")


def executed(lesson: str, kept: Path, *, quick: bool = False, limit: int = CELL_LIMIT, language: str = ENGLISH) -> Path:
    """The lesson's notebook, run: its outputs hold what a page draws its forms from. Beside it, in `runs`, its runs.

    kept: where it is kept. It is run anew when its file, what it calls, or the base model has changed, or when the
    environment names another model, other data or another student.
    """
    file = file_of(lesson)
    place = (kept / f"{file.stem}-{_digest(file, quick, language)}").absolute()
    with alone(place):
        if not (place / name_of(file, language)).exists():
            with whole(place) as part:
                part.mkdir(parents=True)
                with _runs_in(part / "runs"):
                    made = make_notebook(lesson, part, quick=quick, limit=limit, forms="data", language=language)
                _say_no_place(made, part)
    return place / name_of(file, language)


def _say_no_place(notebook: Path, folder: Path) -> None:
    """What a lesson said of where its runs lie names this machine's folders, and nobody who reads the page has them."""
    text = notebook.read_text(encoding="utf-8")
    notebook.write_text(text.replace(json.dumps(str(folder / "runs"))[1:-1], "runs"), encoding="utf-8")


@contextmanager
def _runs_in(folder: Path) -> Iterator[None]:
    before = os.environ.get("GLASSTUNE_RUNS")
    os.environ["GLASSTUNE_RUNS"] = str(folder)
    try:
        yield
    finally:
        del os.environ["GLASSTUNE_RUNS"]
        if before is not None:
            os.environ["GLASSTUNE_RUNS"] = before


def _digest(file: Path, quick: bool, language: str) -> str:
    named = {name: os.environ.get(name, "") for name in NAMED.values()}
    given = [check_name(named[NAMED[what]]) for what in ("model", "data") if named[NAMED[what]]]
    brought = [path for place in given for path in _files(place)]
    about = [quick, language, _of_all(), named, [path.name for path in brought]]
    return key(about, files=[file, *brought])[:16]


def _files(place: Path) -> list[Path]:
    """The files at a place; none where it is an id of the Hub's."""
    return [path for path in ([place] if place.is_file() else sorted(place.rglob("*"))) if path.is_file()]


@cache
def _of_all() -> str:
    """Of what any lesson may call."""
    found = hashlib.sha256()
    for name in _SOURCES:
        for path in sorted(FOLDER.parent.glob(name)):
            if path.suffix in _KINDS:
                found.update(str(path.relative_to(FOLDER.parent)).encode() + path.read_bytes())
    return found.hexdigest()
