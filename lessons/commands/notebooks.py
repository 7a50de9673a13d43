"""How do the lessons become notebooks from a terminal? `glasstune notebooks lora`."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from engine.commands import Command
from engine.terminal import note, progress_bar


def options(parser: ArgumentParser) -> None:
    parser.add_argument("lesson", nargs="*", help="a lesson, or a file of your own (default: all of the course)")
    parser.add_argument(
        "--out", type=Path, help="the folder (default: ./notebooks, in the project itself lessons/notebooks)"
    )
    parser.add_argument("--quick", action="store_true", help="less training")
    parser.add_argument("--timeout", type=int, metavar="SECONDS", help="for a cell (default: 600)")
    parser.add_argument("--no-run", action="store_true", help="leave the outputs empty, for students to fill")


def run(chosen: Namespace) -> None:

    from lessons.teaching.course import FOLDER, in_checkout, lessons
    from lessons.teaching.notebooks import CELL_LIMIT, make_notebook, trust

    out = chosen.out or (FOLDER / "notebooks" if in_checkout() else Path("notebooks"))
    for lesson in progress_bar(chosen.lesson or lessons(), unit="lesson"):
        made = make_notebook(
            lesson, out, execute=not chosen.no_run, quick=chosen.quick, limit=chosen.timeout or CELL_LIMIT
        )
        if not chosen.no_run:
            trust(made)
        note(str(made))


COMMAND = Command("the lessons as executed notebooks", options, run)
