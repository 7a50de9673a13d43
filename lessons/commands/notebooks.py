"""How do the lessons become notebooks from a terminal? `glasstune notebooks lora`, `glasstune notebooks --student`."""

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

from engine.commands import Command, at_least
from engine.language.speaking import language_of
from engine.terminal import note, progress_bar
from lessons.teaching.language import add_language


def options(parser: ArgumentParser) -> None:
    parser.add_argument("lesson", nargs="*", help="a lesson, or a file of your own (default: all of the course)")
    parser.add_argument(
        "--out", type=Path, help="the folder (default: ./notebooks, in the project itself lessons/notebooks)"
    )
    edition = parser.add_mutually_exclusive_group()
    edition.add_argument("--student", action="store_true", help="to hand out: not run, with cells for the answers")
    edition.add_argument("--teacher", action="store_true", help="the same with the answers, run; a source for nbgrader")
    parser.add_argument("--quick", action="store_true", help="less training")
    parser.add_argument("--timeout", type=at_least(1), metavar="SECONDS", help="for a cell (default: 600)")
    add_language(parser)
    parser.add_argument("--no-run", action="store_true", help="leave the outputs empty")
    parser.add_argument(
        "--source", default=os.environ.get("GLASSTUNE_SOURCE", ""),
        help="what a hosted notebook's pip installs, with its version or commit (default: nothing)",
    )  # fmt: skip
    parser.add_argument(
        "--repository", default="", metavar="URL@VERSION",
        help="where the notebooks will lie on GitHub: they get badges that open them in Colab and Binder",
    )  # fmt: skip


def run(chosen: Namespace) -> None:
    from lessons.handout.editions import Edition
    from lessons.handout.notebooks import CELL_LIMIT, make_notebook, trust
    from lessons.handout.source import source_of
    from lessons.teaching.course import FOLDER, in_checkout, lessons

    language = language_of(chosen.language)
    source = source_of(chosen.source, chosen.repository)
    out = chosen.out or (FOLDER / "notebooks" if in_checkout() else Path("notebooks"))
    edition: Edition = "student" if chosen.student else "teacher" if chosen.teacher else "course"
    runs = not (chosen.no_run or chosen.student)
    for lesson in progress_bar(chosen.lesson or lessons(), unit="lesson"):
        made = make_notebook(
            lesson, out, edition=edition, execute=runs, quick=chosen.quick, limit=chosen.timeout or CELL_LIMIT,
            source=source, language=language,
        )  # fmt: skip
        if runs:
            trust(made)
        note(str(made))


COMMAND = Command("the lessons as notebooks, for students, for teachers", options, run)
