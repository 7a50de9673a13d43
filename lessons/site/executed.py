"""How is a lesson run once for many buildings of the site? What it gave is kept, under a digest of all that it ran."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from engine.files import alone, whole
from engine.language.speaking import ENGLISH
from lessons.handout.notebooks import CELL_LIMIT, make_notebook, name_of
from lessons.teaching.course import FOLDER, file_of

_SOURCES = ("engine", "visualize", "lessons/teaching", "lessons/handout/notebooks.py", "lessons/handout/editions.py",
            "lessons/claims/claims.json", "engine/locale", "lessons/locale")  # fmt: skip
_KINDS = (".py", ".json", ".jsonl", ".safetensors", ".mo")


def executed(lesson: str, kept: Path, *, quick: bool = False, limit: int = CELL_LIMIT, language: str = ENGLISH) -> Path:
    """The lesson's notebook, run: its outputs hold what a page draws its forms from. Beside it, in `runs`, its runs.

    kept: where it is kept. It is run anew when its file, what it calls, or the base model has changed.
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
    return hashlib.sha256(f"{quick} {language} {_of_all()} ".encode() + file.read_bytes()).hexdigest()[:16]


@cache
def _of_all() -> str:
    """Of what any lesson may call."""
    found = hashlib.sha256()
    for name in _SOURCES:
        root = FOLDER.parent / name
        for path in [root] if root.is_file() else sorted(root.rglob("*")):
            if path.suffix in _KINDS:
                found.update(str(path.relative_to(FOLDER.parent)).encode() + path.read_bytes())
    return found.hexdigest()
