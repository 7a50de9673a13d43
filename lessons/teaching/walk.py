"""How is one file a terminal walkthrough, a notebook and a test? The walker behind every lesson.

A lesson is in the percent format (`# %% [markdown]` and `# %%`). Its first code cell calls `begin(globals(), ...)`:
under `python -m lessons.x` that takes over, shows prose, then a cell, then runs it, and pauses; in Jupyter it
does nothing, for there the reader is the walker. Cells are compiled in place, so tracebacks keep their true lines.
A cell `# %% tags=["answer"]` is the student's to fill in: here at the prompt, in Jupyter where it stands.
"""

import argparse
import gc
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from rich.console import Console
from rich.markdown import Markdown
from rich.syntax import Syntax

from engine.errors import InputError
from lessons.teaching import progress, showing
from lessons.teaching.coding import ask_in_terminal, without_answers

_CELL = re.compile(r"^# %%(.*)$")


@dataclass(frozen=True)
class Cell:
    """One cell: its kind ("markdown", "code", or "answer": the student's), text, and the line on which it starts."""

    kind: str
    text: str
    line: int


def read_cells(source: str) -> Iterator[Cell]:
    """The cells of a percent-format file; what stands before the first mark is left out."""
    kind, start, lines = "", 0, list[str]()
    for number, line in enumerate([*source.split("\n"), "# %%"], 1):
        mark = _CELL.match(line)
        if not mark:
            lines.append(line)
            continue
        if kind:
            text = "\n".join(lines).strip("\n")
            if kind == "markdown":
                text = "\n".join(re.sub(r"^# ?", "", row) for row in text.split("\n"))
            yield Cell(kind, text, start + 1)
        kind = "markdown" if "[markdown]" in mark[1] else "answer" if '"answer"' in mark[1] else "code"
        start, lines = number, []


def begin(namespace: dict[str, Any], lesson: str, place: int = 99) -> None:
    """Take over when run as `python -m lessons.x`; in a notebook, let the reader walk.

    namespace: the lesson's globals(). lesson: its name, for the folder of its runs and pictures. place: where it
    comes in the course, which `python -m lessons` reads from here.
    """
    showing.current().lesson = lesson
    if namespace.get("__name__") != "__main__" or "__file__" not in namespace or showing.in_notebook():
        return
    _walk(Path(namespace["__file__"]), namespace)


def _walk(path: Path, namespace: dict[str, Any]) -> NoReturn:
    before = showing.current()
    parser = argparse.ArgumentParser(prog=f"python -m lessons.{path.stem}")
    parser.add_argument("--auto", action="store_true", help="run through without pausing")
    parser.add_argument("--quick", action="store_true", help="less training, for a first look and for tests")
    parser.add_argument("--no-film", action="store_true", help="leave the film out")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="where runs and pictures go (default: runs)")
    parser.add_argument("--model", default=before.model, help="your own: a folder or a Hub id (or LESSON_MODEL=...)")
    parser.add_argument("--data", default=before.data, help="your own: a file or a Hub id (or LESSON_DATA=...)")
    chosen = parser.parse_args()
    console = Console(width=min(120, Console().width))
    showing.configure(
        showing.Stage(
            lesson=path.stem,
            out=chosen.out,
            console=console,
            quick=chosen.quick,
            film=not chosen.no_film,
            interactive=not chosen.auto and sys.stdin.isatty(),
            model=chosen.model,
            data=chosen.data,
        )
    )
    # A process that a cell starts (the film's workers) would import the main module, and so run the lesson once more.
    sys.modules["__main__"] = ModuleType("__main__")
    began = time.perf_counter()
    cells = list(read_cells(path.read_text(encoding="utf-8")))
    frozen = False
    try:
        for cell, following in zip_longest(cells, cells[1:]):
            if cell.kind == "markdown":
                console.print(Markdown(cell.text), "")
                continue
            if "begin(globals()" in cell.text:
                continue
            if cell.kind == "answer":
                ask_in_terminal(cell.text, namespace)
            else:
                _run_cell(cell, path, namespace, console)
            if not frozen and "engine.training.finetune" in sys.modules:
                # A Trainer collects garbage before it trains, and goes through all that was imported: half a second.
                gc.collect()
                gc.freeze()
                frozen = True
            console.print("")
            if following is None or following.kind != "answer":  # its question was just asked
                showing.current().pause()
    except InputError as error:
        console.print(f"[bold red]error:[/] {error}", highlight=False)
        raise SystemExit(2) from None
    except (KeyboardInterrupt, EOFError):
        console.print("\nStopped here. What was captured so far lies in", str(chosen.out))
        raise SystemExit(130) from None
    if showing.current().interactive:
        progress.finish(path.stem)
    console.print(f"[dim]The lesson took {time.perf_counter() - began:.0f} s.[/]")
    raise SystemExit(0)


def _run_cell(cell: Cell, path: Path, namespace: dict[str, Any], console: Console) -> None:
    if shown := without_answers(cell.text):
        console.print(
            Syntax(shown, "python", theme="ansi_dark", background_color="default", padding=(0, 2), word_wrap=True), ""
        )
    code = compile("\n" * (cell.line - 1) + cell.text, str(path), "exec")
    exec(code, namespace)
