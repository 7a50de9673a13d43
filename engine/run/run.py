"""What happened in a fine-tuning? A `Run`: its facts, its numbers and its weights' changes, read lazily from a `Store`.

Everything that Glasstune draws or says is read from here. Reading needs neither torch nor transformers.
"""

import html
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from engine.errors import InputError
from engine.language.speaking import tr
from engine.linear import norm
from engine.run.delta import Factors, Inner
from engine.run.info import Module
from engine.run.sketch import Sketch
from engine.run.store import Movement, Store
from engine.run.stores.adapter import AdapterStore
from engine.run.stores.checkpoints import CheckpointStore
from engine.run.stores.find import find_store
from engine.run.stores.folder import FolderStore
from engine.run.stores.trainer_output import TrainerStore

T = TypeVar("T")


class Run:
    """One fine-tuning. `Run.open(path)` opens whatever holds one; no weight is read before it is asked for.

    info: what is known of it, see `engine.run.info.RunInfo`. path: where it lies.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.path, self.info = store.path, store.info
        self._inner: dict[tuple[str, int], Inner] = {}
        self._norms: dict[tuple[str, int], float] = {}

    @classmethod
    def open(cls, path: str | Path, base: str | Path | None = None) -> "Run":
        """The Run of a captured folder, of an adapter (a folder or a Hub id), of a Trainer's output folder, or of a
        checkpoint beside its base.

        base: the model that training began with, where the files do not say or do not hold it. Raises InputError that
        says what was looked for, or what is wrong with what was found.
        """
        return cls(find_store(path, base))

    @classmethod
    def load(cls, path: str | Path) -> "Run":
        """The run captured in the folder `path`. Raises InputError if there is none."""
        return cls(FolderStore(path))

    @classmethod
    def from_adapter(cls, path: str | Path, base: str | Path | None = None) -> "Run":
        """What did this LoRA adapter do? A Run of a PEFT folder or Hub id, without training anything.

        base: the model it was trained on (a folder, a Hub id already downloaded, "embedded"); by default what its
        adapter_config.json says. Only W itself, DoRA and `modules_to_save` need it. Raises InputError for a folder that
        is no LoRA adapter, a file that is not whole, or a `base` that the adapter does not fit.
        """
        return cls(AdapterStore(path, base))

    @classmethod
    def from_checkpoints(cls, base: str | Path, tuned: str | Path, *, progress: bool = True) -> "Run":
        """What changed between two safetensors checkpoints? A Run whose deltas are `tuned - base`.

        Every tensor is read once, in pieces, for its norm (`progress`: with a bar); a delta again when it is asked
        for. `run.info.differences` lists the names and shapes that are in one of the two only. Raises InputError
        for a folder that is no checkpoint, a file that is not whole, or two that share nothing.
        """
        store = CheckpointStore(base, tuned)
        store.scan(progress)
        return cls(store)

    @classmethod
    def from_trainer_output(cls, folder: str | Path, base: str | Path | None = None) -> "Run":
        """How did a training go that we did not watch? A Run of what transformers' Trainer left in its output folder.

        Losses come from `trainer_state.json`, weights from every `checkpoint-N` (adapters or whole models) and from
        the folder itself. base: needed for the deltas of whole models. Raises InputError if there is no
        trainer_state.json.
        """
        return cls(TrainerStore(folder, base))

    # --- what was run --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Its folder's name, to show; two runs may share it: `id` tells them apart, `engine.run.apart` names them."""
        return self.path.name

    @property
    def id(self) -> str:
        """What this run has alone: the id that was written when it was captured, or else its path."""
        return self.info.id or str(self.path.resolve())

    @property
    def method(self) -> str:
        """ "full", "lora" or "qlora"; "partial" if some weights were trained whole; "unknown" if nothing tells."""
        return self.info.method.name

    @property
    def task(self) -> str | None:
        """The name of what was trained on, as it stands among the columns of `skills`."""
        return self.info.data.name

    @property
    def base(self) -> str:
        """The base model that it began with: "embedded", a folder or a Hub id. Raises InputError where nothing says."""
        return self.told(self.info.model.source, "which base model it began with")

    def told(self, value: T | None, what: str) -> T:
        """A fact that is needed: the value itself. Raises InputError, "does not say `what`", where it is not known."""
        if value is None:
            raise InputError(f"run {self.name} does not say {what}; fine-tune with Glasstune to know it")
        return value

    @property
    def examples(self) -> int:
        """How many conversations it learned from. Raises InputError where nothing says."""
        return self.told(self.info.data.train, "how many examples it learned from")

    @property
    def questions(self) -> int:
        """How many conversations it held out. Raises InputError where nothing says."""
        return self.told(self.info.data.heldout, "how many examples it held out")

    @property
    def learning_rate(self) -> float:
        """Its peak. Raises InputError where nothing says."""
        return self.told(self.info.settings.learning_rate, "its learning rate")

    @property
    def examples_a_step(self) -> int:
        """Conversations an optimizer step. Raises InputError where nothing says."""
        batch = self.told(self.info.settings.batch_size, "its batch size")
        return batch * self.told(self.info.settings.accumulation, "its gradient accumulation")

    @property
    def status(self) -> str:
        """ "running" (or killed), "finished", or "stopped" by an error; "saved" if only the result was found."""
        return self.info.status

    @property
    def what(self) -> str:
        """What was run, for titles: "lora on spanish", or the method alone if the data has no name."""
        return tr("{method} on {task}", method=self.method, task=self.task) if self.task else self.method

    def when(self, step: int) -> str:
        """What a picture calls a step: "step 120", or "as saved" where it is not known."""
        said = tr("step {step}", step=step) if self.info.step_known else tr("as saved")
        return tr("{when}, the result", when=said) if step == self.info.result != self.steps[-1] else said

    # --- numbers -------------------------------------------------------------------------------------

    @cached_property
    def _records(self) -> list[dict[str, Any]]:
        return self._store.records()

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Training, one row a logged step (the index): loss in nats a token, learning_rate, grad_norm, ..."""
        rows = [{k: v for k, v in r.items() if k != "event"} for r in self._records if r.get("event") == "train"]
        return pd.DataFrame(rows, columns=None if rows else ["step", "loss"]).set_index("step")

    def logged(self, name: str) -> pd.Series:
        """What training logged by a name, at the steps (the index) that logged it: NaN is a value that is no number."""
        return logged(self._records, name)

    @cached_property
    def losses(self) -> pd.Series:
        """Training loss, nats a token, at the steps that logged one. Empty if none did."""
        return self.logged("loss")

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
    def measured(self) -> pd.DataFrame:
        """General probes, a row an item of an evaluation: step, probe, item, value, weight (tokens). Empty if none was
        asked; see `engine.measure.kept`. Shares and probabilities from 0 to 1, "text" and "kl" in nats a token."""
        rows = [
            (record["step"], probe, item, value, weight)
            for record in self._records
            if record.get("event") == "eval"
            for probe, found in record.get("measured", {}).items()
            for item, (value, weight) in enumerate(zip(found["values"], found["weights"], strict=True))
        ]
        return pd.DataFrame(rows, columns=["step", "probe", "item", "value", "weight"])

    @cached_property
    def answers(self) -> pd.DataFrame:
        """What the model really said: step, skill, prompt, expected, answer, correct."""
        columns = ["step", "skill", "prompt", "expected", "answer", "correct"]
        return pd.DataFrame(self._store.answers(), columns=columns)

    # --- weights -------------------------------------------------------------------------------------

    @cached_property
    def steps(self) -> list[int]:
        """The captured steps, in order. Step 0 is before training."""
        return self._store.steps()

    @property
    def result(self) -> int:
        """The step that the result is of: the last, unless a Trainer went back to its best. 0 without captures."""
        if self.info.result in self.steps:
            return self.info.result
        return self.steps[-1] if self.steps else 0

    @property
    def modules(self) -> list[str]:
        """The matrices that training changed, by the base model's names: "model.layers.0.self_attn.q_proj"."""
        return [name for name, about in self.info.modules.items() if about.is_matrix]

    def shape(self, module: str) -> tuple[int, ...]:
        """(out, in) of one module's weight."""
        return self.module(module).shape

    def kind(self, module: str) -> str:
        """ "lora" if its delta-W is a product of factors, "dora" if it is that rescaled, "delta" if trained whole."""
        return self.module(module).kind

    def module(self, module: str) -> Module:
        """How a module's change is kept. Raises InputError, with some names that there are, for another."""
        modules = self.info.modules
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
            return self.result
        if step not in self.steps:
            nearest = min(self.steps, key=lambda have: abs(have - step))
            raise InputError(
                f"run {self.name} captured no step {step}; the nearest is {nearest} "
                f"(first {self.steps[0]}, last {self.steps[-1]})"
            )
        return step

    def factors(self, module: str, step: int | None = None, adapter: str | None = None) -> Factors:
        """B (out, r), A (r, in) and the scaling of a LoRA module at a step (default: the result).

        Their product is LoRA's delta-W: of several adapters at once the sum, unless `adapter` names one. Of DoRA they
        are the direction only, see `delta`. Raises InputError for a step or module that was not captured, or for one
        that was trained whole or only sketched.
        """
        about = self._exactly(module)
        if about.kind == "delta":
            raise InputError(f"the change of {module} in run {self.name} is kept whole: it has a delta but no factors")
        if adapter is not None and about.adapters is not None and adapter not in about.adapters:
            raise InputError(f"{module} has no adapter {adapter!r}; there are {', '.join(about.adapters)}")
        return self._store.factors(self._step(step), module, adapter)

    def delta(self, module: str, step: int | None = None) -> np.ndarray:
        """delta-W of one module at a step (default: the result): float32, (out, in) as `Linear.weight`.

        Raises InputError for a step or module that was not captured, or only as a sketch.
        """
        self._exactly(module)
        return self._store.delta(self._step(step), module)

    def moved(self, module: str, step: int | None = None) -> Movement | None:
        """The norms of a module's change and of W, where they are known without its matrix; else None."""
        self.module(module)
        return self._store.moved(self._step(step), module)

    def norm(self, module: str, step: int | None = None) -> float:
        """How far a matrix moved: the Frobenius norm of delta-W, in the weights' own unit. NaN if a weight is."""
        if (moved := self.moved(module, step)) is not None:
            return moved.norm
        if self.is_sketched(module):
            return self.sketch(module, step).norm
        if self.kind(module) == "lora":
            return self.inner(module, step).norm
        at = (module, self._step(step))
        if at not in self._norms:
            self._norms[at] = norm(self.delta(module, step))
        return self._norms[at]

    def inner(self, module: str, step: int | None = None, known: Inner | None = None) -> Inner:
        """What is told of a LoRA module in r dimensions, kept once it was asked for: see `engine.run.delta.Inner`.

        known: it, where it was computed together with another's. Raises as `factors`.
        """
        at = (module, self._step(step))
        if at not in self._inner:
            self._inner[at] = known or Inner.of(self.factors(module, step))
        return self._inner[at]

    def rounding(self, module: str, step: int | None = None) -> float:
        """Up to which norm a module's change may be rounding alone; 0 where it is not computed as a difference."""
        self.module(module)
        return self._store.rounding(self._step(step), module)

    def coded(self, module: str, step: int | None = None) -> str:
        """How one of two models that are compared stores a module, where its change may be what quantising it lost,
        and nothing tells whether it was trained; "" elsewhere."""
        self.module(module)
        return self._store.coded(self._step(step), module)

    # --- summaries -----------------------------------------------------------------------------------

    def _exactly(self, module: str) -> Module:
        about = self.module(module)
        if about.sketch is not None:
            raise InputError(
                f"run {self.name} kept only a sketch of {module}, within its budget of "
                f"{self.info.capture.budget}; use run.sketch(), or capture again with a larger budget"
            )
        return about

    def is_sketched(self, module: str) -> bool:
        """Whether the budget left room for no more than a summary of this module."""
        return self.module(module).sketch is not None

    def sketch(self, module: str, step: int | None = None) -> Sketch:
        """The summary of a delta-W at a step (default: the result): norm, main directions, picture.

        Raises InputError for a module that was kept exactly, and for a step or module that was not captured.
        """
        if not self.is_sketched(module):
            raise InputError(f"run {self.name} kept {module} exactly: it has no sketch; use run.delta()")
        return self._store.sketch(self._step(step), module)

    @cached_property
    def norms(self) -> pd.DataFrame:
        """Frobenius norm of every delta-W, exact, in the weights' unit: captured step x module, vectors included.

        Raises InputError if a captured run has none: it was written before there were any.
        """
        rows = self._store.norms()
        if rows is None:
            rows = {step: {module: self.norm(module, step) for module in self.modules} for step in self.steps}
        frame = pd.DataFrame.from_dict(rows, orient="index", dtype=float)
        frame.index.name = "step"
        return frame

    def weight(self, module: str) -> np.ndarray:
        """W before any change: float32, (out, in). From the run, if it holds it, or from the base model's files.

        Raises InputError if neither is at hand.
        """
        self.module(module)
        return self._store.weight(module)

    def __repr__(self) -> str:
        ends = list(dict.fromkeys(self.when(step) for step in (*self.steps[:1], *self.steps[-1:])))
        kept = tr("no captured steps")
        if self.steps:
            kept = tr("{count} captured steps up to {last}", count=len(self.steps), last=self.steps[-1])
        found = f" {tr('to')} ".join(ends) or tr("no weights")
        kept = f"{kept}, {self._said_status()}" if self.info.found is None else found
        held = tr("{name}: {what}, {count} matrices, {kept}", name=self.name, what=self.what, count=len(self.modules),
                  kept=kept)  # fmt: skip
        return f"Run({held})"

    def _said_status(self) -> str:
        said = {"running": tr("running"), "finished": tr("finished"), "stopped": tr("stopped"), "saved": tr("saved")}
        return said.get(self.status, self.status)

    def _repr_html_(self) -> str:
        method, model = self.info.method, self.info.model
        counts = {tr("weights"): model.parameters, tr("trained"): model.trainable}
        sizes = ", ".join(f"{count:,} {word}" for word, count in counts.items() if count is not None)
        rows = {
            tr("method"): ", ".join(f"{k} {v}" for k, v in method.to_json().items()),
            tr("model"): f"{model.name}, {sizes}",
            tr("data"): self.task,
            tr("captured"): tr("{count} matrices at {steps} steps", count=len(self.modules), steps=len(self.steps)),
            tr("status"): self._said_status(),
        }
        cells = "".join(f"<tr><th>{key}</th><td>{html.escape(str(value))}</td></tr>" for key, value in rows.items())
        return f"<table><caption>Run {html.escape(self.name)}</caption>{cells}</table>"


def as_run(run: Run | str | Path) -> Run:
    """The Run itself, or the one that lies at a path (see `Run.open`): for whatever takes either."""
    return run if isinstance(run, Run) else Run.open(run)


def logged(records: list[dict[str, Any]], name: str) -> pd.Series:
    """Of metrics.jsonl's records, what training logged by a name, at the steps (the index) that did."""
    told = {r["step"]: r[name] for r in records if r.get("event") == "train" and r.get(name) is not None}
    return pd.to_numeric(pd.Series(told, name=name, dtype=object), errors="coerce").astype(float).rename_axis("step")
