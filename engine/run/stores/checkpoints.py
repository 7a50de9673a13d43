"""What changed between two checkpoints? `CheckpointStore`: their difference, streamed from safetensors files."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import InputError
from engine.run.base import EMBEDDED, base_folder
from engine.run.info import Found, Model, Module, RunInfo
from engine.run.store import Movement, Store
from engine.run.stores.state import read_state, records_of, step_of
from engine.run.tensors import FLOATING, Tensors, find_name, is_conv1d
from engine.terminal import progress_bar

_THREADS = 4  # reading and converting overlap; each holds a megabyte


class CheckpointStore(Store):
    """Two whole models: delta = tuned - base, by parameter, streamed from their files."""

    def __init__(self, base: str | Path, tuned: str | Path) -> None:
        source = str(base)
        self.base = Tensors(base if Path(source).is_file() else _folder(source))
        self.tuned = Tensors(_folder(str(tuned)))
        self.path = Path(tuned) if str(tuned) != EMBEDDED else self.tuned.path
        self.state = read_state(self.tuned.path)
        self.step, known = step_of(self.tuned.path, self.state)
        self.names, differences = pair(self.base, self.tuned)
        if not self.names:
            raise InputError(
                f"{self.base.path} and {self.tuned.path} have no tensor of the same name and shape in common; "
                "give a base and what was made of it"
            )
        self.modules = {name.removesuffix(".weight"): self._about(name) for name in self.names}
        notes = [f"{what}: {names[0]}" + f" and {len(names) - 1} more" * (len(names) > 1)
                 for what, names in differences.items() if names]  # fmt: skip
        self.info = RunInfo(
            status="saved",
            model=Model(name=Path(source).name, source=source, parameters=self.base.parameters),
            modules=self.modules,
            notes=tuple(notes),
            differences=differences,
            step_known=known,
            found=Found(kind="checkpoints", path=str(self.path)),
        )
        self._moved: dict[str, Movement] = {}

    def _about(self, name: str) -> Module:
        transposed = is_conv1d(name, self.tuned) or is_conv1d(name, self.base)
        return whole_module(name, self.tuned, transposed, self.names[name])

    def steps(self) -> list[int]:
        return [self.step]

    def records(self) -> list[dict[str, Any]]:
        return records_of(self.state)

    def delta(self, step: int, module: str) -> np.ndarray:
        """One delta: the tuned tensor, from which the base is taken piece by piece, so that only one is held."""
        about = self.modules[module]
        key = about.parameter or ""
        delta = self.tuned.read(key)
        flat = delta.reshape(-1)
        for at, piece in self.base.pieces(self.names[key]):
            flat[at : at + piece.size] -= piece
        return np.ascontiguousarray(delta.T) if about.transposed else delta

    def moved(self, step: int, module: str) -> Movement:
        key = self.modules[module].parameter or ""
        if key not in self._moved:
            self._moved[key] = self._measure(key)
        return self._moved[key]

    def weight(self, module: str) -> np.ndarray:
        about = self.modules[module]
        weight = self.base.read(about.in_base)
        return weight.T.copy() if about.transposed else weight

    @np.errstate(invalid="ignore", over="ignore")  # a weight that is no number gives a norm that is none
    def _measure(self, key: str) -> Movement:
        norm = base_norm = 0.0
        difference = np.empty(0, np.float32)
        pieces = zip(self.base.pieces(self.names[key]), self.tuned.pieces(key), strict=True)
        for (_, before), (_, after) in pieces:
            difference = difference if len(difference) >= len(before) else np.empty(len(before), np.float32)
            delta = np.subtract(after, before, out=difference[: len(before)])
            norm += float(np.dot(delta, delta))
            base_norm += float(np.dot(before, before))
        return Movement(
            math.sqrt(norm) if norm >= 0 else math.nan, math.sqrt(base_norm) if base_norm >= 0 else math.nan
        )

    def scan(self, progress: bool = True) -> None:
        """Measure every tensor, on a few threads, with a bar in bytes read."""
        sizes = {
            key: self.tuned.entries[key].nbytes + self.base.entries[name].nbytes for key, name in self.names.items()
        }
        with (
            ThreadPoolExecutor(_THREADS) as pool,
            progress_bar(
                title="delta-W", total=sum(sizes.values()), unit="B", unit_scale=True, disable=not progress
            ) as bar,
        ):
            for key, movement in zip(sizes, pool.map(self._measure, sizes), strict=True):
                self._moved[key] = movement
                bar.update(sizes[key])


def whole_module(name: str, tuned: Tensors, transposed: bool, base_name: str) -> Module:
    """A parameter that was trained whole."""
    shape = tuned.shape(name)
    return Module(kind="delta", shape=shape[::-1] if transposed else shape, parameter=name, base_parameter=base_name,
                  transposed=transposed)  # fmt: skip


def _folder(source: str) -> Path:
    path = Path(source).expanduser()
    return path if path.exists() or path.is_absolute() or source.startswith((".", "~")) else base_folder(source)


def pair(base: Tensors, tuned: Tensors) -> tuple[dict[str, str], dict[str, list[str]]]:
    """tuned name -> base name for the tensors that can be compared, and the names of those that cannot, by reason."""
    names: dict[str, str] = {}
    lists: dict[str, list[str]] = {
        "shapes differ": [],
        "only in the tuned": [],
        "only in the base": [],
        "not floats": [],
    }
    for name, entry in tuned.entries.items():
        other = find_name(name, base)
        if other is None:
            lists["only in the tuned"].append(name)
        elif entry.shape != base.shape(other):
            lists["shapes differ"].append(f"{name} {base.shape(other)} -> {entry.shape}")
            names[name] = ""
        elif entry.dtype not in FLOATING or base.entries[other].dtype not in FLOATING:
            lists["not floats"].append(name)
        else:
            names[name] = other
    met = {find_name(name, base) for name in names} | {find_name(name, base) for name in lists["not floats"]}
    lists["only in the base"] = [name for name in base.entries if name not in met]
    return {name: other for name, other in names.items() if other}, lists
