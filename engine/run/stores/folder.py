"""What did Glasstune capture? `FolderStore`: a Run's folder as `engine.run.format` describes it, read lazily."""

from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from engine.errors import InputError, understood
from engine.run import delta as deltas
from engine.run.base import base_folder, weight_of
from engine.run.delta import Factors
from engine.run.form import check_record, stays_inside
from engine.run.format import SKETCH_MARK, START, capture_path, captured_steps, read_lines
from engine.run.info import read_info
from engine.run.sketch import FIELDS, Sketch
from engine.run.store import Store
from engine.run.tensors import Tensors, read_json

RUN = "run.json"


class FolderStore(Store):
    """A captured run. Only run.json is read at first; it may come from a stranger, so everything is checked."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / RUN).is_file():
            raise InputError(
                f"{self.path} holds no run (no {RUN}); make one with python -m engine.finetune --out {self.path}"
            )
        file = stays_inside(self.path / RUN, self.path)
        self.info = read_info(read_json(file, "restore it or make the run again"), file)

    def steps(self) -> list[int]:
        return captured_steps(self.path)

    def records(self) -> list[dict[str, Any]]:
        return self._lines("metrics.jsonl")

    def answers(self) -> list[dict[str, Any]]:
        return self._lines("answers.jsonl")

    def norms(self) -> dict[int, dict[str, float]]:
        rows = {r["step"]: r["norms"] for r in self._lines("norms.jsonl") if "norms" in r}
        if not rows:
            raise InputError(f"run {self.path.name} holds no norms (no norms.jsonl); compute them from run.delta()")
        return rows

    def _lines(self, name: str) -> list[dict[str, Any]]:
        path = stays_inside(self.path / name, self.path)
        records = read_lines(path)
        for number, record in enumerate(records, 1):
            if wrong := check_record(record):
                raise InputError(f"{path}, line {number}: {wrong}; restore the file or delete the line")
        return records

    # --- weights -------------------------------------------------------------------------------------

    def factors(self, step: int, module: str, adapter: str | None = None) -> Factors:
        about = self.info.modules[module]
        with self._fitting(module, step):
            found = deltas.factors(module, about, lambda key: self._tensor(step, key), self._started, adapter)
            _same(((found.B.shape[0], found.A.shape[1]), found.B.shape[1]), (about.shape, found.A.shape[0]))
        return found

    def delta(self, step: int, module: str) -> np.ndarray:
        about = self.info.modules[module]
        with self._fitting(module, step):
            if about.kind != "delta":
                value = deltas.whole_delta(module, about, lambda key: self._tensor(step, key), self._started)
            else:
                value = self._tensor(step, about.parameter or "")
            if about.rows is not None:
                rows, value = value, np.zeros(about.shape, np.float32)
                value[list(about.rows)] = rows
            _same(value.shape, about.shape)
        return value

    def sketch(self, step: int, module: str) -> Sketch:
        with self._fitting(module, step):
            norm, missed, *others = (self._tensor(step, f"{module}{SKETCH_MARK}{field}") for field in FIELDS)
            found = Sketch(float(norm), float(missed), *others)
            out, width = self.info.modules[module].shape
            kept = len(found.S)
            _same((found.U.shape, found.Vt.shape, found.picture.ndim), ((out, kept), (kept, width), 2))
        return found

    def weight(self, module: str) -> np.ndarray:
        about = self.info.modules[module]
        if self._start is not None and about.rows is None and about.in_base in self._start:
            weight = self._start.read(about.in_base)
        else:
            weight = weight_of(self._base, about.in_base)
        return weight.T.copy() if about.transposed else weight

    def _tensor(self, step: int, key: str) -> np.ndarray:
        path = stays_inside(capture_path(self.path, step), self.path)
        try:
            with safe_open(path, framework="numpy") as file:
                return file.get_tensor(key)
        except SafetensorError as error:
            raise InputError(f"{path} cannot be read ({error}); delete that capture, the others still open") from None

    def _fitting(self, module: str, step: int) -> AbstractContextManager[None]:
        """A capture that does not hold what run.json says of a module is the file's fault."""
        return understood(f"{module} in {capture_path(self.path, step)}", "delete that capture, or restore run.json")

    @cached_property
    def _start(self) -> Tensors | None:
        return Tensors(self.path / START) if (self.path / START).is_file() else None

    @cached_property
    def _base(self) -> Tensors:
        if self.info.model.source is None:
            raise InputError(f"run {self.path.name} does not say which base model it began with")
        return Tensors(base_folder(self.info.model.source))

    def _started(self, key: str) -> np.ndarray:
        """A tensor from before training, in float32. Raises InputError if the run does not hold it."""
        if self._start is None:
            raise InputError(f"run {self.path.name} lacks {START}, which holds {key}; restore it or make the run again")
        return self._start.read(key)


def _same(found: Any, said: Any) -> None:
    if found != said:
        raise ValueError(f"it is {found}, not {said}")
