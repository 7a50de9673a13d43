"""What is in an adapter that torchtune trained? Its own names, and the rows of q_proj and k_proj in its own order.

torchtune turns neighbouring numbers of a head together, transformers its two halves: of models that it converts so, B's
rows come in the other order, and only the base's config tells how many heads there are. lora_a is (r, in), lora_b
(out, r), scaled by alpha / r. What it saves in PEFT's form (adapter_model.safetensors) is PEFT's.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import InputError
from engine.reading import check_name, read_json, whole_number
from engine.run.adapters import changes
from engine.run.adapters.adapter import CONFIG, Adapter
from engine.run.adapters.changes import Change
from engine.run.base import base_folder
from engine.run.delta import Factors, Read
from engine.run.info import Module
from engine.run.tensors import Tensors

_NAMES = {
    "tok_embeddings": "model.embed_tokens", "output": "lm_head", "attn.q_proj": "self_attn.q_proj",
    "attn.k_proj": "self_attn.k_proj", "attn.v_proj": "self_attn.v_proj", "attn.output_proj": "self_attn.o_proj",
    "mlp.w1": "mlp.gate_proj", "mlp.w2": "mlp.down_proj", "mlp.w3": "mlp.up_proj",
}  # fmt: skip
_PART = re.compile(r"(?P<module>.+)\.(?P<part>lora_a\.weight|lora_b\.weight|magnitude)$")
_LAYER = re.compile(r"layers\.(?P<layer>\d+)\.(?P<inside>.+)$")
_FILE = re.compile(r"adapter_(?P<epoch>\d+)\.(?:safetensors|pt)$")
_TURNED = ("llama", "mistral", "gemma", "gemma2")  # whose q_proj and k_proj torchtune keeps in its own order
_KEPT = ("qwen2", "qwen3", "phi3")  # and whose it does not
_ORDER = "torchtune keeps the rows of q_proj and k_proj in an order that the base's config tells"


def find_file(place: Path) -> Path | None:
    """torchtune's adapter under its own name: the file itself, or of a folder that of the last epoch, safetensors
    before pickles; None if there is none."""
    files = [file for file in ([place] if place.is_file() else place.glob("adapter_*")) if _FILE.match(file.name)]
    return max(files, key=lambda file: (file.suffix == ".safetensors", _epoch(file)), default=None)


def _epoch(file: Path) -> int:
    return whole_number(file.stem.removeprefix("adapter_")) or 0


def is_torchtune(folder: Path, config: dict[str, Any]) -> bool:
    """Whether nothing there is PEFT's: by its tensors' names, or, where PEFT's are not there, by the file's."""
    if (folder / "adapter_model.safetensors").is_file():
        if "peft_type" in config:
            return False
        return any(_PART.match(name) for name in Tensors(folder, "adapter_model", within=folder).entries)
    if "peft_type" in config and (folder / "adapter_model.bin").is_file():  # PEFT's form, pickled
        return False
    return find_file(folder) is not None and str(config.get("peft_type", "LORA")) == "LORA"


def refuse_pickle(file: Path) -> None:
    """Raises InputError for a pickle, which says how to convert it."""
    if file.suffix == ".pt":
        new = f"'{file.stem}.safetensors'"
        raise InputError(
            f"{file} is torchtune's, pickled: a pickle can run any code when it is opened, so it is never opened here; "
            f"convert it with safetensors.torch.save_file(torch.load('{file.name}', weights_only=True), {new}), where "
            "you trust it"
        )


def check_whole(path: str | Path) -> None:
    """Raises InputError for torchtune's file without its settings, or pickled, and says what to do."""
    place = check_name(path)
    file = find_file(place)
    folder = place.parent if place.is_file() else place
    if file is None or (folder / CONFIG).is_file():
        return
    refuse_pickle(file)
    raise InputError(
        f"{folder} holds torchtune's {file.name} and no {CONFIG}, which says its alpha and its base: write one, as "
        '{"r": 8, "lora_alpha": 16, "base_model_name_or_path": "FOLDER"}'
    )


def read_torchtune(folder: Path, config: dict[str, Any], base: str | None) -> Adapter:
    """Sort torchtune's tensors by module. base: where its config.json is looked up. Raises InputError for a pickle."""
    file = folder / "adapter_model.safetensors"
    if not file.is_file():
        file = find_file(folder) or file
    refuse_pickle(file)
    adapter = Adapter(folder, config, Tensors(file, within=folder), "lora")
    adapter.leave_out_refused()
    parts: dict[str, dict[str, str]] = {}
    for name in adapter.tensors.entries:
        match = _PART.match(name)
        if match is None:
            adapter.leave_out([name], "neither one of LoRA's factors nor named as torchtune names them")
        else:
            parts.setdefault(match["module"], {})[match["part"].partition(".")[0]] = name
    about = _config_of(base)
    for module, found in parts.items():
        _add(adapter, module, found, about)
    adapter.notes.append(f"torchtune saved it ({file.name}): PEFT does not load it as it is")
    adapter.note_left_out()
    return adapter


def _config_of(base: str | None) -> dict[str, Any] | None:
    try:
        file = base_folder(base or "") / "config.json"
        return read_json(file) if file.is_file() else None
    except InputError:
        return None


def _add(adapter: Adapter, module: str, parts: dict[str, str], base: dict[str, Any] | None) -> None:
    hf = _hf_name(module)
    a, b = parts.get("lora_a"), parts.get("lora_b")
    if hf is None or a is None or b is None:
        adapter.leave_out(parts.values(), "its other half is missing" if hf else "no name of a plain decoder's module")
        return
    if not adapter.are_matrices([a, b]):
        return
    (rank, into), (out, also) = adapter.tensors.shape(a), adapter.tensors.shape(b)
    stated = adapter.config.get("r")
    if rank != also or stated not in (None, rank):
        adapter.leave_out(parts.values(), f"A is {(rank, into)} and B is {(out, also)}, and its rank {stated}")
        return
    heads = _heads(module, out, base)
    if heads is None:
        adapter.leave_out(parts.values(), f"{_ORDER}: give the base" if base is None else f"{_ORDER}: {_unlike(base)}")
        return
    magnitude = parts.get("magnitude")
    scaling = float(adapter.config["lora_alpha"]) / rank
    change = changes.lora(a, b, scaling, magnitude=magnitude)
    turned = {name for name in (b, magnitude) if name} if heads else set()
    about = Module(kind="lora" if magnitude is None else "dora", shape=(out, into), r=rank, scaling=scaling,
                   parameter=f"{hf}.weight", base_parameter=f"{hf}.weight")  # fmt: skip
    adapter.add(hf, about, _in_halves(change, turned, heads))


def _hf_name(module: str) -> str | None:
    """transformers' name for it; None for what is none of a plain decoder's."""
    match = _LAYER.match(module)
    inside = _NAMES.get(match["inside"] if match else module)
    return inside and (f"model.layers.{match['layer']}.{inside}" if match else inside)


def _heads(module: str, out: int, base: dict[str, Any] | None) -> int | None:
    """How many heads' rows have to be put in transformers' order: 0 for none, None if that is not known."""
    if not module.endswith(("q_proj", "k_proj")):
        return 0
    kind = str((base or {}).get("model_type"))
    if kind in _KEPT:
        return 0
    many = (base or {}).get("num_attention_heads")
    if module.endswith("k_proj"):
        many = (base or {}).get("num_key_value_heads") or many
    if kind not in _TURNED or not isinstance(many, int) or many < 1 or out % (2 * many):
        return None
    return many


def _unlike(base: dict[str, Any]) -> str:
    """Why the config that was given does not tell it."""
    kind = base.get("model_type")
    if kind not in _TURNED:
        return f"of {kind if isinstance(kind, str) else 'a model that it does not name'} that order is not known here"
    return "its number of heads does not divide these rows; is it the base that this was trained on?"


def _in_halves(change: Change, names: set[str], heads: int) -> Change:
    """The same change, of tensors whose rows (head, place, 2) become (head, 2, place)."""
    if not names:
        return change

    def turned(read: Read) -> Read:
        def of(name: str) -> np.ndarray:
            value = read(name)
            if name not in names:
                return value
            rows = value.reshape(heads, -1, 2, *value.shape[1:])
            return np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(value.shape)

        return of

    made, whole = change.factors, change.delta
    assert made is not None

    def factors(read: Read, weight: changes.Weight) -> Factors:
        return made(turned(read), weight)

    return change._replace(
        factors=factors, delta=None if whole is None else lambda read, weight: whole(turned(read), weight)
    )
