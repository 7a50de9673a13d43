"""What happened in a fine-tuning? A `Run`: the captured run on disk (see `engine.run.format`), read lazily.

Everything that Glasstune draws or says is read from here. Reading needs neither torch nor transformers.
"""

import html
import json
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open

from engine.errors import InputError, understood
from engine.run import delta as deltas
from engine.run.base import base_weight
from engine.run.delta import Factors
from engine.run.form import check_info, check_record, stays_inside
from engine.run.format import FORMAT, SKETCH_MARK, START, VERSION, capture_path, captured_steps, read_lines
from engine.run.sketch import FIELDS, Sketch
from engine.run.tensors import Tensors


class Run:
    """One captured run. `Run.load(path)` opens it; nothing is read before it is asked for."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / "run.json").is_file():
            raise InputError(
                f"{self.path} holds no run (no run.json); make one with python -m engine.finetune --out {self.path}"
            )
        try:
            self.info: dict[str, Any] = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{self.path / 'run.json'} is not JSON ({error}); restore it or make the run again"
            ) from None
        if not isinstance(self.info, dict) or self.info.get("format") != FORMAT:
            raise InputError(f"{self.path / 'run.json'} was not written by Glasstune: its 'format' is not {FORMAT!r}")
        check_info(self.info, stays_inside(self.path / "run.json", self.path))
        if self.info.get("version", 0) > VERSION:
            raise InputError(
                f"{self.path} has format version {self.info['version']}, but this Glasstune reads up to {VERSION}"
            )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Open the run in folder `path`. Raises InputError if there is none."""
        return cls(path)

    # --- runs that Glasstune did not make: see engine.run.stores.stored -----------------------------------------

    @staticmethod
    def from_adapter(path: str | Path, base: str | Path | None = None) -> "Run":
        """What did this LoRA adapter do? A Run of a PEFT folder or Hub id, without training anything.

        base: the model it was trained on (a folder, a Hub id already downloaded, "embedded"); by default what its
        adapter_config.json says. Only W itself, DoRA and `modules_to_save` need it. Raises InputError for a folder that
        is no LoRA adapter, a file that is not whole, or a `base` that the adapter does not fit.
        """
        from engine.run.stores.adapter import AdapterStore
        from engine.run.stores.stored import StoredRun

        return StoredRun(AdapterStore(path, base))

    @staticmethod
    def from_checkpoints(base: str | Path, tuned: str | Path, *, progress: bool = True) -> "Run":
        """What changed between two safetensors checkpoints? A Run whose deltas are `tuned - base`.

        Every tensor is read once, in pieces, for its norm (`progress`: with a bar); a delta again when it is asked
        for. `run.info["differences"]` lists the names and shapes that are in one of the two only. Raises InputError
        for a folder that is no checkpoint, a file that is not whole, or two that share nothing.
        """
        from engine.run.stores.checkpoints import CheckpointStore
        from engine.run.stores.stored import StoredRun

        store = CheckpointStore(base, tuned)
        store.scan(progress)
        return StoredRun(store)

    @staticmethod
    def from_trainer_output(folder: str | Path, base: str | Path | None = None) -> "Run":
        """How did a training go that we did not watch? A Run of what transformers' Trainer left in its output folder.

        Losses come from `trainer_state.json`, weights from every `checkpoint-N` (adapters or whole models) and from
        the folder itself. base: needed for the deltas of whole models. Raises InputError if there is no
        trainer_state.json.
        """
        from engine.run.stores.stored import StoredRun
        from engine.run.stores.trainer_output import TrainerStore

        return StoredRun(TrainerStore(folder, base))

    # --- what was run --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def method(self) -> str:
        """ "full", "lora" or "qlora"; "unknown" if the trainer was not ours."""
        return self.info.get("method", {}).get("name", "unknown")

    @property
    def task(self) -> str | None:
        """The name of what was trained on, as it stands among the columns of `skills`."""
        return self.info.get("data", {}).get("name")

    @property
    def status(self) -> str:
        """ "running" (or killed), "finished", or "stopped" by an error; "saved" if only the result was found."""
        return self.info.get("status", "running")

    @property
    def what(self) -> str:
        """What was run, for titles: "lora on spanish", or the method alone if the data has no name."""
        return f"{self.method} on {self.task}" if self.task else self.method

    def when(self, step: int) -> str:
        """What a picture calls a step: "step 120"."""
        return f"step {step}"

    def moved(self, module: str, step: int | None = None) -> Any:
        """The norms of a module that are known without its matrix (an `engine.run.stores.stored.Movement`), or None."""
        return None

    # --- numbers -------------------------------------------------------------------------------------

    @cached_property
    def _records(self) -> list[dict[str, Any]]:
        return self._lines("metrics.jsonl")

    def _lines(self, name: str) -> list[dict[str, Any]]:
        path = stays_inside(self.path / name, self.path)
        records = read_lines(path)
        for number, record in enumerate(records, 1):
            if wrong := check_record(record):
                raise InputError(f"{path}, line {number}: {wrong}; restore the file or delete the line")
        return records

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Training, one row a logged step (the index): loss in nats a token, learning_rate, grad_norm, ..."""
        rows = [{k: v for k, v in r.items() if k != "event"} for r in self._records if r.get("event") == "train"]
        return pd.DataFrame(rows, columns=None if rows else ["step", "loss"]).set_index("step")

    def _evaluations(self, value: str) -> pd.DataFrame:
        rows: dict[int, dict[str, float]] = {}
        for record in (r for r in self._records if r.get("event") == "eval"):
            rows.setdefault(record["step"], {}).update(record.get(value, {}))
        frame = pd.DataFrame.from_dict(rows, orient="index", dtype=float)
        frame.index.name = "step"
        return frame

    @cached_property
    def skills(self) -> pd.DataFrame:
        """Exact score, 0 to 1, of every graded skill and of the task: one row an evaluated step, one column a skill."""
        return self._evaluations("exact")

    @cached_property
    def skill_losses(self) -> pd.DataFrame:
        """Held-out loss on the answers, nats a token, of every skill and of the task: step x skill."""
        return self._evaluations("loss")

    @cached_property
    def graded(self) -> pd.DataFrame:
        """On how many questions each score and loss stands: step x skill. Runs recorded before this was have none."""
        return self._evaluations("graded")

    @cached_property
    def answers(self) -> pd.DataFrame:
        """What the model really said: step, skill, prompt, expected, answer, correct."""
        columns = ["step", "skill", "prompt", "expected", "answer", "correct"]
        return pd.DataFrame(self._lines("answers.jsonl"), columns=columns)

    # --- weights -------------------------------------------------------------------------------------

    @cached_property
    def steps(self) -> list[int]:
        """The captured steps, in order. Step 0 is before training."""
        return captured_steps(self.path)

    @property
    def modules(self) -> list[str]:
        """The matrices that training changed, by the base model's names: "model.layers.0.self_attn.q_proj"."""
        return [name for name, about in self.info["modules"].items() if len(about["shape"]) == 2]

    def shape(self, module: str) -> tuple[int, ...]:
        """(out, in) of one module's weight."""
        return tuple(self._about(module)["shape"])

    def kind(self, module: str) -> str:
        """ "lora" if its delta-W is a product of factors, "dora" if it is that rescaled, "delta" if trained whole."""
        return self._about(module)["kind"]

    def _about(self, module: str) -> dict[str, Any]:
        modules = self.info["modules"]
        if module not in modules:
            near = [name for name in modules if module and module.split(".")[-1] in name] or list(modules)
            raise InputError(
                f"run {self.name} captured no module {module!r}; there are, for example: {', '.join(near[:4])}"
            )
        return modules[module]

    def _step(self, step: int | None) -> int:
        if not self.steps:
            raise InputError(f"run {self.name} has no captures: its folder {self.path / 'captures'} holds none")
        if step is None:
            return self.steps[-1]
        if step not in self.steps:
            nearest = min(self.steps, key=lambda have: abs(have - step))
            raise InputError(
                f"run {self.name} captured no step {step}; the nearest is {nearest} "
                f"(first {self.steps[0]}, last {self.steps[-1]})"
            )
        return step

    def _tensor(self, step: int, key: str) -> np.ndarray:
        path = stays_inside(capture_path(self.path, step), self.path)
        try:
            with safe_open(path, framework="numpy") as file:
                return file.get_tensor(key)
        except SafetensorError as error:
            raise InputError(f"{path} cannot be read ({error}); delete that capture, the others still open") from None

    def factors(self, module: str, step: int | None = None, adapter: str | None = None) -> Factors:
        """B (out, r), A (r, in) and the scaling of a LoRA module at a step (default: the last captured).

        Their product is LoRA's delta-W: of several adapters at once the sum, unless `adapter` names one. Of DoRA they
        are the direction only, see `delta`. Raises InputError for a step or module that was not captured, or for one
        that was trained whole or only sketched.
        """
        about = self._exactly(module)
        if about["kind"] == "delta":
            raise InputError(f"the change of {module} in run {self.name} is kept whole: it has a delta but no factors")
        if adapter is not None and adapter not in about.get("adapters", [adapter]):
            raise InputError(f"{module} has no adapter {adapter!r}; there are {', '.join(about['adapters'])}")
        step = self._step(step)
        with self._fitting(module, step):
            found = deltas.factors(module, about, lambda key: self._tensor(step, key), self._start, adapter)
            _same(((found.B.shape[0], found.A.shape[1]), found.B.shape[1]), (self.shape(module), found.A.shape[0]))
        return found

    def delta(self, module: str, step: int | None = None) -> np.ndarray:
        """delta-W of one module at a step (default: the last captured): float32, (out, in) as `Linear.weight`.

        Raises InputError for a step or module that was not captured, or only as a sketch.
        """
        about, step = self._exactly(module), self._step(step)
        with self._fitting(module, step):
            if about["kind"] != "delta":
                value = deltas.whole_delta(module, about, lambda key: self._tensor(step, key), self._start)
            else:
                value = self._tensor(step, about["parameter"])
            if "rows" in about:
                rows, value = value, np.zeros(about["shape"], np.float32)
                value[about["rows"]] = rows
            _same(value.shape, self.shape(module))
        return value

    def _fitting(self, module: str, step: int) -> AbstractContextManager[None]:
        """A capture that does not hold what run.json says of a module is the file's fault."""
        return understood(f"{module} in {capture_path(self.path, step)}", "delete that capture, or restore run.json")

    # --- summaries -----------------------------------------------------------------------------------

    def _exactly(self, module: str) -> dict[str, Any]:
        about = self._about(module)
        if "sketch" in about:
            raise InputError(
                f"run {self.name} kept only a sketch of {module}, within its budget of "
                f"{self.info.get('capture', {}).get('budget')}; use run.sketch(), or capture again with a larger budget"
            )
        return about

    def is_sketched(self, module: str) -> bool:
        """Whether the budget left room for no more than a summary of this module."""
        return "sketch" in self._about(module)

    def sketch(self, module: str, step: int | None = None) -> Sketch:
        """The summary of a delta-W at a step (default: the last captured): norm, main directions, picture.

        Raises InputError for a module that was kept exactly, and for a step or module that was not captured.
        """
        if not self.is_sketched(module):
            raise InputError(f"run {self.name} kept {module} exactly: it has no sketch; use run.delta()")
        step = self._step(step)
        with self._fitting(module, step):
            norm, missed, *others = (self._tensor(step, f"{module}{SKETCH_MARK}{field}") for field in FIELDS)
            found = Sketch(float(norm), float(missed), *others)
            out, width = self.shape(module)
            kept = len(found.S)
            _same((found.U.shape, found.Vt.shape, found.picture.ndim), ((out, kept), (kept, width), 2))
        return found

    @cached_property
    def norms(self) -> pd.DataFrame:
        """Frobenius norm of every delta-W, exact, in the weights' unit: captured step x module, vectors included.

        Raises InputError if the run has none: it was written before there were any.
        """
        rows = {r["step"]: r["norms"] for r in self._lines("norms.jsonl") if "norms" in r}
        if not rows:
            raise InputError(f"run {self.name} holds no norms (no norms.jsonl); compute them from run.delta()")
        frame = pd.DataFrame.from_dict(rows, orient="index", dtype=float)
        frame.index.name = "step"
        return frame

    def _own_weight(self, about: dict[str, Any]) -> np.ndarray | None:
        if "rows" in about or not (self.path / START).is_file():
            return None
        start = Tensors(self.path / START)
        return start.read(about["base_parameter"]) if about["base_parameter"] in start else None

    def _start(self, key: str) -> np.ndarray:
        """A tensor from before training, in float32. Raises InputError if the run does not hold it."""
        if not (self.path / START).is_file():
            raise InputError(f"run {self.name} lacks {START}, which holds {key}; restore it or make the run again")
        return Tensors(self.path / START).read(key)

    def weight(self, module: str) -> np.ndarray:
        """W before any change: float32, (out, in). From the run, if it holds it, or from the base model's files.

        Raises InputError if neither is at hand.
        """
        about = self._about(module)
        weight = self._own_weight(about)
        if weight is None:
            weight = base_weight(self.info["model"]["source"], about["base_parameter"])
        return weight.T.copy() if about.get("transposed") else weight

    def __repr__(self) -> str:
        steps = f"{len(self.steps)} captured steps up to {self.steps[-1]}" if self.steps else "no captured steps"
        return f"Run({self.name}: {self.what}, {len(self.modules)} matrices, {steps}, {self.status})"

    def _repr_html_(self) -> str:
        model = self.info.get("model", {})
        counts = {"weights": model.get("parameters"), "trained": model.get("trainable")}
        sizes = ", ".join(f"{count:,} {word}" for word, count in counts.items() if count is not None)
        rows = {
            "method": ", ".join(f"{k} {v}" for k, v in self.info.get("method", {}).items()),
            "model": f"{model.get('name')}, {sizes}",
            "data": self.task,
            "captured": f"{len(self.modules)} matrices at {len(self.steps)} steps",
            "status": self.status,
        }
        cells = "".join(f"<tr><th>{key}</th><td>{html.escape(str(value))}</td></tr>" for key, value in rows.items())
        return f"<table><caption>Run {html.escape(self.name)}</caption>{cells}</table>"


def _same(found: Any, said: Any) -> None:
    if found != said:
        raise ValueError(f"it is {found}, not {said}")
