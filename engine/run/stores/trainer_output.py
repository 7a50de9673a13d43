"""How did a training go that nobody captured? `TrainerStore`: what transformers' Trainer left in its output folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import InputError
from engine.run.delta import Factors
from engine.run.stores.adapter import CONFIG, AdapterStore
from engine.run.stores.checkpoints import CheckpointStore
from engine.run.stores.stored import STATE, Movement, is_conv1d, make_info, read_state, records_of
from engine.run.tensors import Tensors


class TrainerStore:
    """What transformers' Trainer leaves behind: trainer_state.json, `checkpoint-N` folders, and often the result."""

    def __init__(self, folder: str | Path, base: str | Path | None = None) -> None:
        self.path, self.base = Path(folder).expanduser(), base
        if not self.path.is_dir():
            raise InputError(f"{self.path} is no folder; give the output_dir of a Trainer")
        folders = {step: place for place, step in _checkpoints(self.path)}
        states = [state for place in [self.path, *folders.values()] if (state := read_state(place))]
        if not states:
            raise InputError(
                f"{self.path} holds no {STATE}, nor does any checkpoint-N in it; a Trainer writes it with each "
                "checkpoint, and trainer.save_state() at the end"
            )
        state = max(states, key=lambda one: one["global_step"])
        if _holds_weights(self.path):
            folders.setdefault(int(state["global_step"]), self.path)
        self.folders = dict(sorted((step, place) for step, place in folders.items() if _holds_weights(place)))
        self.steps, self.records = list(self.folders), records_of(state)
        self._stores: dict[int, AdapterStore | CheckpointStore] = {}
        whole = bool(self.folders) and not (self.folders[self.steps[-1]] / CONFIG).is_file()
        self.info = (
            make_info({"name": "full" if whole else "unknown"}, {"name": str(base), "source": str(base)}, {}, notes=[])
            if not self.folders or (whole and base is None)
            else {**self._store(self.steps[-1]).info}
        )
        if whole:
            self.info["method"] = {"name": "full"}
            if base is None:
                self.info["modules"] = _whole_modules(self.folders[self.steps[-1]])
                self.info["notes"] = ["its checkpoints are whole models: give base=... to see what changed in them"]
        self.info |= {"steps": int(state["global_step"]), "step_known": True,
                      "found": {"kind": "trainer output", "path": str(self.path)}}  # fmt: skip

    def _store(self, step: int) -> AdapterStore | CheckpointStore:
        if step not in self._stores:
            place = self.folders[step]
            if (place / CONFIG).is_file():
                self._stores[step] = AdapterStore(place, self.base)
            elif self.base is None:
                raise InputError(
                    f"{place} is a whole model: give base=..., the model that training began with, for a delta"
                )
            else:
                self._stores[step] = CheckpointStore(self.base, place)
        return self._stores[step]

    def factors(self, step: int, module: str) -> Factors:
        return self._store(step).factors(step, module)

    def delta(self, step: int, module: str) -> np.ndarray:
        return self._store(step).delta(step, module)

    def moved(self, step: int, module: str) -> Movement | None:
        return self._store(step).moved(step, module)


def _checkpoints(folder: Path) -> Iterator[tuple[Path, int]]:
    for place in folder.glob("checkpoint-*"):
        number = place.name.removeprefix("checkpoint-")
        if place.is_dir() and number.isdigit():
            yield place, int(number)


def _holds_weights(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (CONFIG, "model.safetensors", "model.safetensors.index.json"))


def _whole_modules(folder: Path) -> dict[str, Any]:
    tensors = Tensors(folder)
    modules = {}
    for name, entry in tensors.entries.items():
        transposed, shape = is_conv1d(name, tensors), list(entry.shape)
        shape = shape[::-1] if transposed else shape
        modules[name.removesuffix(".weight")] = {"kind": "delta", "shape": shape, "parameter": name,
                                                 "base_parameter": name, "transposed": transposed}  # fmt: skip
    return modules
