"""How does a teacher grade? `python -m lessons.grade FOLDER` writes grades.csv beside what was handed in."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from engine.commands import Command, at_least
from engine.terminal import Terminal


def options(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="the folder with what was handed in, a file a student")
    parser.add_argument("--out", type=Path, help="the table (default: grades.csv in that folder)")
    parser.add_argument(
        "--lesson", type=Path, action="append", default=[], metavar="FILE", help="a lesson of your own that was given"
    )
    parser.add_argument("--timeout", type=at_least(1), metavar="SECONDS", help="for a lesson (default: 1800)")


def run(chosen: Namespace) -> int:
    from rich.table import Table

    from lessons.handout.grading import LESSON_LIMIT, grade

    path, grades = grade(chosen.folder, chosen.out, chosen.timeout or LESSON_LIMIT, chosen.lesson)
    shown = Table(box=None, header_style="bold")
    for heading in ("file", "student", "right", "graded", "to look at"):
        shown.add_column(heading, justify="left" if heading in ("file", "student") else "right")
    for file in sorted({one.file for one in grades}):
        own = [one for one in grades if one.file == file]
        counts = [sum(one.right == "yes" for one in own), sum(bool(one.right) for one in own)]
        shown.add_row(file, own[0].name, *map(str, counts), str(sum(bool(one.look) for one in own)))
    console = Terminal()
    console.print(shown)
    count = sum(bool(one.kind) for one in grades)
    console.print(
        f"{count} answers are in {path}; its columns look and note say where to look, and why", soft_wrap=True
    )
    return int(any(not one.right and one.kind != "prediction" for one in grades))


COMMAND = Command("grade what was handed in", options, run)
