"""Which tensors of adapter_model.safetensors are which module's? PEFT's own names and settings, method by method.

What cannot be shown truly is listed with the reason; nothing is left out silently.
"""

import re
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.run.adapters import changes, prompts
from engine.run.adapters.adapter import AGAIN, CONFIG, COPY, MERELY_SAVED, Adapter
from engine.run.adapters.computed import METHODS, add_computed, is_computed
from engine.run.adapters.factors import add_factors
from engine.run.adapters.settings import Settings
from engine.run.delta import INSIDE_W, PEFT_PREFIX
from engine.run.info import Module
from engine.run.pairing import WRAPPERS, is_embedding, is_head
from engine.run.tensors import Tensors

_TRAINED_COPY = re.compile(r"(?P<module>.+)\.modules_to_save(?:\.(?!weight$|bias$)[^.]+)?\.(?P<leaf>weight|bias)$")
# What PEFT's LoRA can be besides B A: a sentence is better than a wrong matrix.
_VARIANTS = {"use_bdlora": "BD-LoRA", "kasa_config": "KaSA", "monteclora_config": "MonteCLoRA",
             "arrow_config": "Arrow"}  # fmt: skip
READ = ("LORA", "ADALORA", "VERA", "LOHA", "LOKR", "IA3", "LN_TUNING", "TRAINABLE_TOKENS", "BEFT")
_AROUND = tuple(name for name in WRAPPERS if name.startswith("_"))
_FRONT = re.compile(r"^(?:module\.(?=base_model\.)|base_model\.model\.(?=base_model\.)|base_model\.model\.)+")
_PART = re.compile(
    r"(?P<module>.+?)(?P<inner>(?:\.base_layer)*)\."
    r"(?P<part>lora_(?:A|B|E|embedding_A|embedding_B|magnitude_vector)|vera_lambda_[bd]|hada_(?:w[12]_[ab]|t[12])|"
    r"lokr_(?:w[12](?:_[ab])?|t2)|ia3_l|beft_bias)"
    r"(?:\.(?P<adapter>(?!weight$|bias$)[^.]+))?(?:\.weight)?$"
)
_ROWS = re.compile(r"(?P<module>.+?)(?:\.token_adapter)?\.trainable_tokens_delta(?:\.(?P<adapter>[^.]+))?$")
_NORM = re.compile(
    r"(?P<module>.+)\.ln_tuning_layers(?:\.(?P<adapter>(?!weight$|bias$)[^.]+))?\.(?P<leaf>weight|bias)$"
)


def read_peft(folder: Path, config: dict[str, Any]) -> Adapter:
    """Sort an adapter's tensors by module. Raises InputError, naming the method, for one that is not read."""
    kind = str(config.get("peft_type"))
    prompts.refuse(folder, kind)
    if kind not in READ + METHODS:
        known = ", ".join(READ + METHODS)
        if "peft_type" not in config:
            raise InputError(
                f"{folder / CONFIG} does not say which method it is (no peft_type): save it again with PEFT's "
                'save_pretrained, or add it, such as "peft_type": "LORA"'
            )
        raise InputError(
            f"{folder / CONFIG}: its peft_type is {config.get('peft_type')!r}, whose change of the weights is not "
            f"computed here; read are {known}: merge it (merge_and_unload) and compare the two checkpoints"
        )
    for key, name in _VARIANTS.items():
        if config.get(key):
            raise InputError(
                f"{folder} uses {name}, whose change is not B A alone; plain, rank-stabilised and DoRA can be read"
            )
    adapter = Adapter(folder, config, Tensors(folder, "adapter_model", within=folder), kind.lower())
    adapter.begun = _begun(config, kind)
    if not is_computed(adapter):
        _sort(adapter)
        _note(adapter)
    return adapter


def _begun(config: dict[str, Any], kind: str) -> Any:
    """Of a method that usually begins with no change at all, PEFT's word for one that does not is False."""
    if kind in ("LORA", "ADALORA"):
        return config.get("init_lora_weights", True)
    return "before" if config.get("init_ia3_weights", config.get("init_weights", True)) is False else True


def compute(adapter: Adapter, base: Path) -> None:
    """Sort the tensors of one whose change PEFT has to compute, from the model in this folder. Raises InputError."""
    for name in add_computed(adapter, base):
        _add_other(adapter, short_name(name), name)
    _note(adapter)


def _sort(adapter: Adapter) -> None:
    adapter.leave_out_refused()
    factors: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    for name in adapter.tensors.entries:
        short = short_name(name)
        match = _PART.match(short) or _ROWS.match(short) or _NORM.match(short)
        if _is_foreign(name, match):
            adapter.foreign.append(name)
        if match is None:
            _add_other(adapter, short, name)
        elif match.re is _PART:
            depth = match["inner"].count(".base_layer")
            factors[match["module"].replace(".base_layer.", "."), depth][match["part"]] = name
        elif match.re is _ROWS:
            _add_rows(adapter, match["module"], name)
        else:
            _add_whole(adapter, f"{match['module']}.{match['leaf']}", name)
    leaves = [str(target).rpartition(".")[2] for target in adapter.config.get("target_parameters") or []]
    named = [module for module, _ in factors] + [f"{module}.{leaf}" for module, _ in factors for leaf in leaves]
    adapter.settings = Settings(adapter.config, named, adapter.folder / CONFIG)
    depths: dict[str, int] = defaultdict(int)
    for module, depth in factors:
        depths[module] = max(depths[module], depth)
    for (module, depth), parts in factors.items():
        add_factors(adapter, module, parts, depths[module] - depth)


def short_name(name: str) -> str:
    """A module's own path: without PEFT's prefix, and without what FSDP, DDP and torch.compile put in between."""
    kept = ".".join(part for part in name.split(".") if part not in _AROUND)
    return _FRONT.sub("", kept)


def _is_foreign(name: str, match: re.Match[str] | None) -> bool:
    """PEFT finds exactly one prefix, nothing in between, and no adapter's name but its default; else it only warns."""
    if name.startswith("base_model.vera_"):
        return False
    adapter = (match.groupdict().get("adapter") if match else None) or "default"
    return (
        not name.startswith(PEFT_PREFIX) or name.removeprefix(PEFT_PREFIX) != short_name(name) or adapter != "default"
    )


def _add_other(adapter: Adapter, short: str, name: str) -> None:
    """What is no part of a method: a whole weight, or one that PEFT saves beside."""
    if short.startswith("base_model.vera_") or name.startswith("base_model.vera_"):
        return
    if re.search(r"(lora|vera|hada|lokr|ia3|oft|boft|hra)_|trainable_tokens", short):
        adapter.leave_out([name], "neither one of its method's factors nor a whole weight")
    elif ".base_layer.weight" in short or ".original_module." in short:
        adapter.leave_out([name], COPY)
    elif (found := _TRAINED_COPY.match(short)) and _plainly(adapter, found):
        adapter.leave_out([name], AGAIN)
    elif found:
        _add_whole(adapter, f"{found['module']}.{found['leaf']}", name)
    elif (is_embedding(short) or is_head(short)) and not _is_trained(adapter.config, short):
        adapter.leave_out([name], MERELY_SAVED)
    else:
        _add_whole(adapter, short.replace(".base_layer.", "."), name)


def _plainly(adapter: Adapter, found: re.Match[str]) -> bool:
    """Whether PEFT saved a trained copy under its plain name as well, as it does with embeddings."""
    return f"{found['module']}.{found['leaf']}" in _short_names(adapter.tensors)


@lru_cache(maxsize=1)
def _short_names(tensors: Tensors) -> frozenset[str]:
    return frozenset(map(short_name, tensors.entries))


def _is_trained(config: dict[str, Any], short: str) -> bool:
    """Whether a whole weight was trained: PEFT lists those in modules_to_save."""
    module = short.removesuffix(".weight")
    return any(module == name or module.endswith(f".{name}") for name in config.get("modules_to_save") or [])


def _add_whole(adapter: Adapter, parameter: str, name: str) -> None:
    shape = adapter.tensors.shape(name)
    about = Module(kind="delta", shape=shape, parameter=parameter, base_parameter=parameter)
    adapter.add(parameter.removesuffix(".weight"), about, changes.saved(name))


def _add_rows(adapter: Adapter, module: str, name: str) -> None:
    """Trained token rows: which they are stands in the settings, for one embedding or for several by name."""
    wanted = adapter.config.get("trainable_token_indices", adapter.config.get("token_indices"))
    if isinstance(wanted, dict):
        wanted = next((rows for key, rows in wanted.items() if module == key or module.endswith(f".{key}")), None)
    shape = adapter.tensors.shape(name)
    if not isinstance(wanted, list) or len(shape) != 2 or len(wanted) != shape[0]:
        adapter.leave_out([name], f"{CONFIG} does not say which rows these are")
        return
    rows = tuple(int(row) for row in wanted)
    about = Module(kind="delta", shape=(max(rows) + 1, shape[1]), rows=rows, parameter=f"{module}.weight",
                   base_parameter=f"{module}.weight")  # fmt: skip
    adapter.add(module, about, changes.token_rows(name, rows))


# --- what is to be said --------------------------------------------------------------------------------


def _note(adapter: Adapter) -> None:
    config, kinds = adapter.config, [about.kind for about in adapter.modules.values()]
    if "dora" in kinds:
        adapter.notes.append(
            f"{kinds.count('dora')} modules use DoRA, which also rescales every row of W: their change needs the base"
        )
    whole = [name for name, about in adapter.modules.items() if about.kind == "delta" and about.rows is None]
    if (
        whole
        and adapter.method == "lora"
        and (saved := [name for name in whole if len(adapter.changes[name].parts) == 1])
    ):
        adapter.notes.append(
            f"{len(saved)} parameters were trained whole (modules_to_save or bias): their change needs the base"
        )
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(INSIDE_W):
        adapter.notes.append(
            f"it began with init_lora_weights={start!r}, which takes B0 A0 out of the base first: the change is "
            "s B A - s B0 A0, and needs the base"
        )
    if any(".base_layer.out_proj." in part for change in adapter.changes.values() for part in change.parts):
        adapter.notes.append("PEFT adds the change of an nn.MultiheadAttention's out_proj twice, and so it is shown")
    if config.get("alora_invocation_tokens"):
        adapter.notes.append("it is an activated LoRA: delta-W acts only after its invocation tokens")
    if config.get("layer_replication"):
        adapter.notes.append("it was trained on replicated layers: its layer numbers are not those of the base")
    adapter.note_left_out()
