"""Which lessons are there, and how far am I? python -m lessons; --reset forgets your answers."""

import argparse

import pandas as pd
from rich.console import Console

from engine.errors import InputError, command
from lessons.teaching import progress
from lessons.teaching.course import about, lessons, seconds, standing
from lessons.teaching.showing import table


def listed() -> pd.DataFrame:
    """One row a lesson: its name, title, measured time, and what the student has done of it."""
    rows = []
    for lesson in lessons():
        took = seconds(lesson)
        time = "" if took is None else f"{took:.0f} s"
        rows.append({"lesson": lesson, "": about(lesson).title, "takes": time, "you": standing(lesson)})
    return pd.DataFrame(rows)


@command
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lessons", description=__doc__)
    parser.add_argument("lesson", nargs="*", help="with --reset: only of these; default all")
    parser.add_argument("--reset", action="store_true", help="forget the answers and progress kept on this machine")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.lesson) - set(lessons()):
        raise InputError(f"no lesson called {min(unknown)!r}; there are: {', '.join(lessons())}")
    if chosen.lesson and not chosen.reset:
        raise InputError(f"to begin a lesson, type python -m lessons.{chosen.lesson[0]}")
    if chosen.reset:
        had = progress.forget(chosen.lesson or lessons())
        print(f"Forgotten: {', '.join(had)}" if had else "There was nothing to forget.")
        return 0
    console = Console()
    console.print(table(listed()))
    console.print(
        f"\nBegin one with: python -m lessons.{lessons()[0]}"
        "\nAll of them as notebooks: python -m lessons.notebooks"
        f"\nYour answers are kept in {progress.home()}; python -m lessons --reset [lesson] forgets them.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
