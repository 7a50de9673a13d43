"""Who lets a training be watched while it goes on? Whoever is named so where Glasstune is installed.

What shows a training lies above what trains, which therefore knows nobody by name: it asks the entry points of the
group "glasstune.live" (in pyproject.toml) for a function that is told the Run's folder when its first step is written,
and gives what to call when the training has ended.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

from engine import terminal
from engine.errors import InputError, first_line

GROUP = "glasstune.live"
Show = Callable[[Path], Callable[[], None]]


def find_show() -> Show:
    """What shows a training. Raises InputError if there is nothing installed that does."""
    found = next(iter(entry_points(group=GROUP)), None)
    if found is None:
        raise InputError("live=True needs a Glasstune that was installed whole; install it again (pip install -e .)")
    return found.load()


def begin_showing(show: Show, folder: Path) -> Callable[[], None]:
    """Have a training shown; gives what ends that. What goes wrong there is said, and training goes on."""
    end: Callable[[], None] | None = None
    with _said():
        end = show(folder)

    def ended() -> None:
        with _said():
            if end is not None:
                end()

    return ended


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        why = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {first_line(error)}"
        terminal.remark(f"the training cannot be watched, and goes on: {why}")
