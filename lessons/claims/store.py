"""Where does a finished trial lie, and when is it still good? A line of JSON each, in one file that is only added to.

The file that ships with the project, `trials.jsonl`, is what the ledger stands on. A line says besides the settings and
the result which base model and which code made it: what has changed since is tried again when the ledger is run, and
until then the ledger says of how many rows another base was the subject.
"""

import inspect
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from engine.derived import code_of, key
from engine.errors import InputError
from engine.files import alone, append_line, write_text
from engine.reading import lines, parse_json
from engine.run.base import embedded_digest
from engine.school.tasks import TASKS, task_files
from lessons.claims.trials import Result, Trial

SHIPPED = Path(__file__).with_name("trials.jsonl")


class Kept(NamedTuple):
    """A finished trial. base, code: the digests of what made it."""

    result: Result
    base: str
    code: str
    seconds: float

    def same_code(self, trial: Trial) -> bool:
        return self.code == version_of(trial)

    def stands(self, trial: Trial) -> bool:
        """Would the same be measured today?"""
        return self.base == embedded_digest() and self.same_code(trial)


def settings_of(trial: Trial) -> dict[str, Any]:
    """The trial as JSON: its kind and every setting."""
    return {"kind": type(trial).__name__, **asdict(trial)}


def trial_from(settings: dict[str, Any]) -> Trial:
    """The trial that `settings_of` wrote down. Raises KeyError or TypeError if there is no such kind or setting."""
    rest = dict(settings)
    kind: Any = Trial.kinds[rest.pop("kind")]
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in rest.items()})


class Store:
    """The finished trials of some files, of which the last one is written to. Of one trial the last line counts.

    Lines that a kill has cut, and those of trials that are no more, count for nothing. Raises InputError, when the
    first trial is kept, if the file cannot be written.
    """

    def __init__(self, *files: Path) -> None:
        self.file = files[-1]
        self.found: dict[Trial, Kept] = {}
        for file in files:
            self._read(file)

    def _read(self, file: Path) -> None:
        for line in lines(file) if file.exists() else ():
            try:
                told = parse_json(line)
                trial, code = trial_from(told["trial"]), told["code"]
                self.found[trial] = Kept(told["result"], told["base"], code, told["seconds"])
            except (ValueError, KeyError, TypeError):
                continue

    def get(self, trial: Trial) -> Kept | None:
        return self.found.get(trial)

    def finished(self, trial: Trial) -> bool:
        """Has it finished, with today's base and code?"""
        kept = self.found.get(trial)
        return kept is not None and kept.stands(trial)

    def tidy(self, used: Callable[["Store"], Iterable[Trial]]) -> None:
        """Keep the last line of each trial that is used, in order, and no others: what the shipped file needs to hold.
        What other processes have finished meanwhile is read first."""
        with alone(self.file):
            self._read(self.file)
            kept = sorted(_line(trial, self.found[trial]) for trial in set(used(self)) & self.found.keys())
            write_text(self.file, "".join(f"{line}\n" for line in kept))

    def put(self, trial: Trial, result: Result, seconds: float = 0.0) -> None:
        kept = Kept(plain(result), embedded_digest(), version_of(trial), round(seconds, 1))
        try:
            with alone(self.file):
                append_line(self.file, _line(trial, kept))
        except OSError as error:
            raise InputError(f"{self.file} cannot be written ({error.strerror}); give another --store") from None
        self.found[trial] = kept


def _line(trial: Trial, kept: Kept) -> str:
    return json.dumps({"trial": settings_of(trial), **kept._asdict()}, separators=(",", ":"))


def plain(value: Any) -> Any:
    """For JSON: six digits are kept of a number, and what is not finite (a training that diverged) becomes null."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def version_of(trial: Trial) -> str:
    """A digest of what its result follows from besides its settings: see `_version`."""
    return _version(type(trial), getattr(trial, "task", ""))


@cache
def _version(kind: type[Trial], task: str) -> str:
    """Of the code that runs this kind of trial (its own file, that of trainings and that of the questions, without
    comments), and of the task's data if it is given one that is kept in files."""
    folder = Path(inspect.getfile(Trial)).parent
    code = code_of({Path(inspect.getfile(kind)), folder / "training.py", folder / "questions.py"})
    return key(task, code=code, files=task_files(task) if task in TASKS else [])[:16]
