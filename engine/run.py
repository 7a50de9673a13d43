"""What happened in a fine-tuning? A `Run`: the captured run on disk, read lazily.

Everything that Glasstune draws or says is read from here. The folder uses standard formats only:

    run.json               format version, method, model, data, settings, modules, seed, versions, host, status
    metrics.jsonl          {"step", "event": "train", "loss", "learning_rate", "grad_norm", ...}   a logged step
                           {"step", "event": "eval", "exact": {skill: 0..1}, "loss": {skill: nats}} an evaluation
    answers.jsonl          {"step", "skill", "prompt", "expected", "answer", "correct"}             a probe's answer
    norms.jsonl            {"step", "norms": {module: Frobenius norm of its delta-W}}               a capture
    captures/step-000120.safetensors    the weights' change since step 0, in float32
    start.safetensors      the weights before training that a delta-W was or will be computed from
    adapter/ or model/     the result, in PEFT's or transformers' own format

A capture holds, for a LoRA module, PEFT's own tensors (`base_model.model.<module>.lora_A.weight`, `lora_B`), so
that the file is the adapter of that step; for a parameter that is trained whole, its delta under PyTorch's name
(`<module>.weight`), (out, in) even where the model stores (in, out). Reading needs neither torch nor transformers.
A run that was killed opens: half a last line is left out, captures are renamed into place only when whole.

What a module's entry in run.json says, by its "kind":
    "lora"    "scaling", "r": delta-W = scaling B A. "adapters": several at once, the tensors then named
              `...lora_A.<adapter>.weight`, which add up. "embedding": `lora_embedding_A` (r, tokens) and `_B`, whose
              product is delta-W transposed. "from_start": B0 A0 of start.safetensors was taken out of W (PiSSA).
    "dora"    the same and `...lora_magnitude_vector`: delta-W = m (W + sBA) / ||W + sBA|| - W, with W of the start.
    "delta"   "parameter": the tensor. "rows": only these rows of an embedding are trained, and stored.
    "sketch": [triplets, side], with any kind: the budget left room for a summary only, and the capture holds
              `<module>#norm`, `#missed`, `#S`, `#U`, `#Vt`, `#picture` (see `capture.sketch`) in place of the tensors.
"base_parameter" names W in the base model's files, "transposed" says that they hold it as (in, out).
run.json's "capture" says what was chosen and kept, "seconds" what it took, "resumed" at which steps training went on.
Version 1 had none of norms, start, sketches, and no kind "dora"; it is read as ever.
"""

import hashlib
import html
import json
from contextlib import AbstractContextManager
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open

from engine.capture import delta as deltas
from engine.capture.delta import PEFT_PREFIX as PEFT_PREFIX
from engine.capture.delta import Factors as Factors
from engine.capture.sketch import FIELDS, Sketch
from engine.errors import InputError, understood
from engine.form import capture_step, check_info, check_record, stays_inside
from engine.sources.tensors import Tensors, find_name

FORMAT = "glasstune-run"
VERSION = 2
START = "start.safetensors"
START_SCRATCH = "start-scratch.safetensors"
SKETCH_MARK = "#"
HELD_OUT = "held out"  # what a Trainer's own evaluation is called among the skills


def capture_path(folder: Path, step: int) -> Path:
    return folder / "captures" / f"step-{step:06d}.safetensors"


def captured_steps(folder: Path) -> list[int]:
    steps = (capture_step(file.name) for file in (folder / "captures").glob("step-*.safetensors"))
    return sorted(step for step in steps if step is not None)


def write_text(path: Path, text: str) -> None:
    """Write beside, then rename, so that a kill leaves the old file or the new one, never half of either."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def write_json(path: Path, value: Any) -> None:
    """As `write_text`."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a JSON-lines file. A last line without its line end was cut off by a kill: it is left out."""
    if not path.exists():
        return []
    *whole, _ = path.read_bytes().split(b"\n")
    records = []
    for number, line in enumerate(whole, 1):
        try:
            records.append(json.loads(line.decode("utf-8")))
        except (ValueError, RecursionError) as error:  # of JSON, and of UTF-8
            why = getattr(error, "msg", None) or error
            raise InputError(f"{path}, line {number}: not JSON ({why}); restore the file or delete the line") from None
    return records


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

    # --- runs that Glasstune did not make: see engine.sources.stores -----------------------------------------

    @staticmethod
    def from_adapter(path: str | Path, base: str | Path | None = None) -> "Run":
        """What did this LoRA adapter do? A Run of a PEFT folder or Hub id, without training anything.

        base: the model it was trained on (a folder, a Hub id already downloaded, "embedded"); by default what its
        adapter_config.json says. Only W itself, DoRA and `modules_to_save` need it. Raises InputError for a folder that
        is no LoRA adapter, a file that is not whole, or a `base` that the adapter does not fit.
        """
        from engine.sources.adapters import AdapterStore
        from engine.sources.stores import StoredRun

        return StoredRun(AdapterStore(path, base))

    @staticmethod
    def from_checkpoints(base: str | Path, tuned: str | Path, *, progress: bool = True) -> "Run":
        """What changed between two safetensors checkpoints? A Run whose deltas are `tuned - base`.

        Every tensor is read once, in pieces, for its norm (`progress`: with a bar); a delta again when it is asked
        for. `run.info["differences"]` lists the names and shapes that are in one of the two only. Raises InputError
        for a folder that is no checkpoint, a file that is not whole, or two that share nothing.
        """
        from engine.sources.checkpoints import CheckpointStore
        from engine.sources.stores import StoredRun

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
        from engine.sources.stores import StoredRun
        from engine.sources.trainer_output import TrainerStore

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
        """The norms of a module that are known without its matrix (an `engine.sources.stores.Movement`), or None."""
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
            rows.setdefault(record["step"], {}).update(record[value])
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


EMBEDDED = "embedded"
EMBEDDED_FOLDER = Path(__file__).parent / "base"


@cache
def embedded_digest() -> str:
    """Which embedded base model it is, in sixteen digits: what was made from another base has to be made again."""
    with (EMBEDDED_FOLDER / "model.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def base_folder(source: str) -> Path:
    """The folder that holds a base model's files: the embedded one, a folder, or a Hub id already downloaded."""
    if source == EMBEDDED:
        return EMBEDDED_FOLDER
    if Path(source).is_dir():
        return Path(source)
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(source, local_files_only=True))
    except Exception:
        raise InputError(
            f"the base model {source!r} is neither a folder here nor downloaded; its weights cannot be shown"
        ) from None


def base_weight(source: str, parameter: str) -> np.ndarray:
    """One parameter of a base model, from its safetensors files, in float32. Raises InputError if it is not there."""
    tensors = Tensors(base_folder(source))
    name = find_name(parameter, tensors)
    if name is None:
        raise InputError(f"{tensors.path} holds no {parameter}; is it the base that this run began with?")
    return tensors.read(name)
