"""Which runs do the films show when none is given? Small real ones, made when first needed and kept under `runs/`.

python -m animations.runs             makes all of them
python -m animations.runs lora full   makes these
"""

import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import terminal
from engine.errors import InputError
from engine.files import alone, aside, whole, write_json
from engine.reading import read_json
from engine.recording.ours import RECIPE, clear
from engine.run.base import embedded_digest
from engine.run.run import Run
from engine.school.tasks import TASKS

if TYPE_CHECKING:
    from engine.data import Conversations


@dataclass(frozen=True)
class Recipe:
    """What a film's own run is made from: see `engine.training.finetune`. method: a name of ours with its options.

    data: a task's name or "brackets", alone or after a key of CHANGES ("noisy spanish"). first: only so many examples
    of its training part; the held-out part stays whole.
    """

    data: str
    method: str
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    first: int | None = None


def _noisy(task: "Conversations") -> "Conversations":
    from engine.data.noise import with_wrong_answers

    return replace(task, train=with_wrong_answers(task.train, 0.5))


# What a run may be trained on instead of a task as it is: the task with every other answer wrong.
CHANGES: "dict[str, Callable[[Conversations], Conversations]]" = {"noisy": _noisy}


def _graded(steps: int) -> list[int]:
    """The steps at which a training of so many is graded by default: see `engine.recording.schedule`."""
    return [round(steps * (part / 12) ** 1.5) for part in range(13)]


_RACE = {"steps": 200, "learning_rate": 4e-3, "evaluate_at": 25, "every": 8, "skills": 1}
_RATES = {"steps": 200, "skills": 5, "every": sorted({*_graded(200), *range(0, 201, 10)})}
_FEW = {"epochs": 30, "batch_size": 16, "skills": 2, "every": _graded(120)}
_WARM = {"steps": 60, "learning_rate": 1e-2, "skills": 2, "every": 3}
_TRAINED = {"steps": 30, "batch_size": 16, "learning_rate": 4e-3, "evaluate_at": 3, "every": 30, "skills": 1}
_RANK = {"r": 8, "alpha": 16}

# every: a capture of all weights is 5 MB, of an adapter 0.4: what no film replays is captured at its ends only.
RECIPES = {
    "lora": Recipe("spanish", "lora", _RANK, {"steps": 200}),
    "full": Recipe("spanish", "full", {}, {"steps": 120, "every": [*range(5), *range(6, 121, 6)], "evaluate_at": 24}),
    "slow": Recipe("spanish", "lora", _RANK, {"steps": 200, "learning_rate": 5e-4, "every": 200}),
    "mixed": Recipe("spanish", "full", {}, {"steps": 160, "mix": 0.5, "every": 160}),
    "pirate": Recipe("pirate", "lora", _RANK, {"steps": 80, "every": 80}),
    "rate-low": Recipe("spanish", "lora", _RANK, _RATES | {"learning_rate": 2e-4}),
    "rate-high": Recipe("spanish", "lora", _RANK, _RATES | {"learning_rate": 2e-2}),
    "warm": Recipe("spanish", "lora", _RANK, _WARM | {"warmup": 0.25}),
    "cold": Recipe("spanish", "lora", _RANK, _WARM | {"warmup": 0.0}),
    "small": Recipe("spanish", "lora", _RANK, _FEW, first=64),
    "qlora": Recipe("spanish", "qlora", _RANK, {"steps": 200, "every": 5}),
    "clean": Recipe("spanish", "lora", _RANK, _RACE, first=189),
    "noisy": Recipe("noisy spanish", "lora", _RANK, _RACE),
    **{f"brackets-{count}": Recipe("brackets", "lora", _RANK, _TRAINED, first=count) for count in (2, 8, 32)},
    "brackets-128": Recipe("brackets", "lora", _RANK, _TRAINED | {"every": 3}, first=128),
}


def folder_of(name: str) -> Path:
    return Path(os.environ.get("GLASSTUNE_RUNS", "runs")) / f"film-{name}"


@cache
def film_run(name: str, progress: bool = True) -> Run:
    """The run called `name` of RECIPES, made now if it is not there, or if its recipe or the base model has changed.

    Raises InputError for a name that is none, or where it cannot be written.
    """
    if name not in RECIPES:
        raise InputError(f"the films have no run called {name!r}; there are {', '.join(RECIPES)}")
    with alone(folder_of(name)):
        return _made(name, progress)


def _made(name: str, progress: bool) -> Run:
    folder = folder_of(name)
    given = {what: value for what, value in asdict(RECIPES[name]).items() if value is not None}
    made_from = {**given, "base": embedded_digest()}
    made = _recipe(folder)
    if made == made_from:
        return Run.load(folder)
    from engine.training.finetune import finetune  # training is only loaded when there is something to train
    from engine.training.methods import METHODS

    recipe = RECIPES[name]
    method = METHODS[recipe.method](**recipe.options)
    data = recipe.data if recipe.data in TASKS and not recipe.first else training_data(name)
    if made is not None:
        said = clear(folder)
    else:
        there = folder.exists() or folder.is_symlink()
        said = f"{folder} was not made for the films; it now lies in {aside(folder)}" if there else None
    if said:
        terminal.say(said, sys.stderr)
    with whole(folder) as part:
        finetune("embedded", data, method, out=part, progress=progress, **recipe.settings)
        write_json(part / RECIPE, made_from)
    return Run.load(folder)


def _recipe(folder: Path) -> dict[str, Any] | None:
    """What a film's own run was made from; None for a folder that this module did not make."""
    try:
        made = read_json(folder / RECIPE, within=folder)
    except InputError:
        return None
    return made if {"data", "method", "base"} <= made.keys() else None


def training_data(name: str) -> "Conversations":
    """What the run called `name` of RECIPES is trained on."""
    from engine.data import load
    from engine.evaluate.prompting import BRACKETS, brackets

    recipe = RECIPES[name]
    change, _, task = recipe.data.rpartition(" ")
    data = brackets() if task == BRACKETS else load(task)
    data = CHANGES[change](data) if change else data
    return replace(data, train=data.train[: recipe.first])
