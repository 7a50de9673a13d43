"""What is in an adapter that trains prompts? Vectors before the text, or in its attention: no change of any weight."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engine.errors import InputError, understood
from engine.linear import product
from engine.reading import read_json
from engine.run.adapters.adapter import CONFIG, find_adapter
from engine.run.tensors import Tensors

METHODS = (
    "PROMPT_TUNING",
    "P_TUNING",
    "PREFIX_TUNING",
    "MULTITASK_PROMPT_TUNING",
    "ADAPTION_PROMPT",
    "CPT",
    "CARTRIDGE",
)
TOKEN_LIKE = ("PROMPT_TUNING", "P_TUNING", "MULTITASK_PROMPT_TUNING", "CPT")  # their vectors stand where tokens' do
IN_EVERY_LAYER = ("PREFIX_TUNING", "CARTRIDGE")  # theirs are keys and values
_SAVED = "prompt_embeddings"
_IN_LAYER = re.compile(r"(?P<layer>.*?(?:layers?|h|blocks?)\.\d+)\..*adaption_(?:prompt|gate)$")


class HasPrompts(InputError):
    """There is no delta-W in it, and there never was to be one; its vectors can be looked at."""


class Vectors(NamedTuple):
    """rows: (virtual tokens, width), float32. labels: one a row. gates: of adaption prompts, what each layer's is let
    through by (tanh of it), by layer; else empty. beside: the other tensors of the folder."""

    folder: Path
    method: str
    config: dict[str, Any]
    rows: np.ndarray
    labels: list[str]
    gates: dict[str, float]
    beside: list[str]


def refuse(folder: Path, kind: str) -> None:
    """Raises HasPrompts for one of these methods."""
    if kind in METHODS:
        raise HasPrompts(
            f"{folder} is {kind}: it trains prompts before the text and changes no weight, so there is no delta-W; "
            "glasstune inspect shows its vectors, and a captured training how they move"
        )


def read_vectors(path: str | Path) -> Vectors:
    """Raises InputError for a folder of another method, or one that lacks its vectors."""
    folder = find_adapter(path)
    config = read_json(folder / CONFIG, within=folder)
    method = str(config.get("peft_type"))
    if method not in METHODS:
        raise InputError(f"{folder} is {method}, which trains no prompts")
    with understood(folder):
        tensors = Tensors(folder, "adapter_model", within=folder)
        if method == "ADAPTION_PROMPT":
            return _in_layers(folder, config, tensors)
        if _SAVED not in tensors or len(tensors.shape(_SAVED)) != 2 or 0 in tensors.shape(_SAVED):
            raise InputError(f"{folder} holds no vectors: {CONFIG} says {method}, and it has no {_SAVED} of two sides")
        used = {_SAVED}
        rows = tensors.read(_SAVED)
        labels = [str(place) for place in range(len(rows))]
        factors = ("prefix_task_cols", "prefix_task_rows")
        if method == "MULTITASK_PROMPT_TUNING" and all(name in tensors for name in factors):
            each = product(*(tensors.read(name) for name in factors))  # (tasks, virtual tokens, width)
            used |= set(factors)
            labels = [f"task {task}: {place}" for task in range(len(each)) for place in labels]
            rows = (rows * each).reshape(-1, rows.shape[1])
        beside = [name for name in tensors.entries if name not in used]
        return Vectors(folder, method, config, rows, labels, {}, beside)


def _in_layers(folder: Path, config: dict[str, Any], tensors: Tensors) -> Vectors:
    rows, labels, gates, beside = [], [], {}, []
    for name in tensors.entries:
        match = _IN_LAYER.match(name)
        layer = ".".join(match["layer"].split(".")[-2:]) if match else ""
        if match and name.endswith("prompt"):
            each = tensors.read(name)
            each = each.reshape(-1, each.shape[-1])
            rows.append(each)
            labels += [f"{layer}: {place}" for place in range(len(each))]
        elif match:
            gates[layer] = float(np.tanh(tensors.read(name).reshape(-1)[0]))
        else:
            beside.append(name)
    if not rows:
        raise InputError(f"{folder} holds no adaption_prompt, though {CONFIG} says that it trains them")
    return Vectors(folder, "ADAPTION_PROMPT", config, np.concatenate(rows), labels, gates, beside)
