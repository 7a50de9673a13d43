"""What is in a LoRA adapter that somebody already has? PEFT's folder, read without PEFT, torch or the base model.

`read_adapter(folder)` sorts the tensors of adapter_model.safetensors by module and works out the scaling of each as
PEFT does. What it cannot show truly it lists, with the reason; it never leaves out silently. `AdapterStore` makes a
Run of it.
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import InputError, understood
from engine.run.base import base_folder, base_weight
from engine.run.delta import PEFT_PREFIX, Factors
from engine.run.stores.stored import FLOATING, is_conv1d, make_info, read_state, records_of, step_of
from engine.run.tensors import Tensors, find_name, read_json

CONFIG = "adapter_config.json"
# What PEFT's LoRA can be besides B A: a sentence is better than a wrong matrix.
_VARIANTS = {"use_qalora": "QA-LoRA", "use_bdlora": "BD-LoRA", "kasa_config": "KaSA", "monteclora_config": "MonteCLoRA",
             "arrow_config": "Arrow"}  # fmt: skip
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
_WRAPPERS = re.compile(r"^(?:base_model\.model\.|_orig_mod\.|module\.)+")
_PART = re.compile(
    r"(?P<module>.+)\.(?P<part>lora_(?:A|B|embedding_A|embedding_B|magnitude_vector))"
    r"(?:\.(?P<adapter>(?!weight$|bias$)[^.]+))?(?:\.weight)?$"
)


@dataclass
class Adapter:
    """One adapter: `modules` as run.json describes them, `names` of the tensors in the file, and what is to be said.

    modules: module -> {"kind": "lora" | "dora" | "delta", "shape", "r", "scaling", ...}. names: module -> {"A": tensor,
    "B": tensor, "magnitude": tensor} or {"whole": tensor}. left_out: tensor -> why it is not shown.
    foreign: tensors whose names PEFT would not find when it loads the adapter.
    """

    folder: Path
    config: dict[str, Any]
    tensors: Tensors
    modules: dict[str, dict[str, Any]] = field(default_factory=dict)
    names: dict[str, dict[str, str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_adapter(path: str | Path) -> Path:
    """The folder of an adapter: a folder, its file, or a Hub id (downloaded if it is not yet)."""
    folder = Path(path).expanduser()
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
    config = read_json(folder / CONFIG)
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
    adapter = Adapter(folder, config, Tensors(folder, "adapter_model"))
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
    for module, found in parts.items():
        _add_factors(adapter, module, found)
    _note(adapter)
    return adapter


def _is_foreign(name: str, match: re.Match[str] | None) -> bool:
    """PEFT finds exactly one prefix and no adapter's name; it loads nothing, and only warns, where it does not."""
    rest = name.removeprefix(PEFT_PREFIX)
    return rest == name or _WRAPPERS.match(rest) is not None or bool(match and match["adapter"])


def _add_whole(adapter: Adapter, short: str, name: str) -> None:
    module, shape = short.removesuffix(".weight"), adapter.tensors.shape(name)
    adapter.modules[module] = {
        "kind": "delta",
        "shape": list(shape),
        "parameter": short,
        "base_parameter": short,
        "transposed": False,
    }
    adapter.names[module] = {"whole": name}


def _add_factors(adapter: Adapter, module: str, found: dict[str, str]) -> None:
    if not {"A", "B"} <= found.keys():
        adapter.left_out |= dict.fromkeys(found.values(), "its other half, lora_A or lora_B, is missing")
        return
    shapes = [adapter.tensors.shape(found[side]) for side in "AB"]
    rank, alpha = settings_of(adapter.config, module)
    if any(len(shape) != 2 for shape in shapes):
        adapter.left_out |= dict.fromkeys(found.values(), f"a convolution, {shapes[0]}, not a matrix")
        return
    if shapes[0][0] != shapes[1][1] or shapes[0][0] != rank:
        why = f"A is {shapes[0]} and B is {shapes[1]}, which is not the rank {rank} that {CONFIG} says"
        adapter.left_out |= dict.fromkeys(found.values(), why)
        return
    embedding = "lora_embedding_" in found["A"]
    # An embedding's delta is (B A)' (vocabulary, width): A' then has the part of B, and is zero at the start as B is.
    shape = [shapes[0][1], shapes[1][0]] if embedding else [shapes[1][0], shapes[0][1]]
    adapter.modules[module] = {
        "kind": "dora" if "magnitude_vector" in found else "lora",
        "shape": shape,
        "r": rank,
        "scaling": alpha / (math.sqrt(rank) if adapter.config.get("use_rslora") else rank),
        "parameter": f"{module}.weight",
        "base_parameter": f"{module}.weight",
        "transposed": bool(adapter.config.get("fan_in_fan_out")) and not embedding,
        "embedding": embedding,
    }
    adapter.names[module] = found


def settings_of(config: dict[str, Any], module: str) -> tuple[int, float]:
    """(rank, alpha) of one module: rank_pattern and alpha_pattern over the defaults, matched as PEFT matches them."""

    def lookup(pattern: dict[str, Any] | None, default: Any) -> Any:
        return next((value for key, value in (pattern or {}).items() if re.match(rf"(.*\.)?({key})$", module)), default)

    return int(lookup(config.get("rank_pattern"), config.get("r", 8))), float(
        lookup(config.get("alpha_pattern"), config.get("lora_alpha", 8))
    )


def _note(adapter: Adapter) -> None:
    config, kinds = adapter.config, [about["kind"] for about in adapter.modules.values()]
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
    if isinstance(start, str) and start.lower().startswith(_CHANGES_BASE):
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


class AdapterStore:
    """A PEFT LoRA folder. The base's files are opened only for W, DoRA, or weights that were trained whole."""

    def __init__(self, path: str | Path, base: str | Path | None = None) -> None:
        self.adapter = read_adapter(path)
        with understood(self.adapter.folder / CONFIG):
            self._open(base)

    def _open(self, base: str | Path | None) -> None:
        self.path, config = self.adapter.folder, self.adapter.config
        self.source = str(base or config.get("base_model_name_or_path") or "unknown")
        state = read_state(self.path)
        self.step, known = step_of(self.path, state)
        self.steps, self.records = [self.step], records_of(state)
        tensors = open_base(self.source, must=base is not None)
        if tensors:
            for about in self.adapter.modules.values():
                about["base_parameter"] = find_name(about["base_parameter"], tensors) or about["base_parameter"]
                about["fits"] = fits(about, tensors)
                if about["kind"] == "delta" and is_conv1d(about["parameter"], tensors):
                    about |= {"transposed": True, "shape": about["shape"][::-1]}
            misfits = [module for module, about in self.adapter.modules.items() if about["fits"]]
            if misfits and base is not None:
                raise InputError(self._misfit(misfits))
        kept = ("r", "lora_alpha", "target_modules", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern")
        self.info = make_info(
            {"name": "lora", **{key: config[key] for key in kept if config.get(key)}},
            {
                "name": Path(self.source).name,
                "source": self.source,
                "parameters": count_parameters(tensors),
                "trainable": self.adapter.tensors.parameters,
            },
            self.adapter.modules,
            notes=self.adapter.notes,
            step_known=known,
            found={
                "kind": "adapter",
                "path": str(self.path),
                "foreign": self.adapter.foreign,
                "init": config.get("init_lora_weights", True),
            },
        )

    def _misfit(self, misfits: list[str]) -> str:
        first, count = misfits[0], len(self.adapter.modules)
        return (
            f"the adapter {self.path} does not fit the base {self.source}: {self.adapter.modules[first]['fits']} "
            f"({len(misfits)} of {count} modules do not fit); give the base that it was trained on, "
            f"{self.adapter.config.get('base_model_name_or_path')!r} by its own word"
        )

    def factors(self, step: int, module: str) -> Factors:
        about, names = self.adapter.modules[module], self.adapter.names[module]
        a, b = self.adapter.tensors.read(names["A"]), self.adapter.tensors.read(names["B"])
        if about["embedding"]:  # delta = (B A)' = A' B'
            a, b = np.ascontiguousarray(b.T), np.ascontiguousarray(a.T)
        return Factors(B=b, A=a, scaling=about["scaling"])

    def delta(self, step: int, module: str) -> np.ndarray:
        return self._dora(module) if self.adapter.modules[module]["kind"] == "dora" else self._whole(module)

    def _base(self, about: dict[str, Any]) -> np.ndarray:
        if about.get("fits"):
            raise InputError(self._misfit([name for name, other in self.adapter.modules.items() if other.get("fits")]))
        try:
            weight = base_weight(self.source, about["base_parameter"])
        except InputError as error:
            raise InputError(f"the change of {about['parameter']} can only be told beside the base: {error}") from None
        return weight.T if about["transposed"] else weight

    def _dora(self, module: str) -> np.ndarray:
        """DoRA (Liu et al. 2024): W' = m (W + s B A) / ||W + s B A||, row by row (out); minus W."""
        about, names = self.adapter.modules[module], self.adapter.names[module]
        weight = self._base(about)
        sum_ = weight + self.factors(self.step, module).product()
        magnitude = self.adapter.tensors.read(names["magnitude_vector"])
        # An embedding's magnitudes are one a column (its width), a linear layer's one a row (its outputs).
        axis = 0 if about["embedding"] else 1
        return sum_ * (magnitude / np.linalg.norm(sum_, axis=axis)).reshape((1, -1) if axis == 0 else (-1, 1)) - weight

    def _whole(self, module: str) -> np.ndarray:
        about = self.adapter.modules[module]
        saved = self.adapter.tensors.read(self.adapter.names[module]["whole"])
        return (saved.T if about["transposed"] else saved) - self._base(about)

    def moved(self, step: int, module: str) -> None:
        return None


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
    if tensors is None or any(entry.dtype not in FLOATING for entry in tensors.entries.values()):
        return None
    return tensors.parameters


def fits(about: dict[str, Any], base: Tensors) -> str:
    """ "" if the base has this parameter, of this shape; else what is wrong."""
    if about["base_parameter"] not in base:
        return f"the base has no {about['base_parameter']}"
    shape = list(base.shape(about["base_parameter"]))
    packed = base.entries[about["base_parameter"]].dtype not in FLOATING
    expected = about["shape"][::-1] if about["transposed"] else about["shape"]
    if packed or shape == expected:
        return ""
    return f"{about['base_parameter']} is {tuple(shape)} in the base and {tuple(expected)} in the adapter"
