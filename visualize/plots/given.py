"""What is a plot given? A Run or several, or the paths of their folders; of several, each with a label of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.errors import InputError
from engine.measure import norm
from engine.run.apart import told_apart
from engine.run.base import EMBEDDED, base_folder, base_weight
from engine.run.run import Run, as_run
from engine.run.tensors import Tensors, is_conv1d
from visualize.theme import METHOD_LINES, palette

OneRun = Run | str | Path
Runs = OneRun | Sequence[OneRun] | Mapping[str, OneRun]

_OF_A_RUN = ("run.json", "adapter_config.json", "trainer_state.json", "checkpoint-*")
_LINES = ("-", "--", ":", "-.")
_MARKS = "os^Dvph"


def as_runs(runs: Runs) -> dict[str, Run]:
    """label -> Run, in the order given: a mapping's own labels, or else names that tell the runs apart."""
    if isinstance(runs, Mapping):
        return {str(label): as_run(run) for label, run in runs.items()}
    every = [as_run(run) for run in ([runs] if isinstance(runs, OneRun) else runs)]
    if not every:
        raise InputError("there is no run to draw; give at least one")
    return dict(zip(told_apart(every), every, strict=True))


class Look(NamedTuple):
    """How a run's line is drawn: its method's colour; runs of one method differ in line style and mark."""

    colour: str
    line: str
    mark: str


def looks(runs: Mapping[str, Run]) -> dict[str, Look]:
    """label -> how it looks beside the others."""
    methods = [run.method for run in runs.values()]
    found = {}
    for at, (label, run) in enumerate(runs.items()):
        nth, alone = methods[:at].count(run.method), methods.count(run.method) == 1
        line = METHOD_LINES.get(run.method, "-") if alone else _LINES[nth % len(_LINES)]
        found[label] = Look(palette().method(run.method), line, _MARKS[(at if alone else nth) % len(_MARKS)])
    return found


# --- matrices ----------------------------------------------------------------------------------------


def choose_module(run: Run, module: str | None, step: int | None = None) -> str:
    """The module asked for, or the matrix that moved furthest by this step. Raises InputError if it is no matrix."""
    if module is not None:
        if len(shape := run.shape(module)) != 2:  # an unknown one is named here too, before anything is drawn
            raise InputError(f"{module} has the shape {shape}, and this picture shows a matrix; {_of_any_shape(run)}")
        return module
    if not run.modules:
        raise InputError(f"run {run.name} changed no matrix, and this picture shows one; {_of_any_shape(run)}")
    return max(run.modules, key=lambda name: norm(run, name, step))


def _of_any_shape(run: Run) -> str:
    changed = list(run.info.modules)
    many = f"it changed {len(changed)} parameters ({changed[0]}, ...)" if changed else "no other parameter either"
    return f"{many}: plot_layers and plot_norms draw them"


def drawn_together(run: Run) -> list[str]:
    """What is drawn of a whole model: its matrices, or of a run that changed none all that it did change."""
    if not run.info.modules:
        raise InputError(f"run {run.name} changed no weight that is known, so there is nothing to draw")
    return run.modules or list(run.info.modules)


def matrix_of(run: OneRun, module: str | None) -> tuple[str, np.ndarray]:
    """A module's name and its W, (out, in), as it was before training.

    run: a Run or its folder; or a base model's name ("embedded") or folder, for which `module` must be given.
    """
    if isinstance(run, Run) or not _is_model(run):
        run = as_run(run)
        module = choose_module(run, module)
        return module, run.weight(module)
    if module is None:
        raise InputError(f"{run} is a model and has many matrices; say which one with module=...")
    source, parameter = str(run), f"{module}.weight"
    weight = base_weight(source, parameter)
    return module, weight.T if is_conv1d(parameter, Tensors(base_folder(source))) else weight


def _is_model(source: str | Path) -> bool:
    """Is this a base model, rather than what a training left? A name of the Hub is, and a folder without a trace."""
    return str(source) == EMBEDDED or not any(next(Path(source).glob(trace), None) for trace in _OF_A_RUN)


def last_step(run: Run, step: int | None) -> int:
    return run.result if step is None else step
