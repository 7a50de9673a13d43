"""Which lessons are there, and how far am I? python -m lessons; --reset forgets your answers.

python -m lessons lora       begins one (--help says how); a file of your own by its path: python -m lessons mine.py
"""

import argparse
import sys

from rich.console import Console
from rich.table import Table

from engine.errors import InputError, command
from lessons.teaching import progress, walk
from lessons.teaching.course import about, lessons, seconds, standing


def listed() -> Table:
    """One row a lesson: its name, title, measured time, and what the student has done of it."""
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("lesson", "", "takes", "you"):
        shown.add_column(column)
    for lesson in lessons():
        took = seconds(lesson)
        shown.add_row(lesson, about(lesson).title, "" if took is None else f"{took:.0f} s", standing(lesson))
    return shown


@command
def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    if given and not given[0].startswith("-"):
        return walk.main(given[0], given[1:])
    parser = argparse.ArgumentParser(
        prog="python -m lessons", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--reset", nargs="*", metavar="LESSON", help="forget the answers kept on this machine, of these or of all"
    )
    chosen = parser.parse_args(given)
    if chosen.reset is not None:
        return _reset(chosen.reset)
    console = Console()
    console.print(listed())
    console.print(
        f"\nBegin one with: python -m lessons {lessons()[0]}"
        "\nAll of them as notebooks: python -m lessons.notebooks"
        f"\nYour answers are kept in {progress.home()}; python -m lessons --reset [lesson] forgets them.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return 0


def _reset(named: list[str]) -> int:
    if unknown := set(named) - set(lessons()):
        raise InputError(f"no lesson called {min(unknown)!r}; there are: {', '.join(lessons())}")
    had = progress.forget(named or lessons())
    print(f"Forgotten: {', '.join(had)}" if had else "There was nothing to forget.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
