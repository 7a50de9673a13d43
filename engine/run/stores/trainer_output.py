"""How did a training go that nobody captured? `TrainerStore`: what transformers' Trainer left in its output folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from engine.errors import InputError
from engine.reading import check_name, inside
from engine.run.adapters.adapter import CONFIG
from engine.run.delta import Factors
from engine.run.info import Found, Method, Model, Module, RunInfo
from engine.run.pairing import EMPTY
from engine.run.store import Movement, Store
from engine.run.stores.adapter import AdapterStore
from engine.run.stores.checkpoints import CheckpointStore, whole_module
from engine.run.stores.state import STATE, checkpoint_number, read_state, records_of
from engine.run.stores.trainings import equal_weights, one_training
from engine.run.tensors import Tensors, is_conv1d

WHOLE_AGAIN = (
    "make it whole with DeepSpeed's zero_to_fp32.py, which lies in the checkpoint, or train again with "
    "stage3_gather_16bit_weights_on_model_save"
)


class TrainerStore(Store):
    """What transformers' Trainer leaves behind: trainer_state.json, `checkpoint-N` folders, and often the result."""

    def __init__(self, folder: str | Path, base: str | Path | None = None) -> None:
        self.path, self.base = check_name(folder), base
        if not self.path.is_dir():
            raise InputError(f"{self.path} is no folder; give the output_dir of a Trainer")
        own = read_state(self.path)
        places = dict(_checkpoints(self.path))
        states = {place: state for place in places if (state := read_state(place))}
        if own is None and not states:
            raise InputError(
                f"{self.path} holds no {STATE}, nor does any checkpoint-N in it; a Trainer writes it with each "
                "checkpoint, and trainer.save_state() at the end"
            )
        self.state, others = one_training(self.path, own, states)
        notes = [f"{place.name} is of another training, whose log differs, and is left out" for place in sorted(others)]
        folders: dict[int, Path] = {}
        for place in sorted(places, key=lambda one: (len(one.name), one.name)):  # as a Trainer calls it first
            if place in others or not _holds_weights(place):
                continue
            if places[place] in folders:
                notes.append(f"{place.name} has the number of {folders[places[place]].name}, and is left out")
            folders.setdefault(places[place], place)
        if not folders and (named := [place for place in (self.path, *places) if _named_adapters(place)]):
            inside_it = _named_adapters(named[-1])
            raise InputError(
                f"{self.path} holds its adapters by their names, in folders of their own ({', '.join(inside_it)}): "
                f"give one of them, such as {named[-1] / inside_it[0]}"
            )
        result = self._add_result(folders, notes)
        self.folders, self._stores = dict(sorted(folders.items())), dict[int, AdapterStore | CheckpointStore]()
        self.result = result if result is not None else max(self.folders, default=None)
        about = self._describe()
        self.info = replace(
            about,
            steps=int(self.state["global_step"]),
            step_known=True,
            result=self.result,
            notes=(*notes, *about.notes),
            found=Found(kind="trainer output", path=str(self.path), **_of_adapter(about)),
        )

    def _add_result(self, folders: dict[int, Path], notes: list[str]) -> int | None:
        """The step of the folder's own weights, found by equality: the last, or the best, which the Trainer went back
        to; None if there are none."""
        if not _holds_weights(self.path):
            return None
        last, best = int(self.state["global_step"]), self.state.get("best_global_step")
        for step in sorted(folders, key=lambda step: (step != best, step != last, -step)):
            if equal_weights(self.path, folders[step]):
                if step != last:
                    notes.append(f"the result is step {step}: the folder's own weights are those of checkpoint-{step}")
                return step
        if last in folders:
            notes.append(
                "the folder's own weights, the result, are those of none of its checkpoints: nothing tells their step, "
                f"and they stand here in the place of {folders[last].name}"
            )
        folders[last] = self.path
        return last

    def _describe(self) -> RunInfo:
        """What the result's weights say: an adapter says all, a whole model what it is made of."""
        if self.result is None:
            return RunInfo(status="saved", model=_named(self.base))
        last = self.result
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

    def _holding(self, step: int, module: str) -> AdapterStore | CheckpointStore:
        """The weights of a step. Raises InputError where they lack this module, which the result has."""
        store = self._store(step)
        if module not in store.info.modules:
            why, remedy = "it holds nothing of it", "ask for another step"
            if EMPTY in store.info.differences:
                why, remedy = f"some of its tensors are {EMPTY}", WHOLE_AGAIN
            raise InputError(f"{self.folders[step]} does not tell the change of {module}: {why}; {remedy}")
        return store

    def factors(self, step: int, module: str, adapter: str | None = None) -> Factors:
        return self._holding(step, module).factors(step, module)

    def delta(self, step: int, module: str) -> np.ndarray:
        return self._holding(step, module).delta(step, module)

    def moved(self, step: int, module: str) -> Movement | None:
        return self._holding(step, module).moved(step, module)

    def rounding(self, step: int, module: str) -> float:
        return self._holding(step, module).rounding(step, module)

    def coded(self, step: int, module: str) -> str:
        return self._store(step).coded(step, module)

    def weight(self, module: str) -> np.ndarray:
        assert self.result is not None  # whose modules these are
        return self._holding(self.result, module).weight(module)


def _of_adapter(about: RunInfo) -> dict[str, Any]:
    return {} if about.found is None else {"foreign": about.found.foreign, "init": about.found.init}


def _checkpoints(folder: Path) -> Iterator[tuple[Path, int]]:
    for place in folder.glob("checkpoint-*"):
        number = checkpoint_number(place)
        if number is not None and place.is_dir():
            yield inside(folder, place), number


def _holds_weights(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (CONFIG, "model.safetensors", "model.safetensors.index.json"))


def _named_adapters(folder: Path) -> list[str]:
    """Where PEFT puts adapters that are not called "default"."""
    return [] if _holds_weights(folder) else sorted(config.parent.name for config in folder.glob(f"*/{CONFIG}")
                                                    if checkpoint_number(config.parent) is None)  # fmt: skip


def _named(base: str | Path | None) -> Model:
    return Model() if base is None else Model(name=Path(base).name, source=str(base))


def _whole_modules(folder: Path) -> dict[str, Module]:
    tensors = Tensors(folder)
    return {
        name.removesuffix(".weight"): whole_module(name, tensors.shape(name), is_conv1d(name, tensors), name)
        for name in tensors.entries
    }
