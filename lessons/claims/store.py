"""Where does a finished trial lie, and when is it still good? One small JSON a trial, so that a stopped run goes on.

A trial's file is named after everything that its result follows from: its settings, the code that runs it (comments
and docstrings apart), and the base model's weights. So what has changed is tried again, and nothing else.
"""

import hashlib
import inspect
import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from engine.derived import code_of
from engine.errors import InputError
from engine.files import write_text
from engine.reading import read_json
from engine.run.base import embedded_digest
from lessons.claims.trials import Trial


def settings_of(trial: Trial) -> dict[str, Any]:
    """The trial as JSON: its kind and every setting."""
    return {"kind": type(trial).__name__, **asdict(trial)}


def trial_from(settings: dict[str, Any]) -> Trial:
    """The trial that `settings_of` wrote down."""
    rest = dict(settings)
    kind: Any = Trial.kinds[rest.pop("kind")]
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in rest.items()})


class Store:
    """A folder of finished trials. Raises InputError if it cannot be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} cannot be written ({error.strerror}); give another folder") from None

    def path(self, trial: Trial) -> Path:
        key = json.dumps([settings_of(trial), code_version(type(trial)), embedded_digest()], sort_keys=True)
        return self.folder / f"{type(trial).__name__.lower()}-{hashlib.sha256(key.encode()).hexdigest()[:20]}.json"

    def get(self, trial: Trial) -> dict[str, Any] | None:
        """The trial's result, or None if it has not finished (or its file is broken: it is then tried again)."""
        try:
            return read_json(self.path(trial))["result"]
        except (InputError, KeyError):
            return None

    def put(self, trial: Trial, result: dict[str, Any], seconds: float = 0.0) -> None:
        """Written beside, then renamed: a kill at any instant leaves a whole file or none."""
        text = json.dumps({"trial": settings_of(trial), "seconds": round(seconds, 2), "result": plain(result)})
        write_text(self.path(trial), text)


def plain(value: Any) -> Any:
    """For JSON: six digits are kept of a number, and what is not finite (a training that diverged) becomes null."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


@cache
def code_version(kind: type[Trial]) -> str:
    """A digest of the code that runs this kind of trial: its own file, and that of trainings, without comments."""
    return code_of({Path(inspect.getfile(kind)), Path(inspect.getfile(Trial)).with_name("training.py")})


# --- the archive: what the ledger stands on --------------------------------------------------------------


def archive_file(ledger: Path) -> Path:
    return ledger.with_name(f"{ledger.stem}-trials.jsonl")


def read_archive(ledger: Path) -> dict[Trial, dict[str, Any]]:
    """The trials that a ledger stands on, with their results: one line each in the file beside it."""
    path = archive_file(ledger)
    if not path.exists():
        return {}
    kept = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return {trial_from(line["trial"]): line["result"] for line in kept}


def archive(trials: Iterable[Trial], store: Store, ledger: Path) -> None:
    """Keep these trials' results beside the ledger, so that its rows can be computed again from them."""
    found = read_archive(ledger)
    for trial in trials:
        if (result := store.get(trial)) is not None:
            found[trial] = result
    lines = sorted(json.dumps({"trial": settings_of(trial), "result": found[trial]}) for trial in found)
    write_text(archive_file(ledger), "".join(f"{line}\n" for line in lines))
