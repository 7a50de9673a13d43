"""What does a lesson show, and what does it ask? `show`, `predict` and `exercise`, in a terminal and in Jupyter alike.

The same call works in both: in a terminal tables are printed, pictures are written to files (and drawn in place where
the terminal can), questions are asked at the prompt; in a notebook they are displayed, and questions become small
forms, or plain text where ipywidgets is missing. Without anybody there (`--auto`, tests), questions are shown and
what was measured answers them.
"""

import base64
import itertools
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.errors import InputError


@dataclass
class Stage:
    """Where the lesson is given: what it may do, and where its pictures go."""

    lesson: str = "lesson"
    out: Path = Path("runs")
    console: Console = field(default_factory=Console)
    quick: bool = False
    film: bool = False
    interactive: bool = False
    pictures: list[Path] = field(default_factory=list)
    _folder: Path | None = None

    @property
    def folder(self) -> Path:
        """This lesson's own folder: the first `<out>/<lesson>-N` that does not exist, so nothing is overwritten."""
        if self._folder is None:
            numbered = (self.out / f"{self.lesson}-{n}" for n in itertools.count(1))
            self._folder = next(path for path in numbered if not path.exists())
            try:
                self._folder.mkdir(parents=True)
            except OSError as error:
                raise InputError(f"{self.out} cannot be written ({error.strerror}); give another folder") from None
        return self._folder

    def pause(self) -> None:
        if self.interactive:
            self.console.input("[dim]Enter to go on[/] ")


_stage = Stage(quick=bool(os.environ.get("GLASSTUNE_QUICK")), out=Path(os.environ.get("GLASSTUNE_RUNS", "runs")))


def configure(stage: Stage) -> None:
    """Set the stage for this process; the walker does, before a lesson's first cell runs."""
    global _stage
    _stage = stage


def current() -> Stage:
    return _stage


def in_notebook() -> bool:
    """Is this Jupyter (not a terminal's IPython)?"""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and shell.__class__.__name__ == "ZMQInteractiveShell"


# --- showing -----------------------------------------------------------------------------------------


def show(*things: Any, name: str = "") -> None:
    """Show text, tables, runs, and pictures (a matplotlib Axes, several of them, or a Figure).

    name: what a picture's file is called, e.g. "delta"; needed for pictures.
    """
    for thing in things:
        figure = _figure_of(thing)
        if figure is not None:
            _show_picture(figure, name)
        elif in_notebook():
            from IPython.display import display

            display(thing) if not isinstance(thing, str) else print(thing)
        elif isinstance(thing, pd.DataFrame):
            _stage.console.print(_table(thing))
        else:
            _stage.console.print(escape(str(thing)), highlight=False)


def _figure_of(thing: Any) -> Figure | None:
    if isinstance(thing, np.ndarray) and thing.size and isinstance(thing.flat[0], Artist):
        thing = thing.flat[0]
    if isinstance(thing, Figure):
        return thing
    figure = thing.get_figure() if isinstance(thing, Artist) else None
    return figure if isinstance(figure, Figure) else None


def _show_picture(figure: Figure, name: str) -> None:
    import matplotlib.pyplot as plt

    path = _stage.folder / "pictures" / f"{len(_stage.pictures) + 1:02d}-{name or 'picture'}.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)
    _stage.pictures.append(path)
    if in_notebook():
        from IPython.display import Image, display

        display(Image(str(path)))
    else:
        _draw_in_terminal(path)
        _stage.console.print(f"picture: [bold]{escape(str(path))}[/]", highlight=False, soft_wrap=True)
    plt.close(figure)


def _draw_in_terminal(path: Path) -> None:
    """The picture itself, in terminals that draw pictures (iTerm2's and kitty's protocols)."""
    if not sys.stdout.isatty():
        return
    data = base64.standard_b64encode(path.read_bytes()).decode()
    if os.environ.get("TERM_PROGRAM") in ("iTerm.app", "WezTerm"):
        sys.stdout.write(f"\033]1337;File=inline=1;width=90:{data}\a\n")
    elif "KITTY_WINDOW_ID" in os.environ or "ghostty" in os.environ.get("TERM", ""):
        for start in range(0, len(data), 4096):
            more = int(start + 4096 < len(data))
            head = "a=T,f=100,c=90," if start == 0 else ""
            sys.stdout.write(f"\033_G{head}m={more};{data[start : start + 4096]}\033\\")
        sys.stdout.write("\n")


def _table(frame: pd.DataFrame) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    named = frame.index.name is not None or not isinstance(frame.index, pd.RangeIndex)
    for column in [*([str(frame.index.name or "")] if named else []), *frame.columns]:
        table.add_column(escape(str(column)))
    for index, row in zip(frame.index, frame.itertuples(index=False), strict=True):
        values = [*([index] if named else []), *row]
        table.add_row(*(escape(_plain(value)) for value in values))
    return table


def _plain(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


# --- asking ------------------------------------------------------------------------------------------


@dataclass
class Prediction:
    """A guess made before looking. `reveal` says what was measured, and how the guess compares."""

    choices: Sequence[str]
    guess: str | None = None

    def reveal(self, measured: str) -> None:
        if measured not in self.choices:
            raise ValueError(f"{measured!r} was measured, but is none of the choices {list(self.choices)}")
        verdict = ""
        if self.guess is not None:
            verdict = " - as you predicted." if self.guess == measured else f" - you predicted: {self.guess}."
        show(f"Measured: {measured}{verdict}")


def predict(question: str, choices: Sequence[str]) -> Prediction:
    """Ask for a prediction, one of `choices`, before anything is shown."""
    prediction = Prediction(choices)
    show(f"Predict: {question}")
    if in_notebook():
        _choose_in_notebook(prediction)
        return prediction
    for number, choice in enumerate(choices, 1):
        show(f"  {number}. {choice}")
    while _stage.interactive and prediction.guess is None:
        typed = _stage.console.input("Your prediction (number, or Enter to skip): ").strip()
        if not typed:
            break
        if typed.isdigit() and 1 <= int(typed) <= len(choices):
            prediction.guess = choices[int(typed) - 1]
        else:
            show(f"Please type a number from 1 to {len(choices)}.")
    return prediction


def _choose_in_notebook(prediction: Prediction) -> None:
    try:
        import ipywidgets
        from IPython.display import display
    except ImportError:
        show("\n".join(f"  {n}. {choice}" for n, choice in enumerate(prediction.choices, 1)))
        return
    buttons = ipywidgets.RadioButtons(options=list(prediction.choices), value=None, layout={"width": "max-content"})
    buttons.observe(lambda change: setattr(prediction, "guess", change["new"]), names="value")
    display(buttons)


@dataclass(frozen=True)
class Exercise:
    """A question whose answer was measured or computed. `check(answer)` tells whether yours is right."""

    question: str
    answer: float | str
    hint: str
    tolerance: float = 0.01

    def is_right(self, given: str | float) -> bool:
        """Text is compared without case; numbers within `tolerance`, relative; thousands may have commas."""
        if isinstance(self.answer, str):
            return str(given).strip().casefold() == self.answer.casefold()
        try:
            number = float(str(given).replace(",", "").replace("%", "").strip())
        except ValueError:
            return False
        return abs(number - self.answer) <= self.tolerance * max(1e-12, abs(self.answer))

    def check(self, given: str | float) -> bool:
        right = self.is_right(given)
        show("Right." if right else f"Not yet. Hint: {self.hint}")
        return right


def exercise(question: str, answer: float | str, hint: str, tolerance: float = 0.01) -> Exercise:
    """Ask, check, give a hint after a wrong answer and the answer after three. In a notebook: `.check(...)` below."""
    asked = Exercise(question, answer, hint, tolerance)
    show(f"Exercise: {question}")
    if in_notebook():
        _form_in_notebook(asked)
        return asked
    for _ in range(3 if _stage.interactive else 0):
        typed = _stage.console.input("Your answer (Enter to skip): ").strip()
        if not typed or asked.check(typed):
            break
    show(f"The answer: {_plain(answer)}")
    return asked


def _form_in_notebook(asked: Exercise) -> None:
    try:
        import ipywidgets
        from IPython.display import display
    except ImportError:
        show("Write  .check(your answer)  on what this cell returned.")
        return
    box, button, said = ipywidgets.Text(), ipywidgets.Button(description="check"), ipywidgets.Label()

    def check(_: Any) -> None:
        said.value = "Right." if asked.is_right(box.value) else f"Not yet. Hint: {asked.hint}"

    button.on_click(check)
    display(ipywidgets.HBox([box, button, said]))
