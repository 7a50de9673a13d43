"""What did an adapter do? `AdapterStore`: a Run of a folder that PEFT or MLX saved, read without them or torch.

`engine.run.adapters` reads the folder; the base's files are opened only for W, and for changes that are made of it.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import InputError, understood
from engine.linear import check_room
from engine.reading import read_json
from engine.run.adapters.adapter import CONFIG, HARMLESS, Adapter, find_adapter
from engine.run.adapters.computed import is_computed
from engine.run.adapters.fitting import UNKNOWN, fit
from engine.run.adapters.mlx import is_mlx, read_mlx
from engine.run.adapters.peft import compute, read_peft
from engine.run.adapters.starts import rounding
from engine.run.adapters.torchtune import check_whole, is_torchtune, read_torchtune
from engine.run.base import base_folder, weight_of
from engine.run.delta import INSIDE_W, Factors, factored_norm
from engine.run.info import Found, Model, RunInfo, read_method
from engine.run.store import Store
from engine.run.stores.state import read_state, records_of, step_of
from engine.run.tensors import Tensors

_KEPT = ("r", "lora_alpha", "target_modules", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern",
         "target_parameters", "trainable_token_indices", "modules_to_save", "layers_to_transform", "layers_pattern",
         "exclude_modules", "layer_replication")  # fmt: skip
_EPS = {"F64": 1e-5, "F32": 1e-5, "F16": 2.0**-11, "BF16": 2.0**-8}  # of float32 a few roundings: PEFT's own SVD too


def read_adapter(path: str | Path, base: str | Path | None = None) -> Adapter:
    """Sort an adapter's tensors by module. Raises InputError for one that is not read, or not whole."""
    check_whole(path)
    folder = find_adapter(path)
    config = read_json(folder / CONFIG, within=folder)
    with understood(folder / CONFIG):
        if is_mlx(folder, config):
            return read_mlx(folder, config)
        if is_torchtune(folder, config):
            return read_torchtune(folder, config, str(base or config.get("base_model_name_or_path") or ""))
        return read_peft(folder, config)


class AdapterStore(Store):
    """An adapter's folder. Raises InputError for a `base`, if it was given, that the adapter contradicts."""

    def __init__(self, path: str | Path, base: str | Path | None = None) -> None:
        self.adapter = read_adapter(path, base)
        self.path = self.adapter.folder
        self._rounding: dict[str, float] = {}
        with understood(self.path / CONFIG):
            self._open(base)

    def _open(self, base: str | Path | None) -> None:
        config, modules = self.adapter.config, self.adapter.modules
        self.source = str(base or config.get("base_model_name_or_path") or config.get("model") or "unknown")
        self.state = read_state(self.path)
        self.step, known = step_of(self.path, self.state)
        tensors = open_base(self.source, must=base is not None)
        if is_computed(self.adapter):
            if tensors is None:
                raise InputError(
                    f"{self.path} is {self.adapter.method.upper()}, whose change PEFT computes from its base, and "
                    f"{self.source!r} is neither a folder here nor downloaded; give its folder as base"
                )
            compute(self.adapter, base_folder(self.source))
        if tensors:
            fit(self.adapter, tensors)
            misfits = [name for name, about in modules.items() if about.fits]
            stray = [name for name, about in modules.items() if about.lacks == UNKNOWN]
            if base is not None and (misfits or (stray and len(stray) == len(modules))):
                raise InputError(self._misfit(misfits or stray))
        options = {"name": self.adapter.method, **{key: config[key] for key in _KEPT if config.get(key)}}
        left_out = {why: names for why, names in self.adapter.reasons().items() if why not in HARMLESS}
        self.info = RunInfo(
            status="saved",
            method=read_method(options | _mlx_options(config), self.path),
            model=Model(
                name=Path(self.source).name,
                source=self.source,
                parameters=count_parameters(tensors),
                trainable=self.adapter.trained,
            ),
            modules=modules,
            notes=tuple(self.adapter.notes),
            differences=left_out,
            step_known=known,
            found=Found(
                kind="adapter",
                path=str(self.path),
                foreign=tuple(self.adapter.foreign),
                init=self.adapter.begun,
            ),
        )

    def _misfit(self, misfits: list[str]) -> str:
        about, count = self.adapter.modules[misfits[0]], len(self.adapter.modules)
        said = about.fits or f"the base has no {about.in_base}"
        return (
            f"the adapter {self.path} does not fit the base {self.source}: {said} "
            f"({len(misfits)} of {count} modules do not fit); give the base that it was trained on, "
            f"{self.adapter.config.get('base_model_name_or_path')!r} by its own word"
        )

    @cached_property
    def _base(self) -> Tensors:
        return Tensors(base_folder(self.source))

    def steps(self) -> list[int]:
        return [self.step]

    def records(self) -> list[dict[str, Any]]:
        return records_of(self.state)

    def factors(self, step: int, module: str, adapter: str | None = None) -> Factors:
        change = self.adapter.changes[module]
        if change.factors is None:
            raise InputError(f"the change of {module} in {self.path} is no product of two factors: it has a delta only")
        with understood(f"{module} in {self.path}"):
            return change.factors(self.adapter.tensors.read, lambda: self._beside(module))

    def delta(self, step: int, module: str) -> np.ndarray:
        change, about = self.adapter.changes[module], self.adapter.modules[module]
        with understood(f"{module} in {self.path}"):
            if not change.partial:
                check_room(about.shape, module)
            found = change.whole(self.adapter.tensors.read, lambda: self._beside(module))
            if found.shape != about.shape:
                raise ValueError(f"it is {found.shape}, not {about.shape}")
        return found

    def rounding(self, step: int, module: str) -> float:
        if module not in self._rounding:  # kept, for a start may have to be computed from W
            self._rounding[module] = self._rounded(step, module)
        return self._rounding[module]

    def _rounded(self, step: int, module: str) -> float:
        change = self.adapter.changes[module]
        begun = str(self.adapter.config.get("init_lora_weights", True)).lower()
        if change.factors is None or not (begun == "orthogonal" or begun.startswith(INSIDE_W)):
            return 0.0
        found = self.factors(step, module)
        eps = max(_EPS.get(self.adapter.tensors.entries[part].dtype, 2.0**-8) for part in change.parts)
        if found.B.shape[1] == 2 * (self.adapter.modules[module].r or 0):
            return rounding(found, eps)
        if begun == "orthogonal":  # B A is zero at the start, though neither is
            return 4 * eps * factored_norm(Factors(np.abs(found.B), np.abs(found.A), found.scaling))
        return 0.0

    def _beside(self, module: str) -> np.ndarray:
        """W, for a change that is made of it."""
        about = self.adapter.modules[module]
        if about.fits:
            raise InputError(self._misfit([name for name, other in self.adapter.modules.items() if other.fits]))
        try:
            return self.weight(module)
        except InputError as error:
            raise InputError(f"the change of {about.parameter} can only be told beside the base: {error}") from None

    def weight(self, module: str) -> np.ndarray:
        about = self.adapter.modules[module]
        if about.lacks:
            raise InputError(f"{about.in_base} is {about.lacks}")
        if module in self.adapter.loaded:
            return self.adapter.loaded[module]()
        weight = weight_of(self._base, about.in_base)
        return np.ascontiguousarray(np.swapaxes(weight, -1, -2)) if about.transposed else weight


def _mlx_options(config: dict[str, Any]) -> dict[str, Any]:
    settings = config.get("lora_parameters")
    return {"r": settings["rank"]} if isinstance(settings, dict) and "rank" in settings else {}


def open_base(source: str, must: bool) -> Tensors | None:
    """The base's tensors if they are at hand; `must`: raise InputError if they are not."""
    try:
        return Tensors(base_folder(source))
    except InputError:
        if must:
            raise
        return None


def count_parameters(tensors: Tensors | None) -> int | None:
    """How many weights the base has; None if that cannot be counted, as where a packing is not read."""
    return None if tensors is None or tensors.refused else tensors.parameters
