"""What changed between two checkpoints? `CheckpointStore`: their difference, streamed from safetensors files."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from engine.errors import InputError
from engine.run.base import EMBEDDED, base_folder
from engine.run.delta import Factors
from engine.run.stores.stored import FLOATING, Movement, is_conv1d, make_info, read_state, records_of, step_of
from engine.run.tensors import Tensors, find_name

_THREADS = 4  # reading and converting overlap; each holds a megabyte


class CheckpointStore:
    """Two whole models: delta = tuned - base, by parameter, streamed from their files."""

    def __init__(self, base: str | Path, tuned: str | Path) -> None:
        source = str(base)
        self.base = Tensors(base if Path(source).is_file() else _folder(source))
        self.tuned = Tensors(_folder(str(tuned)))
        self.path = Path(tuned) if str(tuned) != EMBEDDED else self.tuned.path
        state = read_state(self.tuned.path)
        self.step, known = step_of(self.tuned.path, state)
        self.steps, self.records = [self.step], records_of(state)
        self.names, differences = pair(self.base, self.tuned)
        if not self.names:
            raise InputError(
                f"{self.base.path} and {self.tuned.path} have no tensor of the same name and shape in common; "
                "give a base and what was made of it"
            )
        self.modules = {name.removesuffix(".weight"): self._about(name) for name in self.names}
        notes = [f"{what}: {names[0]}" + f" and {len(names) - 1} more" * (len(names) > 1)
                 for what, names in differences.items() if names]  # fmt: skip
        self.info = make_info(
            {"name": "unknown"},
            {"name": Path(source).name, "source": source, "parameters": self.base.parameters},
            self.modules,
            notes=notes,
            differences=differences,
            step_known=known,
            found={"kind": "checkpoints", "path": str(self.path)},
        )
        self._moved: dict[str, Movement] = {}

    def _about(self, name: str) -> dict[str, Any]:
        transposed = is_conv1d(name, self.tuned) or is_conv1d(name, self.base)
        shape = list(self.tuned.shape(name))
        return {
            "kind": "delta",
            "shape": shape[::-1] if transposed else shape,
            "parameter": name,
            "base_parameter": self.names[name],
            "transposed": transposed,
        }

    def factors(self, step: int, module: str) -> Factors:
        raise InputError(f"two checkpoints give the whole change of {module}, not factors of it")

    def delta(self, step: int, module: str) -> np.ndarray:
        """One delta: the tuned tensor, from which the base is taken piece by piece, so that only one is held."""
        key, transposed = self.modules[module]["parameter"], self.modules[module]["transposed"]
        delta = self.tuned.read(key)
        flat = delta.reshape(-1)
        for at, piece in self.base.pieces(self.names[key]):
            flat[at : at + piece.size] -= piece
        return np.ascontiguousarray(delta.T) if transposed else delta

    def moved(self, step: int, module: str) -> Movement:
        key = self.modules[module]["parameter"]
        if key not in self._moved:
            self._moved[key] = self._measure(key)
        return self._moved[key]

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
            tqdm(total=sum(sizes.values()), unit="B", unit_scale=True, desc="delta-W", disable=not progress) as bar,
        ):
            for key, movement in zip(sizes, pool.map(self._measure, sizes), strict=True):
                self._moved[key] = movement
                bar.update(sizes[key])


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
