"""Which model does an adapter belong in, for PEFT to compute its change? Its base, as a class that has its modules.

A causal language model, a classifier, an encoder, a translator, one that sees: what the adapter's settings, the base's
config and the tensors' names say, and not a guess. A base is loaded once for as long as an adapter is beside it.
"""

import engine.quietly  # noqa: F401

# isort: split
import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch
import transformers
from peft import PeftConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import logging

from engine.errors import InputError
from engine.merging import find_merged
from engine.models import load_as, load_config, with_adapter
from engine.run.adapters.adapter import Adapter
from engine.run.delta import PEFT_PREFIX
from engine.run.pairing import is_embedding, is_head

_BY_TASK = {
    "CAUSAL_LM": "AutoModelForCausalLM", "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
    "SEQ_CLS": "AutoModelForSequenceClassification", "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering", "FEATURE_EXTRACTION": "AutoModel",
}  # fmt: skip
_ANY = ("AutoModelForCausalLM", "AutoModelForImageTextToText", "AutoModel")
_PLACES = ("layers_to_transform", "layers_pattern", "exclude_modules", "modules_to_save", "target_parameters")


@dataclass(frozen=True, eq=False)
class Loaded:
    """A base in memory. lacking: the weights that its files do not hold."""

    model: PreTrainedModel
    lacking: frozenset[str]


_loaded: WeakValueDictionary[tuple[Any, ...], Loaded] = WeakValueDictionary()


def adapted(adapter: Adapter, base: Path) -> tuple[PeftModel, Loaded]:
    """The base with the adapter in it, and the base itself, whose weights it shares: who keeps it, keeps it loaded.
    What the adapter's file brings is the adapter's own.

    Raises InputError if the base is no model that can be loaded, lacks a weight that is adapted, or does not take it.
    """
    config = load_config(base)
    loaded = _load(base, _class_of(adapter, config), config)
    modules = dict(loaded.model.named_modules())
    whole = {name for name, _ in loaded.model.named_parameters()}  # what was saved whole brings its own
    factors = [short for name in adapter.tensors.entries if (short := _plain(name)) not in whole]
    if lacking := sorted(loaded.lacking & {f"{_place(name, modules)}.weight" for name in factors}):
        raise InputError(f"{base} holds no {lacking[0]}, which is adapted: it would be drawn at random")
    return with_adapter(_sharing(loaded.model, adapter), adapter.folder), loaded


def _sharing(model: PreTrainedModel, adapter: Adapter) -> PreTrainedModel:
    """A copy with the same tensors, but those that the adapter's file brings: PEFT writes into these."""
    brought = {_plain(name).replace(".base_layer", "") for name in adapter.tensors.entries}
    every = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    own = {id(tensor) for name, tensor in every if name in brought}
    return copy.deepcopy(model, {id(tensor): tensor for _, tensor in every if id(tensor) not in own})


def _load(base: Path, kind: Any, config: PretrainedConfig) -> Loaded:
    """Once, unless its files changed since, or nobody needs it any more."""
    files = [file for file in sorted(base.glob("*")) if file.suffix in (".safetensors", ".json")]
    states = [(file.name, (about := file.stat()).st_size, about.st_mtime_ns) for file in files]
    key = (base.resolve(), kind.__name__, getattr(config, "num_labels", None), *states)
    if (found := _loaded.get(key)) is None:
        model, lacking, _ = load_as(kind, base, dtype="auto", config=config)
        found = _loaded[key] = Loaded(model, frozenset(lacking))
    return found


# --- the class -----------------------------------------------------------------------------------------


def _class_of(adapter: Adapter, config: PretrainedConfig) -> Any:
    """The class that has the most of the adapter's modules by their names, of all that its base could be."""
    found: list[tuple[int, Any, nn.Module]] = []
    tensors = adapter.tensors
    names = {_plain(name): tensors.shape(name) for name in tensors.entries if name.startswith(PEFT_PREFIX)}
    for kind in _classes(adapter.config, config):
        if (empty := _empty(kind, config)) is None:
            continue
        if (labels := _labels(names, empty)) is not None:
            config.num_labels = labels
            empty = _empty(kind, config) or empty
        modules = dict(empty.named_modules())
        held = sum(_place(name, modules) is not None for name in names)
        found.append((held, kind, empty))
        if held == len(names):
            break  # no other has more
    if not found:
        raise InputError(
            f"{adapter.folder} belongs in a {config.model_type}, which transformers builds no model of here"
        )
    most, kind, _ = max(found, key=lambda one: one[0])
    if names and not most:
        tried = ", ".join(sorted({type(one).__name__ for *_, one in found}))
        raise InputError(
            f"{adapter.folder} adapts {next(iter(names))}, and no model of its base has such a module ({tried})"
        )
    return kind


def _classes(settings: dict[str, Any], config: PretrainedConfig) -> Iterator[Any]:
    """What the adapter's settings name, what its task wants, what the base was saved as, and then the usual ones."""
    mapping = settings.get("auto_mapping")
    stated = mapping.get("base_model_class") if isinstance(mapping, dict) else None
    architectures = getattr(config, "architectures", None) or []
    wanted = [stated, _BY_TASK.get(str(settings.get("task_type"))), *architectures, *_ANY]
    for name in dict.fromkeys(one for one in wanted if isinstance(one, str) and one.isidentifier()):
        kind = getattr(transformers, name, None)
        if name in (*_BY_TASK.values(), *_ANY) or (isinstance(kind, type) and issubclass(kind, PreTrainedModel)):
            yield kind


def _empty(kind: Any, config: PretrainedConfig) -> nn.Module | None:
    said = logging.get_verbosity()
    logging.set_verbosity_error()  # what it has to say of classes that are only tried
    try:
        with torch.device("meta"):
            make = kind._from_config if issubclass(kind, PreTrainedModel) else kind.from_config
            model: nn.Module = make(copy.deepcopy(config))
            return model
    except Exception:  # no model of that class has such a config
        return None
    finally:
        logging.set_verbosity(said)


def _plain(name: str) -> str:
    return name.removeprefix(PEFT_PREFIX).replace(".modules_to_save", "")


def _place(name: str, modules: dict[str, nn.Module]) -> str | None:
    """The module that a tensor belongs to: the longest beginning of its name, if it has weights of its own."""
    parts = name.split(".")
    path = next((path for at in range(len(parts) - 1, 0, -1) if (path := ".".join(parts[:at])) in modules), None)
    own = path is not None and next(modules[path].parameters(recurse=False), None) is not None
    return path if own else None


def _labels(names: dict[str, tuple[int, ...]], empty: nn.Module) -> int | None:
    """How many classes a saved head tells apart, if the base's config says another number."""
    there = dict(empty.named_parameters())
    for name, saved in names.items():
        made = tuple(there[name].shape) if name in there else saved
        if saved[1:] == made[1:] and saved != made and not is_embedding(name) and not is_head(name):
            return saved[0]
    return None


# --- how it begins -------------------------------------------------------------------------------------


def begins(adapter: Adapter, layers: Iterable[BaseTunerLayer]) -> bool | None:
    """Whether an untrained adapter with these settings changes W already. None where PEFT does not make one alone.

    One is made anew, around a copy of the smallest of the layers.
    """
    layer = min(layers, key=lambda one: sum(weight.numel() for weight in one.get_base_layer().parameters()))
    try:
        config = PeftConfig.from_pretrained(str(adapter.folder))
        config.target_modules, config.task_type, config.inference_mode = ["layer"], None, False
        for name in _PLACES:
            if hasattr(config, name):
                setattr(config, name, None)
        with torch.random.fork_rng(devices=[]):
            alone = nn.ModuleDict({"layer": copy.deepcopy(layer.get_base_layer()).float()})
            made = get_peft_model(alone, config).base_model.model["layer"]
            changes = find_merged(made, "layer")
            return any(bool(change().any()) for change in changes.values())
    except Exception:  # each method has its own reasons
        return None
