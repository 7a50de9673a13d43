"""Where does a Run come from that Glasstune did not make? An adapter, two checkpoints, or a Trainer's output folder.

A `Run` (engine.run.run) asks for info, steps, metric records and tensors. A `Store` is another source of them (the
files beside this one), and `StoredRun` is the Run that asks a store instead of a captured folder. Nothing is copied or
written.
"""

import re
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from engine.errors import InputError
from engine.run.delta import Factors
from engine.run.form import is_count
from engine.run.format import FORMAT, HELD_OUT, VERSION
from engine.run.run import Run
from engine.run.tensors import Tensors, read_json

STATE = "trainer_state.json"
FLOATING = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
_CONV1D = {"gpt2", "openai-gpt", "imagegpt", "decision_transformer", "clvp"}  # these keep some weights as (in, out)
_CONV1D_LEAVES = re.compile(r"\.(?:c_attn|c_proj|c_fc|q_attn)\.weight$")


class Movement(NamedTuple):
    """Frobenius norms of delta-W and of W, in the weights' unit. Not a number where a weight is none."""

    norm: float
    base_norm: float


class Store(Protocol):
    """What a `StoredRun` asks: the content of run.json, steps, lines of metrics.jsonl; matrices, float32, (out, in)."""

    path: Path
    info: dict[str, Any]
    steps: list[int]
    records: list[dict[str, Any]]

    def factors(self, step: int, module: str) -> Factors:
        """B, A and scaling of a module whose kind is "lora", or "dora" (there the direction only)."""

    def delta(self, step: int, module: str) -> np.ndarray:
        """The change of a module of any other kind than "lora"."""

    def moved(self, step: int, module: str) -> Movement | None:
        """The norms of a change and of W, if they can be had without holding the matrix."""


class StoredRun(Run):
    """A Run whose numbers come from a `Store`: everything that reads a Run reads it too."""

    def __init__(self, store: Store) -> None:
        self.path, self.info, self._store = store.path, store.info, store
        self.steps, self._records = store.steps, store.records  # type: ignore[misc]

    def factors(self, module: str, step: int | None = None, adapter: str | None = None) -> Factors:
        if self.kind(module) == "delta":
            raise InputError(f"the change of {module} in {self.name} is kept whole: it has a delta but no factors")
        return self._store.factors(self._step(step), module)

    def delta(self, module: str, step: int | None = None) -> np.ndarray:
        if self.kind(module) == "lora":
            return self.factors(module, step).product()
        return self._store.delta(self._step(step), module)

    def moved(self, module: str, step: int | None = None) -> Movement | None:
        self._about(module)
        return self._store.moved(self._step(step), module)

    @cached_property
    def norms(self) -> pd.DataFrame:
        """Frobenius norm of every delta-W, in the weights' unit: step x matrix."""
        from engine.measure import norm  # which imports Run

        rows = [[norm(self, module, step) for module in self.modules] for step in self.steps]
        return pd.DataFrame(rows, pd.Index(self.steps, name="step"), self.modules)

    def __repr__(self) -> str:
        ends = dict.fromkeys(self.when(step) for step in (*self.steps[:1], *self.steps[-1:]))
        return f"Run({self.name}: {self.what}, {len(self.modules)} matrices, {' to '.join(ends) or 'no weights'})"

    def when(self, step: int) -> str:
        return super().when(step) if self.info["step_known"] else "as saved"


def make_info(method: dict[str, Any], model: dict[str, Any], modules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"format": FORMAT, "version": VERSION, "status": "saved", "method": method, "model": model,
            "modules": modules, **more}  # fmt: skip


def read_state(folder: Path) -> dict[str, Any] | None:
    """trainer_state.json of a folder, if there is one. Raises InputError if it is broken."""
    place = folder if folder.is_dir() else folder.parent
    if not (place / STATE).is_file():
        return None
    state = read_json(place / STATE)
    if not isinstance(state.get("log_history"), list) or not isinstance(state.get("global_step"), int):
        raise InputError(f"{place / STATE} has no log_history or global_step: transformers' Trainer did not write it")
    return state


def step_of(folder: Path, state: dict[str, Any] | None) -> tuple[int, bool]:
    """(step, whether it is known): from trainer_state.json or the name checkpoint-N; else 1, and not known."""
    if state:
        return int(state["global_step"]), True
    number = folder.name.removeprefix("checkpoint-")
    return (int(number), True) if number != folder.name and number.isdigit() else (1, False)


def records_of(state: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The Trainer's log_history as metrics.jsonl's records: "loss" lines train, "eval_..._loss" lines evaluate."""
    records = []
    for line in (state or {}).get("log_history", []):
        losses = {name: value for name, value in line.items() if name.startswith("eval_") and name.endswith("loss")}
        if not isinstance(line, dict) or not is_count(line.get("step")):
            continue  # a custom callback's
        if "loss" in line:
            records.append({**line, "event": "train"})
        elif losses:
            named = {
                name.removeprefix("eval_").removesuffix("loss").strip("_") or HELD_OUT: v for name, v in losses.items()
            }
            records.append({"step": line["step"], "event": "eval", "exact": {}, "loss": named})
    return records


def is_conv1d(parameter: str, checkpoint: Tensors) -> bool:
    """Is this weight stored (in, out), as GPT-2's Conv1D does? The model type in config.json beside it tells."""
    if not _CONV1D_LEAVES.search(parameter):
        return False
    config = (checkpoint.path if checkpoint.path.is_dir() else checkpoint.path.parent) / "config.json"
    return config.is_file() and read_json(config).get("model_type") in _CONV1D
