"""What changed between two checkpoints? `CheckpointStore`: their difference, streamed from safetensors files."""

import math
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import InputError
from engine.reading import check_name
from engine.run.base import EMBEDDED, base_folder
from engine.run.experts import unstack
from engine.run.info import Found, Model, Module, RunInfo
from engine.run.pairing import EMPTY, PACKED, is_head, pair
from engine.run.quantized import FLOAT8
from engine.run.store import Movement, Store
from engine.run.stores.state import read_state, records_of, step_of
from engine.run.tensors import Tensors, is_conv1d, to_bfloat16, to_float8
from engine.terminal import progress_bar
from engine.threads import workers


def _to_float16(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16).astype(np.float32)


ROUND = {"BF16": to_bfloat16, "F16": _to_float16} | {kind: partial(to_float8, kind) for kind in FLOAT8}
_HEAD = 1024  # values that tell most trained tensors from rounded ones, at no cost
_THREADS = 4  # reading and converting overlap; each holds a megabyte


class CheckpointStore(Store):
    """Two whole models: delta = tuned - base, by parameter, streamed from their files."""

    def __init__(self, base: str | Path, tuned: str | Path) -> None:
        source = str(base)
        self.base, self.tuned = open_checkpoint(base), open_checkpoint(tuned)
        self.path = Path(tuned) if str(tuned) != EMBEDDED else self.tuned.path
        self.state = read_state(self.tuned.path)
        self.step, known = step_of(self.tuned.path, self.state)
        stacks = unstack(self.base, self.tuned) or unstack(self.tuned, self.base)
        self.names, differences = pair(self.base, self.tuned)
        if not self.names:
            raise InputError(_nothing_in_common(self.base, self.tuned, differences))
        self.modules = {name.removesuffix(".weight"): self._about(name) for name in self.names}
        notes = [f"{what}: {names[0]}" + f" and {len(names) - 1} more" * (len(names) > 1)
                 for what, names in differences.items()]  # fmt: skip
        if stacks:
            more = f" and {len(stacks) - 1} more" * (len(stacks) > 1)
            notes.append(
                f"a stack of experts in one, each by itself in the other, compared one by one: {stacks[0]}{more}"
            )
        notes += [
            f"compared with its own embedding, which is its head as well: {name}"
            for name, both in self.names.items()
            if is_head(name) and not (is_head(both.base) and is_head(both.tuned))
        ]
        notes += [
            f"{side} is stored as {methods}, and read as the weights that these codes stand for: the difference holds "
            "what rounding lost"
            for side, methods in (("the base", _packed(self.base)), ("the tuned model", _packed(self.tuned)))
            if methods
        ]
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
        self._rounded: set[str] = set()  # those whose tuned numbers are the base's, rounded to the type they are in

    def _about(self, name: str) -> Module:
        transposed = is_conv1d(name, self.tuned) or is_conv1d(name, self.base)
        return whole_module(name, self.tuned.shape(self.names[name].tuned), transposed, self.names[name].base)

    def steps(self) -> list[int]:
        return [self.step]

    def records(self) -> list[dict[str, Any]]:
        return records_of(self.state)

    def delta(self, step: int, module: str) -> np.ndarray:
        """One delta: the tuned tensor, from which the base is taken piece by piece, so that only one is held."""
        about = self.modules[module]
        names = self.names[about.parameter or ""]
        delta = self.tuned.read(names.tuned)
        flat = delta.reshape(-1)
        for at, piece in self.base.pieces(names.base):
            flat[at : at + piece.size] -= piece
        return np.ascontiguousarray(delta.T) if about.transposed else delta

    def moved(self, step: int, module: str) -> Movement:
        key = self.modules[module].parameter or ""
        if key not in self._moved:
            self._moved[key] = self._measure(key)
        return self._moved[key]

    def rounding(self, step: int, module: str) -> float:
        moved = self.moved(step, module)
        return moved.norm if (self.modules[module].parameter or "") in self._rounded else 0.0

    def coded(self, step: int, module: str) -> str:
        both = self.names[self.modules[module].parameter or ""]
        base, tuned = self.base.entries[both.base].packed, self.tuned.entries[both.tuned].packed
        methods = [side and side.method for side in (base, tuned)]
        unmoved = self.moved(step, module).norm <= self.rounding(step, module)
        if unmoved or methods[0] == methods[1] or (tuned is None and self._from_codes):
            return ""
        sides = zip(("the base", "the tuned model"), methods, strict=True)
        return " and ".join(f"{side} is stored as {method}" for side, method in sides if method)

    @cached_property
    def _from_codes(self) -> bool:
        """Whether the tuned model began with the weights that the base's codes stand for: some are these still."""
        packed = (key for key, both in self.names.items() if self.base.entries[both.base].packed)
        names = (key.removesuffix(".weight") for key in packed)
        return any(self.moved(self.step, name).norm <= self.rounding(self.step, name) for name in names)

    def weight(self, module: str) -> np.ndarray:
        about = self.modules[module]
        weight = self.base.read(about.in_base)
        return weight.T.copy() if about.transposed else weight

    @np.errstate(invalid="ignore", over="ignore")  # a weight that is no number gives a norm that is none
    def _measure(self, key: str) -> Movement:
        norm = base_norm = 0.0
        difference = np.empty(0, np.float32)
        names = self.names[key]
        kind = self.tuned.entries[names.tuned]
        # What went through fewer bits on its way is not trained either: loaded in bfloat16 and saved in float32, say.
        kinds = () if kind.packed else dict.fromkeys((kind.dtype, "BF16", "F16"))
        rounds = [ROUND[kind] for kind in kinds if kind in ROUND]
        pieces = zip(self.base.pieces(names.base), self.tuned.pieces(names.tuned), strict=True)
        for (_, before), (_, after) in pieces:
            difference = difference if len(difference) >= len(before) else np.empty(len(before), np.float32)
            delta = np.subtract(after, before, out=difference[: len(before)])
            norm += float(np.dot(delta, delta))
            base_norm += float(np.dot(before, before))
            for some in (_HEAD, None):
                rounds = [to for to in rounds if np.array_equal(to(before[:some]), after[:some])]
        if rounds:
            self._rounded.add(key)
        return Movement(
            math.sqrt(norm) if norm >= 0 else math.nan, math.sqrt(base_norm) if base_norm >= 0 else math.nan
        )

    def scan(self, progress: bool = True) -> None:
        """Measure every tensor, on a few threads, with a bar in bytes read."""
        sizes = {key: self.tuned.entries[names.tuned].nbytes + self.base.entries[names.base].nbytes
                 for key, names in self.names.items()}  # fmt: skip
        with (
            workers(_THREADS) as pool,
            progress_bar(
                title="delta-W", total=sum(sizes.values()), unit="B", unit_scale=True, disable=not progress
            ) as bar,
        ):
            for key, movement in zip(sizes, pool.map(self._measure, sizes), strict=True):
                self._moved[key] = movement
                bar.update(sizes[key])


def whole_module(name: str, shape: tuple[int, ...], transposed: bool, base_name: str) -> Module:
    """A parameter that was trained whole. shape: as it is stored."""
    return Module(kind="delta", shape=shape[::-1] if transposed else shape, parameter=name, base_parameter=base_name,
                  transposed=transposed)  # fmt: skip


def _packed(tensors: Tensors) -> str:
    methods = dict.fromkeys(entry.packed.method for entry in tensors.entries.values() if entry.packed)
    return ", ".join(methods)


def _nothing_in_common(base: Tensors, tuned: Tensors, differences: dict[str, list[str]]) -> str:
    said = f"{base.path} and {tuned.path} have no tensor of the same name and shape in common"
    packed = [reason for reason in differences if reason.startswith(PACKED)]
    if packed:
        return f"{said}: {packed[0]}; give the models before they were quantised"
    if EMPTY in differences:
        return f"{said}: they are {EMPTY}; save again with stage3_gather_16bit_weights_on_model_save"
    return f"{said}; give a base and what was made of it"


def open_checkpoint(path: str | Path) -> Tensors:
    """The tensors of a model: a folder, one file, a Hub id already downloaded, or "embedded"."""
    return Tensors(path if Path(path).is_file() else _folder(str(path)))


def _folder(source: str) -> Path:
    path = check_name(source)
    return path if path.exists() or path.is_absolute() or source.startswith((".", "~")) else base_folder(source)
