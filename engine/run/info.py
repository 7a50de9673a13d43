"""What does run.json say, as types? `RunInfo`, and a `Module` for each matrix that training changed.

msgspec decodes and checks them: a Run may come from a stranger. What a Run does not say is None or empty; keys that are
not known here stay in `RunInfo.raw`, for whoever writes it again.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from engine.errors import InputError, understood

FORMAT = "glasstune-run"
VERSION = 2

Count = Annotated[int, Meta(ge=0, lt=2**40)]  # more than any count or dimension is
Shape = Annotated[tuple[Count, ...], Meta(max_length=8)]
_REMEDY = "restore it or make the run again"


def _finite(name: str, value: float | None) -> None:
    if value is not None and not math.isfinite(value):
        raise ValueError(f"its {name} is no number")


class Adapter(Struct, frozen=True, omit_defaults=True):
    """One of several adapters of a module at once."""

    scaling: float
    r: Count | None = None

    def __post_init__(self) -> None:
        _finite("scaling", self.scaling)


class Module(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one parameter's change is kept; `engine.run.format` says what each field means.

    Of an adapter whose base is at hand, not written: fits, "" or what contradicts the base; lacks, why the base holds
    no W for it, though nothing contradicts it.
    """

    kind: Literal["lora", "dora", "delta"]
    shape: Shape
    r: Count | None = None
    scaling: float | None = None
    parameter: str | None = None
    base_parameter: str | None = None
    transposed: bool = False
    embedding: bool = False
    adapters: dict[str, Adapter] | None = None
    rows: tuple[Count, ...] | None = None
    magnitude: bool | str = False
    from_start: bool = False
    sketch: tuple[Count, Count] | None = None
    since: Count | None = None
    fits: str | None = None
    lacks: str | None = None

    def __post_init__(self) -> None:
        needed = {"delta": "parameter"}.get(self.kind, "scaling" if self.adapters is None else "adapters")
        for name in (needed, *(["base_parameter"] if self.kind == "dora" else [])):
            if getattr(self, name) is None:
                raise ValueError(f"it lacks its {name}")
        _finite("scaling", self.scaling)
        if self.shape and any(row >= self.shape[0] for row in self.rows or ()):
            raise ValueError(f"its rows are more than the {self.shape[0]} there are")

    @property
    def in_base(self) -> str:
        """W's name in the base model's files. Raises InputError where the Run does not say."""
        name = self.base_parameter or self.parameter
        if name is None:
            raise InputError(f"the run does not say which parameter of its base this is: {_REMEDY}")
        return name

    @property
    def is_matrix(self) -> bool:
        return len(self.shape) == 2

    @property
    def is_stack(self) -> bool:
        """Whether it is a stack of matrices, as of a mixture's experts, (experts, out, in): no layer's own weight."""
        return len(self.shape) == 3 and not self.in_base.endswith(".weight")

    def to_json(self) -> dict[str, Any]:
        """Its entry in run.json."""
        text = msgspec.json.encode(msgspec.structs.replace(self, fits=None, lacks=None))
        return json.loads(text) | {"transposed": self.transposed}


class Method(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """name: "full", "lora", "qlora", "partial" (some whole weights), or "unknown". options: all else, as it stands."""

    name: str = "unknown"
    options: dict[str, Any] = {}

    def to_json(self) -> dict[str, Any]:
        """As run.json has it."""
        return {"name": self.name, **self.options}


class Model(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The base. source: "embedded", a folder or a Hub id. parameters, trainable: counts of weights."""

    name: str | None = None
    source: str | None = None
    architecture: str | None = None
    parameters: Count | None = None
    trainable: Count | None = None


class MixedIn(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Other data in between. source: None if it came from Python. digest: of what was drawn of it."""

    name: str | None = None
    source: str | None = None
    digest: str | None = None
    examples: Count = 0


class Data(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was trained on. source: how to ask for it again, None if it came from Python. digest: see
    `engine.data.records.digest`. train, heldout, dropped, cut: counts of conversations."""

    name: str | None = None
    source: str | None = None
    digest: str | None = None
    train: Count | None = None
    heldout: Count | None = None
    mixed_in: MixedIn | None = None
    dropped: Count | None = None
    cut: Count | None = None


class Chosen(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of the training's settings what others read; `RunInfo.raw["settings"]` holds them all."""

    seed: int | None = None
    steps: Count | None = None
    epochs: float | None = None
    learning_rate: float | None = None
    batch_size: Count | None = None
    accumulation: Count | None = None
    mix: float | None = None
    max_length: Count | None = None
    mask_prompts: bool | None = None


class Evaluated(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """skills: examples of each skill, or of each kind of probe. at: how often, or its name. answers: whether the model
    was asked. probes: "curriculum", "general" or a file."""

    skills: Count | None = None
    at: Any = None
    answers: bool = True
    probes: str | None = None


class Captured(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """every, budget: what was chosen. left_out: parameters that were trained and not captured."""

    every: Any = None
    budget: Count | None = None
    left_out: Count | None = None


class Seconds(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the run took, and of that the capture, the evaluations, and the writing beside training."""

    total: float | None = None
    capture: float | None = None
    evaluation: float | None = None
    beside: float | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            _finite(name, getattr(self, name))


class Found(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a Run came from that Glasstune did not capture. foreign: tensors that PEFT would not find. init: how the
    adapter began."""

    kind: Literal["adapter", "checkpoints", "trainer output"]
    path: str
    foreign: tuple[str, ...] = ()
    init: Any = True


class RunInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """run.json. A group that is not there is one that knows nothing; `evaluated` and `found` are then None.

    modules: by the base model's names. steps: of training, in all. step_known: False where nothing tells at which step
    the weights were saved. result: the step of the weights that training gave, as where its best was loaded.
    differences: what was not compared or is not shown, names by reason. why: the capture ended before training did.
    raw: the whole as it was read.
    """

    version: Count = 0
    status: str = "running"
    why: str | None = None
    id: str | None = None
    created: str | None = None
    command: str | None = None
    steps: Count | None = None
    resumed: tuple[Count, ...] = ()
    began_at: Count | None = None
    checkpoint: Count | None = None
    method: Method = Method()
    model: Model = Model()
    data: Data = Data()
    settings: Chosen = Chosen()
    evaluated: Evaluated | None = None
    capture: Captured = Captured()
    seconds: Seconds = Seconds()
    versions: dict[str, Any] = {}
    host: dict[str, Any] = {}
    modules: dict[str, Module] = {}
    notes: tuple[str, ...] = ()
    differences: dict[str, list[str]] = {}
    step_known: bool = True
    result: Count | None = None
    found: Found | None = None
    raw: dict[str, Any] = {}

    def to_json(self) -> dict[str, Any]:
        """All that is known, in run.json's form: as it was read, or what a store has found out."""
        known = {
            name: getattr(self, name) for name in self.__struct_fields__ if name not in ("raw", "modules", "method")
        }
        found = {name: json.loads(msgspec.json.encode(value)) for name, value in known.items() if value is not None}
        modules = {name: about.to_json() for name, about in self.modules.items()}
        return {**found, "method": self.method.to_json(), "modules": modules, **self.raw}


# Whoever captures a training may add to these what he likes: a value of another kind than ours is not ours.
_OPEN: dict[str, type[Struct]] = {"settings": Chosen, "evaluated": Evaluated, "capture": Captured}
_OPEN_DATA = ("digest", "mixed_in", "dropped", "cut")
T = TypeVar("T")


def read_info(raw: Any, path: Path) -> RunInfo:
    """run.json's value, checked. Raises InputError that names the file and the field, or says that it is newer."""
    if not isinstance(raw, dict):
        raise InputError(f"{path} holds no JSON object; {_REMEDY}")
    if raw.get("format") != FORMAT:
        raise InputError(f"{path} was not written by Glasstune: its 'format' is not {FORMAT!r}")
    version = raw.get("version", 0)
    if isinstance(version, int) and version > VERSION:
        raise InputError(
            f"{path} has format version {version}, but this Glasstune reads up to {VERSION}; install a newer one"
        )
    with understood(path, _REMEDY):
        json.dumps(raw, ensure_ascii=False).encode()  # JSON can hold halves of characters, which nothing else can
        known = {name: value for name, value in raw.items() if name in RunInfo.__struct_fields__ and name != "raw"}
        for group, kind in _OPEN.items():
            if isinstance(known.get(group), dict):
                known[group] = _fitting(known[group], kind)
        if isinstance(data := known.get("data"), dict):
            known["data"] = {k: v for k, v in data.items() if k not in _OPEN_DATA} | _fitting(
                {k: v for k, v in data.items() if k in _OPEN_DATA}, Data
            )
        known["method"] = read_method(known.get("method", {}), path)
        modules = known.pop("modules", {})
        if not isinstance(modules, dict):
            raise InputError(f"{path}: modules: expected an object; {_REMEDY}")
        known["modules"] = {name: convert(about, Module, path, f"modules[{name!r}]") for name, about in modules.items()}
        return msgspec.structs.replace(convert(known, RunInfo, path), raw=raw)


# Of a method's options those that others read.
_OPTIONS: dict[str, Any] = {
    "target_modules": str | list[str] | None, "r": Count | None, "alpha": float | None, "lora_alpha": float | None,
    "dropout": float | None, "config": dict[str, Any],
}  # fmt: skip


def read_method(raw: Any, path: Path) -> Method:
    if not isinstance(raw, dict):
        raise InputError(f"{path}: method: expected an object; {_REMEDY}")
    options = {name: value for name, value in raw.items() if name != "name"}
    for name in _OPTIONS.keys() & options.keys():
        convert(options[name], _OPTIONS[name], path, f"method.{name}")
    return convert({"name": raw.get("name", "unknown"), "options": options}, Method, path, "method")


def convert(raw: Any, kind: type[T], path: Path, where: str = "") -> T:
    """A JSON value as a type. Raises InputError: the file, the place in it, and what is wrong there."""
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        what, _, inside = str(error).partition(" - at `$")
        place = (where + inside.rstrip("`")).removeprefix(".")
        raise InputError(f"{path}: {place}{': ' * bool(place)}{what[:1].lower()}{what[1:]}; {_REMEDY}") from None


def _fitting(group: Mapping[str, Any], kind: type[Struct]) -> dict[str, Any]:
    types = {field.name: field.type for field in msgspec.structs.fields(kind)}
    found = {}
    for name in types.keys() & group.keys():
        try:
            found[name] = msgspec.convert(group[name], types[name])
        except msgspec.ValidationError:
            continue
    return found
