"""How did a training go that nobody captured? `TrainerStore`: what transformers' Trainer left in its output folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from engine.errors import InputError
from engine.reading import inside
from engine.run.delta import Factors
from engine.run.info import Found, Method, Model, Module, RunInfo
from engine.run.store import Movement, Store
from engine.run.stores.adapter import CONFIG, AdapterStore
from engine.run.stores.checkpoints import CheckpointStore, whole_module
from engine.run.stores.state import STATE, checkpoint_number, read_state, records_of
from engine.run.tensors import Tensors, is_conv1d


class TrainerStore(Store):
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
        self.state, self._stores = state, dict[int, AdapterStore | CheckpointStore]()
        self.info = replace(
            self._describe(),
            steps=int(state["global_step"]),
            step_known=True,
            found=Found(kind="trainer output", path=str(self.path)),
        )

    def _describe(self) -> RunInfo:
        """What the last weights say: an adapter says all, a whole model what it is made of."""
        if not self.folders:
            return RunInfo(status="saved", model=_named(self.base))
        last = self.steps()[-1]
        if (self.folders[last] / CONFIG).is_file():
            return self._store(last).info
        if self.base is not None:
            return replace(self._store(last).info, method=Method(name="full"))
        return RunInfo(
            status="saved",
            method=Method(name="full"),
            model=_named(self.base),
            modules=_whole_modules(self.folders[last]),
            notes=("its checkpoints are whole models: give base=... to see what changed in them",),
        )

    def steps(self) -> list[int]:
        return list(self.folders)

    def records(self) -> list[dict[str, Any]]:
        return records_of(self.state)

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

    def factors(self, step: int, module: str, adapter: str | None = None) -> Factors:
        return self._store(step).factors(step, module)

    def delta(self, step: int, module: str) -> np.ndarray:
        return self._store(step).delta(step, module)

    def moved(self, step: int, module: str) -> Movement | None:
        return self._store(step).moved(step, module)

    def weight(self, module: str) -> np.ndarray:
        return self._store(self.steps()[-1]).weight(module)


def _checkpoints(folder: Path) -> Iterator[tuple[Path, int]]:
    for place in folder.glob("checkpoint-*"):
        number = checkpoint_number(place)
        if number is not None and place.is_dir():
            yield inside(folder, place), number


def _holds_weights(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (CONFIG, "model.safetensors", "model.safetensors.index.json"))


def _named(base: str | Path | None) -> Model:
    return Model() if base is None else Model(name=Path(base).name, source=str(base))


def _whole_modules(folder: Path) -> dict[str, Module]:
    tensors = Tensors(folder)
    return {
        name.removesuffix(".weight"): whole_module(name, tensors.shape(name), is_conv1d(name, tensors), name)
        for name in tensors.entries
    }
