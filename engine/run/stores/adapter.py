"""What is in a LoRA adapter that somebody already has? PEFT's folder, read without PEFT, torch or the base model.

`read_adapter(folder)` sorts the tensors of adapter_model.safetensors by module and works out the scaling of each as
PEFT does. What it cannot show truly it lists, with the reason; it never leaves out silently. `AdapterStore` makes a
Run of it.
"""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from engine import patterns
from engine.errors import InputError, understood
from engine.reading import check_name, read_json
from engine.run.base import base_folder, weight_of
from engine.run.delta import INSIDE_W, PEFT_PREFIX, Factors, dora, scaling_of
from engine.run.info import Found, Model, Module, RunInfo, read_method
from engine.run.pairing import find_name
from engine.run.store import Store
from engine.run.stores.state import read_state, records_of, step_of
from engine.run.tensors import Tensors, is_conv1d

CONFIG = "adapter_config.json"
# What PEFT's LoRA can be besides B A: a sentence is better than a wrong matrix.
_VARIANTS = {"use_qalora": "QA-LoRA", "use_bdlora": "BD-LoRA", "kasa_config": "KaSA", "monteclora_config": "MonteCLoRA",
             "arrow_config": "Arrow"}  # fmt: skip
_PLAIN = re.compile(r"\^?[\w.-]+")
_WRAPPERS = re.compile(r"^(?:base_model\.model\.|_orig_mod\.|module\.)+")
_PART = re.compile(
    r"(?P<module>.+)\.(?P<part>lora_(?:A|B|embedding_A|embedding_B|magnitude_vector))"
    r"(?:\.(?P<adapter>(?!weight$|bias$)[^.]+))?(?:\.weight)?$"
)


@dataclass
class Adapter:
    """One adapter: `modules` as run.json describes them, `names` of the tensors in the file, and what is to be said.

    names: module -> {"A": tensor, "B": tensor, "magnitude_vector": tensor} or {"whole": tensor}. left_out: tensor ->
    why it is not shown. foreign: tensors whose names PEFT would not find when it loads the adapter.
    """

    folder: Path
    config: dict[str, Any]
    tensors: Tensors
    modules: dict[str, Module] = field(default_factory=dict)
    names: dict[str, dict[str, str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_adapter(path: str | Path) -> Path:
    """The folder of an adapter: a folder, its file, or a Hub id (downloaded if it is not yet)."""
    folder = check_name(path)
    if folder.is_file():
        folder = folder.parent
    if not folder.is_dir():
        if folder.is_absolute() or str(path).startswith((".", "~")) or len(Path(path).parts) != 2:
            raise InputError(f"{path} does not exist; give the folder of an adapter, or a Hub id such as owner/name")
        folder = _download(str(path))
    if (folder / CONFIG).is_file():
        return folder
    inside = sorted(config.parent.name for config in folder.glob(f"*/{CONFIG}"))
    if inside:
        raise InputError(f"{folder} holds no adapter itself, but its folders do: give one of {', '.join(inside[:6])}")
    if (folder / "config.json").is_file():
        raise InputError(f"{folder} is a whole model, not an adapter; compare it with its base as two checkpoints")
    raise InputError(f"{folder} is no adapter: it has no {CONFIG}")


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["adapter_*", "trainer_state.json"]))
    except Exception as error:
        said = str(error).strip().split("\n")[0]
        raise InputError(f"{name!r} is neither a folder here nor an adapter that can be downloaded ({said})") from None


def read_adapter(path: str | Path) -> Adapter:
    """Sort an adapter's tensors by module. Raises InputError for anything but a LoRA adapter in a whole file."""
    folder = find_adapter(path)
    config = read_json(folder / CONFIG, within=folder)
    with understood(folder / CONFIG):
        return _sorted(folder, config)


def _sorted(folder: Path, config: dict[str, Any]) -> Adapter:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise InputError(f"{folder / CONFIG}: its peft_type is {kind!r}; only 'LORA' adapters can be read")
    for key, name in _VARIANTS.items():
        if config.get(key):
            raise InputError(
                f"{folder} uses {name}, whose change is not B A alone; plain, rank-stabilised and DoRA can be read"
            )
    adapter = Adapter(folder, config, Tensors(folder, "adapter_model", within=folder))
    parts: dict[str, dict[str, str]] = {}
    for name in adapter.tensors.entries:
        short = _WRAPPERS.sub("", name)
        match = _PART.match(short)
        if _is_foreign(name, match):
            adapter.foreign.append(name)
        if match:
            part = match["part"].removeprefix("lora_").removeprefix("embedding_")
            parts.setdefault(match["module"], {})[part] = name
        elif "lora_" in short or "trainable_tokens" in short:
            adapter.left_out[name] = "neither B A nor a whole weight"
        elif ".base_layer.weight" in short:  # PEFT saves it beside an embedding's factors
            adapter.left_out[name] = "a copy of the base's own weight"
        else:
            _add_whole(adapter, short.replace(".base_layer.", "."), name)
    settings = Settings(config, parts, folder / CONFIG)
    for module, found in parts.items():
        _add_factors(adapter, module, found, *settings.of(module))
    _note(adapter)
    return adapter


def _is_foreign(name: str, match: re.Match[str] | None) -> bool:
    """PEFT finds exactly one prefix and no adapter's name; it loads nothing, and only warns, where it does not."""
    rest = name.removeprefix(PEFT_PREFIX)
    return rest == name or _WRAPPERS.match(rest) is not None or bool(match and match["adapter"])


def _add_whole(adapter: Adapter, short: str, name: str) -> None:
    module, shape = short.removesuffix(".weight"), adapter.tensors.shape(name)
    adapter.modules[module] = Module(kind="delta", shape=shape, parameter=short, base_parameter=short)
    adapter.names[module] = {"whole": name}


def _add_factors(adapter: Adapter, module: str, found: dict[str, str], rank: int, alpha: float) -> None:
    if not {"A", "B"} <= found.keys():
        adapter.left_out |= dict.fromkeys(found.values(), "its other half, lora_A or lora_B, is missing")
        return
    shapes = [adapter.tensors.shape(found[side]) for side in "AB"]
    if any(len(shape) != 2 for shape in shapes):
        adapter.left_out |= dict.fromkeys(found.values(), f"a convolution, {shapes[0]}, not a matrix")
        return
    if shapes[0][0] != shapes[1][1] or shapes[0][0] != rank:
        why = f"A is {shapes[0]} and B is {shapes[1]}, which is not the rank {rank} that {CONFIG} says"
        adapter.left_out |= dict.fromkeys(found.values(), why)
        return
    embedding = "lora_embedding_" in found["A"]
    # An embedding's delta is (B A)' (vocabulary, width): A' then has the part of B, and is zero at the start as B is.
    shape = (shapes[0][1], shapes[1][0]) if embedding else (shapes[1][0], shapes[0][1])
    adapter.modules[module] = Module(
        kind="dora" if "magnitude_vector" in found else "lora",
        shape=shape,
        r=rank,
        scaling=alpha / (math.sqrt(rank) if adapter.config.get("use_rslora") else rank),
        parameter=f"{module}.weight",
        base_parameter=f"{module}.weight",
        transposed=bool(adapter.config.get("fan_in_fan_out")) and not embedding,
        embedding=embedding,
    )
    adapter.names[module] = found


class Settings:
    """Rank and alpha of each module: rank_pattern and alpha_pattern over the defaults, matched as PEFT matches them.

    Raises InputError for a pattern that would take too long.
    """

    def __init__(self, config: dict[str, Any], modules: Collection[str], where: Path) -> None:
        self.ranks = _Pattern(config.get("rank_pattern"), config.get("r", 8), modules, where)
        self.alphas = _Pattern(config.get("alpha_pattern"), config.get("lora_alpha", 8), modules, where)

    def of(self, module: str) -> tuple[int, float]:
        return int(self.ranks.of(module)), float(self.alphas.of(module))


class _Pattern:
    """The first of its keys that matches the end of a module's name, from a dot on. A key without signs is looked up,
    for an adapter may have one for each of thousands of modules."""

    def __init__(self, pattern: dict[str, Any] | None, default: Any, modules: Collection[str], where: Path) -> None:
        keys = pattern or {}
        self.values, self.default = [*keys.values()], default
        self.plain = {key.removeprefix("^"): at for at, key in enumerate(keys) if _PLAIN.fullmatch(key)}
        self.whole = {key[1:] for key in keys if key.startswith("^")}
        signs = {at: rf"(.*\.)?({key})$" for at, key in enumerate(keys) if not _PLAIN.fullmatch(key)}
        patterns.check(signs.values(), modules, where)
        self.signs = {at: re.compile(sign) for at, sign in signs.items()}

    def of(self, module: str) -> Any:
        parts = module.split(".")
        ends = (".".join(parts[at:]) for at in range(len(parts)))
        met = [self.plain[end] for end in ends if end in self.plain and (end not in self.whole or end == module)]
        met += [at for at, sign in self.signs.items() if sign.match(module)]
        return self.values[min(met)] if met else self.default


def _note(adapter: Adapter) -> None:
    config, kinds = adapter.config, [about.kind for about in adapter.modules.values()]
    if "dora" in kinds:
        adapter.notes.append(
            f"{kinds.count('dora')} modules use DoRA, which also rescales every row of W: their change needs the base"
        )
    if "delta" in kinds:
        adapter.notes.append(
            f"{kinds.count('delta')} parameters were trained whole (modules_to_save or bias): "
            "their change needs the base"
        )
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(INSIDE_W):
        adapter.notes.append(
            f"it began with init_lora_weights={start!r}, which takes B A out of the base first: B A is the change "
            "against that remainder, not against the published weights"
        )
    if config.get("alora_invocation_tokens"):
        adapter.notes.append("it is an activated LoRA: delta-W acts only after its invocation tokens")
    if config.get("layer_replication"):
        adapter.notes.append("it was trained on replicated layers: its layer numbers are not those of the base")
    reasons: dict[str, list[str]] = {}
    for name, why in adapter.left_out.items():
        reasons.setdefault(why, []).append(name)
    for why, names in reasons.items():
        adapter.notes.append(f"not shown, because {why}: {names[0]}" + f" and {len(names) - 1} more" * (len(names) > 1))


class AdapterStore(Store):
    """A PEFT LoRA folder. The base's files are opened only for W, DoRA, or weights that were trained whole."""

    def __init__(self, path: str | Path, base: str | Path | None = None) -> None:
        self.adapter = read_adapter(path)
        self.path = self.adapter.folder
        with understood(self.path / CONFIG):
            self._open(base)

    def _open(self, base: str | Path | None) -> None:
        config, modules = self.adapter.config, self.adapter.modules
        self.source = str(base or config.get("base_model_name_or_path") or "unknown")
        self.state = read_state(self.path)
        self.step, known = step_of(self.path, self.state)
        tensors = open_base(self.source, must=base is not None)
        if tensors:
            for name, about in modules.items():
                modules[name] = _in_base(about, tensors)
            misfits = [module for module, about in modules.items() if about.fits]
            if misfits and base is not None:
                raise InputError(self._misfit(misfits))
        kept = ("r", "lora_alpha", "target_modules", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern")
        self.info = RunInfo(
            status="saved",
            method=read_method({"name": "lora", **{key: config[key] for key in kept if config.get(key)}}, self.path),
            model=Model(
                name=Path(self.source).name,
                source=self.source,
                parameters=count_parameters(tensors),
                trainable=self.adapter.tensors.parameters,
            ),
            modules=modules,
            notes=tuple(self.adapter.notes),
            step_known=known,
            found=Found(
                kind="adapter",
                path=str(self.path),
                foreign=tuple(self.adapter.foreign),
                init=config.get("init_lora_weights", True),
            ),
        )

    def _misfit(self, misfits: list[str]) -> str:
        first, count = misfits[0], len(self.adapter.modules)
        return (
            f"the adapter {self.path} does not fit the base {self.source}: {self.adapter.modules[first].fits} "
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
        about, names = self.adapter.modules[module], self.adapter.names[module]
        a, b = self.adapter.tensors.read(names["A"]), self.adapter.tensors.read(names["B"])
        if about.embedding:  # delta = (B A)' = A' B'
            a, b = np.ascontiguousarray(b.T), np.ascontiguousarray(a.T)
        return Factors(B=b, A=a, scaling=scaling_of(about))

    def delta(self, step: int, module: str) -> np.ndarray:
        about, names = self.adapter.modules[module], self.adapter.names[module]
        if about.kind == "delta":
            saved = self.adapter.tensors.read(names["whole"])
            return (saved.T if about.transposed else saved) - self._beside(about)
        product = self.factors(step, module).product()
        if about.kind == "lora":
            return product
        magnitude = self.adapter.tensors.read(names["magnitude_vector"])
        return dora(self._beside(about), product, magnitude, about.embedding)

    def _beside(self, about: Module) -> np.ndarray:
        if about.fits:
            raise InputError(self._misfit([name for name, other in self.adapter.modules.items() if other.fits]))
        try:
            weight = weight_of(self._base, about.in_base)
        except InputError as error:
            raise InputError(f"the change of {about.parameter} can only be told beside the base: {error}") from None
        return weight.T if about.transposed else weight

    def weight(self, module: str) -> np.ndarray:
        about = self.adapter.modules[module]
        weight = weight_of(self._base, about.in_base)
        return weight.T.copy() if about.transposed else weight


def _in_base(about: Module, base: Tensors) -> Module:
    """The same module, by the name and in the form that the base has, and whether it fits there."""
    found = replace(about, base_parameter=find_name(about.in_base, base) or about.in_base)
    found = replace(found, fits=fits(found, base))
    if found.kind == "delta" and is_conv1d(found.parameter or "", base):
        found = replace(found, transposed=True, shape=found.shape[::-1])
    return found


def open_base(source: str, must: bool) -> Tensors | None:
    """The base's tensors if they are at hand; `must`: raise InputError if they are not."""
    try:
        return Tensors(base_folder(source))
    except InputError:
        if must:
            raise
        return None


def count_parameters(tensors: Tensors | None) -> int | None:
    """How many weights the base has; None if that cannot be counted, as where several are packed into a byte."""
    if tensors is None or tensors.refused:
        return None
    return tensors.parameters


def fits(about: Module, base: Tensors) -> str:
    """ "" if the base has this parameter, of this shape; else what is wrong."""
    name = about.in_base
    if name not in base:
        return f"the base has no {name}"
    shape = base.shape(name)
    packed = not base.entries[name].is_float
    expected = about.shape[::-1] if about.transposed else about.shape
    if packed or shape == expected:
        return ""
    return f"{name} is {shape} in the base and {expected} in the adapter"
