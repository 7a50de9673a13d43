"""What did Glasstune capture? `FolderStore`: a Run's folder as `engine.run.format` describes it, read lazily."""

from collections import OrderedDict
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import InputError, understood
from engine.linear import check_room
from engine.reading import check_name, read_json
from engine.run import delta as deltas
from engine.run.base import base_folder, weight_of
from engine.run.delta import Factors
from engine.run.form import check_record
from engine.run.format import SKETCH_MARK, capture_path, captured_steps, read_lines, start_path
from engine.run.info import Module, read_info
from engine.run.sketch import FIELDS, Level, Sketch
from engine.run.store import Store
from engine.run.tensors import Tensors

RUN = "run.json"
_MOST_PLACES = 400_000  # tensors of captures whose places in their files are remembered: some 150 MB


class FolderStore(Store):
    """A captured run. Only run.json is read at first; it may come from a stranger, so everything is checked."""

    def __init__(self, path: str | Path) -> None:
        self.path = check_name(path)
        self._open_starts: dict[int | None, Tensors | None] = {}
        self._captures: OrderedDict[int, tuple[tuple[int, ...], Tensors]] = OrderedDict()
        if not (self.path / RUN).is_file():
            raise InputError(
                f"{self.path} holds no run (no {RUN}); make one with python -m engine.finetune --out {self.path}"
            )
        file = self.path / RUN
        self.info = read_info(read_json(file, "restore it or make the run again", within=self.path), file)

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
        for name, about in self.info.modules.items():
            for step, norms in rows.items():
                if _frozen(about, step):
                    norms.setdefault(name, 0.0)
        return rows

    def _lines(self, name: str) -> list[dict[str, Any]]:
        path = self.path / name
        records = read_lines(path)
        for number, record in enumerate(records, 1):
            if wrong := check_record(record, name):
                raise InputError(f"{path}, line {number}: {wrong}; restore the file or delete the line")
        return records

    # --- weights -------------------------------------------------------------------------------------

    def factors(self, step: int, module: str, adapter: str | None = None) -> Factors:
        about = self.info.modules[module]
        with self._fitting(module, step):
            read = self._starts(about) if _frozen(about, step) else lambda key: self._tensor(step, key)
            found = deltas.factors(module, about, read, self._starts(about), adapter)
            _same(((found.B.shape[0], found.A.shape[1]), found.B.shape[1]), (about.shape, found.A.shape[0]))
        return found

    def delta(self, step: int, module: str) -> np.ndarray:
        about = self.info.modules[module]
        with self._fitting(module, step):
            check_room(about.shape, "it")
            if _frozen(about, step):
                return np.zeros(about.shape, np.float32)
            if about.kind != "delta":
                value = deltas.whole_delta(module, about, lambda key: self._tensor(step, key), self._starts(about))
            else:
                value = self._tensor(step, about.parameter or "")
            if about.rows is not None:
                rows, value = value, np.zeros(about.shape, np.float32)
                value[list(about.rows)] = rows
            _same(value.shape, about.shape)
        return value

    def sketch(self, step: int, module: str) -> Sketch:
        about = self.info.modules[module]
        with self._fitting(module, step):
            if _frozen(about, step):
                assert about.sketch is not None
                shapes = Level(*about.sketch).shapes((about.shape[0], about.shape[1]))
                return Sketch(0.0, 0.0, *(np.zeros(shapes[field], np.float32) for field in FIELDS[2:]))
            norm, missed, *others = (self._tensor(step, f"{module}{SKETCH_MARK}{field}") for field in FIELDS)
            found = Sketch(float(norm), float(missed), *others)
            out, width = about.shape
            kept = len(found.S)
            _same((found.U.shape, found.Vt.shape, found.picture.ndim), ((out, kept), (kept, width), 2))
        return found

    def weight(self, module: str) -> np.ndarray:
        about = self.info.modules[module]
        start = self._start(about.since)
        if start is not None and about.rows is None and about.in_base in start:
            weight = start.read(about.in_base)
        else:
            weight = weight_of(self._base, about.in_base)
        return weight.T.copy() if about.transposed else weight

    def _tensor(self, step: int, key: str) -> np.ndarray:
        try:
            return self._capture(step).read(key)
        except InputError as error:
            raise InputError(f"{error}; or delete that capture, the others still open") from None

    def _capture(self, step: int) -> Tensors:
        """A capture's file. Its header is read once, while the file is the same, and those of others kept as well."""
        path = capture_path(self.path, step)
        try:
            about = path.stat()
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror})") from None
        same = (about.st_ino, about.st_size, about.st_mtime_ns)
        kept = self._captures.pop(step, None)
        self._captures[step] = kept if kept and kept[0] == same else (same, Tensors(path, within=self.path))
        while len(self._captures) > 1 and sum(len(t.entries) for _, t in self._captures.values()) > _MOST_PLACES:
            self._captures.popitem(last=False)
        return self._captures[step][1]

    def _fitting(self, module: str, step: int) -> AbstractContextManager[None]:
        """A capture that does not hold what run.json says of a module is the file's fault."""
        return understood(f"{module} in {capture_path(self.path, step)}", "delete that capture, or restore run.json")

    def _start(self, since: int | None) -> Tensors | None:
        """What is kept of the start, of what is trained from the beginning or since a step."""
        if since not in self._open_starts:
            path = start_path(self.path, since)
            self._open_starts[since] = Tensors(path, within=self.path) if path.is_file() else None
        return self._open_starts[since]

    @cached_property
    def _base(self) -> Tensors:
        if self.info.model.source is None:
            raise InputError(f"run {self.path.name} does not say which base model it began with")
        return Tensors(base_folder(self.info.model.source))

    def _starts(self, about: Module) -> deltas.Read:
        """Reads a module's tensors from before training, in float32. Raises InputError if the run does not hold it."""

        def read(key: str) -> np.ndarray:
            start = self._start(about.since)
            if start is None:
                name = start_path(self.path, about.since).name
                raise InputError(
                    f"run {self.path.name} lacks {name}, which holds {key}; restore it or make the run again"
                )
            return start.read(key)

        return read


def _frozen(about: Module, step: int) -> bool:
    """Whether a module was not trained yet: its change is zero, and the capture does not hold it."""
    return about.since is not None and step < about.since


def _same(found: Any, said: Any) -> None:
    if found != said:
        raise ValueError(f"it is {found}, not {said}")
