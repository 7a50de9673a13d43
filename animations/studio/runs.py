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

_RACE = {"steps": 200, "learning_rate": 4e-3, "evaluate_at": 25, "skills": 1}

RECIPES = {
    "lora": Recipe("spanish", "lora", {"r": 8, "alpha": 16}, {"steps": 200}),
    "full": Recipe("spanish", "full", {}, {"steps": 120, "every": [*range(18), *range(18, 121, 3)], "evaluate_at": 24}),
    "slow": Recipe("spanish", "lora", {"r": 8, "alpha": 16}, {"steps": 200, "learning_rate": 5e-4}),
    "mixed": Recipe("spanish", "full", {}, {"steps": 160, "mix": 0.5, "every": 40}),
    "pirate": Recipe("pirate", "lora", {"r": 8, "alpha": 16}, {"steps": 80}),
    "rate-low": Recipe("spanish", "lora", {"r": 8, "alpha": 16}, {"steps": 200, "learning_rate": 2e-4, "skills": 5}),
    "rate-high": Recipe("spanish", "lora", {"r": 8, "alpha": 16}, {"steps": 200, "learning_rate": 2e-2, "skills": 5}),
    "warm": Recipe(
        "spanish", "lora", {"r": 8, "alpha": 16}, {"steps": 60, "learning_rate": 1e-2, "warmup": 0.25, "skills": 2}
    ),
    "cold": Recipe(
        "spanish", "lora", {"r": 8, "alpha": 16}, {"steps": 60, "learning_rate": 1e-2, "warmup": 0.0, "skills": 2}
    ),
    "small": Recipe("spanish", "lora", {"r": 8, "alpha": 16}, {"epochs": 30, "batch_size": 16, "skills": 2}, first=64),
    "qlora": Recipe("spanish", "qlora", {"r": 8, "alpha": 16}, {"steps": 200}),
    "clean": Recipe("spanish", "lora", {"r": 8, "alpha": 16}, _RACE, first=189),
    "noisy": Recipe("noisy spanish", "lora", {"r": 8, "alpha": 16}, _RACE),
}
_TRAINED = {"steps": 30, "batch_size": 16, "learning_rate": 4e-3, "evaluate_at": 3, "every": 30, "skills": 1}
RECIPES |= {
    f"brackets-{count}": Recipe("brackets", "lora", {"r": 8, "alpha": 16}, _TRAINED, first=count)
    for count in (2, 8, 32, 128)
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
