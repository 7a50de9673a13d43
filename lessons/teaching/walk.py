"""How does one file become a walk in a terminal? Its cells are read, shown and run, one after the other.

A lesson is in the percent format, so the same file is a notebook. It is run from outside: by `python -m lessons lora`,
or `python -m lessons mine.py` for a file of one's own. Its cells are executed in a namespace of their own, compiled in
place, so that tracebacks keep their true lines. A cell of the student's is asked for at the prompt.
"""

import argparse
import gc
import runpy
import shlex
import sys
import time
from contextlib import nullcontext
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.segment import Segments
from rich.theme import Theme

from engine.errors import InputError
from engine.language.speaking import speaking, spoken, tr
from engine.notebook import in_notebook
from engine.terminal import Terminal
from engine.threads import sleep_while_waiting
from lessons.teaching import progress
from lessons.teaching.course import file_of
from lessons.teaching.language import add_language, said_in
from lessons.teaching.percent import HIDDEN, Cell, read_cells
from lessons.teaching.session import Session, configure, current
from lessons.teaching.terminals import abilities
from visualize.theme import theme

_CODE_IN_PROSE = Theme({"markdown.code": "bold cyan"})  # rich's own has a black ground
WALKED = "lesson"  # what a lesson's namespace is called while it is walked through


def begin(name: str, lesson: str, place: int = 99) -> None:
    """A lesson's first cell: what it is called, and where it comes in the course (which is read, not run).

    name: its `__name__`. Run as a program (`python -m lessons.lora`, `python mine.py`), the file hands itself to
    `python -m lessons` and ends there; so processes that a cell starts find that as their main module, and do not run
    the lesson again. Walked through, or in Jupyter, where the reader is the walker, its cells come in turn. Raises
    ImportError when it is imported.
    """
    if name == "__main__" and not in_notebook():
        sys.argv.insert(1, sys.argv[0])
        runpy.run_module("lessons", run_name="__main__", alter_sys=True)  # ends by SystemExit, as programs do
    if name not in (WALKED, "__main__"):
        raise ImportError(f"a lesson is run, not imported: python -m lessons {lesson}")
    sleep_while_waiting()  # in a notebook nobody else has said it
    current().begin(lesson)
    _settle()


def _settle() -> None:
    """Load what lessons stand on, and let it be: each training begins with a search for garbage, which would go through
    all of it (0.3 s, and a lesson has a dozen trainings). Once, since of what is left out no garbage is ever found."""
    if gc.get_freeze_count():
        return
    import engine.training.finetune  # noqa: F401
    import lessons.teaching.stage  # noqa: F401
    import visualize.plots  # noqa: F401

    gc.collect()
    gc.freeze()


def main(lesson: str, arguments: list[str] | None = None) -> int:
    """Walk through a lesson of the course, or a file of one's own; returns the exit status.

    lesson: its name, or a path. arguments: options, default none. Raises InputError for what does not exist, and for
    what a cell says is the user's to mend.
    """
    command = f"python -m lessons {lesson}"
    parser = argparse.ArgumentParser(prog=command)
    add_options(parser)
    return give(lesson, parser.parse_args(list(arguments or ())), command)


def give(lesson: str, chosen: argparse.Namespace, command: str) -> int:
    """As `main`, when its options are known. command: what was typed up to them, to say how to go on."""
    with speaking(chosen.language):
        return _give(lesson, chosen, command)


def _give(lesson: str, chosen: argparse.Namespace, command: str) -> int:
    path = file_of(lesson)
    cells = list(read_cells(said_in(path, spoken())))
    if not 1 <= chosen.start <= len(cells):
        raise InputError(f"{lesson} has cells 1 to {len(cells)}; --from {chosen.start} is none of them")
    console = Terminal(width=min(120, Terminal().width), theme=_CODE_IN_PROSE)
    session = Session(
        lesson=path.stem,
        out=chosen.out,
        console=console,
        quick=chosen.quick,
        film=not chosen.no_film,
        interactive=not chosen.auto and sys.stdin.isatty(),
        abilities=abilities(),
        **{what: given for what in ("model", "data", "student") if (given := getattr(chosen, what))},
    )
    configure(session)
    walk = Walk(path, cells, session)
    began = time.perf_counter()
    try:
        with theme("dark") if session.abilities.light is False else nullcontext():  # pictures as the terminal is
            walk.go(chosen.start)
    except (KeyboardInterrupt, EOFError):
        again = shlex.join([*_options_again(chosen, session), "--from", str(walk.number)])
        _say_how_to_go_on(walk, f"{command} {again}")
        if session.interactive:
            progress.stop(session.lesson, walk.number, again)
        return 130
    if session.interactive:
        progress.finish(session.lesson)
    console.print(tr("The lesson took {seconds} s.", seconds=f"{time.perf_counter() - began:.0f}"), style="dim")
    return 0


def _options_again(chosen: argparse.Namespace, session: Session) -> list[str]:
    """The options that were typed, less `--from`; a model and data of one's own, however they were named."""
    named = {what: getattr(session, what) or None for what in ("model", "data", "student")}
    chosen = argparse.Namespace(**{**vars(chosen), **named})
    parser = argparse.ArgumentParser()
    add_options(parser)
    words: list[str] = []
    for action in parser._actions:
        value = getattr(chosen, action.dest, action.default)
        if value != action.default and action.dest != "start":
            words += action.option_strings if value is True else [*action.option_strings, str(value)]
    return words


def _say_how_to_go_on(walk: "Walk", command: str) -> None:
    say = partial(walk.console.print, highlight=False, markup=False, soft_wrap=True)
    say()
    say(
        tr("Stopped in cell {number} of {last}. To go on there: {command}",
           number=walk.number, last=len(walk.cells), command=command)
    )  # fmt: skip
    if walk.session.began:
        say(tr("What was captured so far lies in {folder}", folder=walk.session.folder))


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be said when a lesson is begun."""
    parser.add_argument("--auto", action="store_true", help="run through without pausing")
    parser.add_argument("--quick", action="store_true", help="less training, for a first look and for tests")
    parser.add_argument("--no-film", action="store_true", help="leave the film out")
    parser.add_argument(
        "--from", type=int, default=1, dest="start", metavar="CELL",
        help="go on at this cell; what comes before it is run, but neither shown nor asked",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("runs"), help="where runs and pictures go (default: runs)")
    parser.add_argument("--model", help="your own: a folder or a Hub id (or LESSON_MODEL=...)")
    parser.add_argument("--data", help="your own: a file or a Hub id (or LESSON_DATA=...)")
    parser.add_argument("--student", metavar="NAME", help="whose seed it is: your numbers are then your own")
    add_language(parser)


class Walk:
    """The cells of a file, run in one namespace. `number` is the cell that its reader has come to, from 1."""

    def __init__(self, path: Path, cells: list[Cell], session: Session) -> None:
        self.path, self.cells, self.session, self.console = path, cells, session, session.console
        self.namespace: dict[str, Any] = {"__name__": WALKED, "__file__": str(path)}
        self.number = 1
        self.code_theme = "ansi_light" if session.abilities.light else "ansi_dark"

    def go(self, start: int) -> None:
        """Run what comes before cell `start` in silence, and walk through the rest."""
        self.number = start
        if start > 1:
            self._catch_up(start)
        following = self.cells[start:]
        for number, (cell, after) in enumerate(zip_longest(self.cells[start - 1 :], following), start):
            self.number = number
            self._show(cell)
            if after is not None and self._rests(cell, after):
                self._pause()

    def _rests(self, cell: Cell, after: Cell) -> bool:
        """Is there something to look at now? Not after plumbing, nor between a question and its answer."""
        small = self.session.small
        return not (HIDDEN in cell.tags or after.kind == "answer" or (cell.kind == "markdown" and not small))

    def _catch_up(self, start: int) -> None:
        said = tr("Cells 1 to {last} are run, but not shown ...", last=start - 1)
        self.console.print(said, style="dim", highlight=False)
        interactive, self.session.interactive, self.console.quiet = self.session.interactive, False, True
        try:
            for cell in self.cells[: start - 1]:
                if cell.kind == "code":
                    self._run(cell)
        finally:
            self.session.interactive, self.console.quiet = interactive, False

    def _show(self, cell: Cell) -> None:
        from rich.syntax import Syntax

        from lessons.teaching.coding import ask_in_terminal, shown
        from lessons.teaching.prose import Prose

        if cell.kind == "markdown":
            self._print_by_the_screen(Prose(cell.text, code_theme=self.code_theme))
            return
        if HIDDEN in cell.tags:
            with self.console.status(tr("loading ...")):
                self._run(cell)
            return
        if cell.kind == "answer":
            ask_in_terminal(cell.text, self.namespace)
        else:
            if code := shown(cell.text):
                look: dict[str, Any] = {"theme": self.code_theme, "background_color": "default", "padding": (0, 2)}
                self._print_by_the_screen(Syntax(code, "python", word_wrap=True, **look))
            self._run(cell)
        self.console.print("")

    def _print_by_the_screen(self, what: RenderableType) -> None:
        """Print it and an empty line; a reader goes on at each screenful, so that nothing scrolls away unread."""
        lines = self.console.render_lines(what, pad=False, new_lines=True)
        room = max(4, self.console.height - 2) if self.session.interactive else len(lines)
        for start in range(0, len(lines), max(1, room)):
            if start:
                self.console.input(f"[dim]{tr('more: Enter')}[/] ")
            part = [segment for line in lines[start : start + room] for segment in line]
            self.console.print(Segments(part), end="")
        self.console.print("")

    def _run(self, cell: Cell) -> None:
        code = compile("\n" * (cell.line - 1) + cell.text, str(self.path), "exec")
        exec(code, self.namespace)

    def _pause(self) -> None:
        if self.session.interactive:
            where = tr("{number} of {last}: Enter to go on", number=self.number, last=len(self.cells))
            self.console.input(f"[dim]{where}[/] ")
