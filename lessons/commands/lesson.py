"""How is the course taken in a terminal? `glasstune lesson` lists it and says how far you are, `glasstune lesson lora`
begins one, `glasstune lesson --reset` forgets your answers."""

import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path

from engine.commands import Command
from engine.errors import InputError
from engine.terminal import Terminal, say
from lessons.teaching import progress, walk
from lessons.teaching.course import FOLDER, about, class_minutes, file_of, in_fives, lessons, seconds, standing


def options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "lesson", nargs="*", metavar="LESSON",
        help=f"{', '.join(lessons())}, or a file of your own: mine.py (default: the list, and how far you are)",
    )  # fmt: skip
    parser.add_argument(
        "--reset", action="store_true", help="forget the answers kept here, of these or of all the course's lessons"
    )
    walk.add_options(parser)


def run(chosen: Namespace) -> int:
    if chosen.reset:
        return _reset(chosen.lesson)
    if len(chosen.lesson) > 1:
        raise InputError(f"one lesson at a time, not {len(chosen.lesson)}")
    if chosen.lesson:
        return walk.give(chosen.lesson[0], chosen, f"glasstune lesson {shlex.quote(_called(chosen.lesson[0]))}")
    show_course()
    return 0


def _called(given: str) -> str:
    """A lesson of the course by its name, however it was begun: what is to be typed again should be short."""
    file = file_of(given)
    return file.stem if file.resolve().parent == FOLDER.resolve() and file.stem in lessons() else given


def _reset(named: list[str]) -> int:
    own = {name for name in named if name.endswith(".py")}  # whose file need not be there any more
    if unknown := set(named) - own - set(lessons()):
        raise InputError(f"no lesson called {min(unknown)!r}; there are: {', '.join(lessons())}, and your own: mine.py")
    had = progress.forget([Path(name).stem if name in own else name for name in named] or lessons())
    say(f"Forgotten: {', '.join(had)}" if had else "There was nothing to forget.")
    return 0


def show_course() -> None:
    """One row a lesson: its name, title, the machine's measured time, about how long a class takes, and what the
    student has done of it."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("lesson", "", "machine", "class", "you"):
        table.add_column(heading, justify="right" if heading in ("machine", "class") else "left")
    for lesson in lessons():
        took = seconds(lesson)
        machine = "" if took is None else f"{took:.0f} s"
        table.add_row(lesson, about(lesson).title, machine, f"{in_fives(class_minutes(lesson))} min", standing(lesson))
    console = Terminal()
    console.print(table)
    console.print(
        f"\nBegin one with: glasstune lesson {lessons()[0]}, or python -m lessons {lessons()[0]}"
        "\nAll of them as notebooks: glasstune notebooks"
        f"\nYour answers are kept in {progress.home()}; glasstune lesson --reset [lesson] forgets them.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


COMMAND = Command("take a lesson here, or see how far you are", options, run)
