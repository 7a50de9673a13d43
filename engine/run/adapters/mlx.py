"""What is in an adapter that MLX trained? adapters.safetensors, with A as (in, r) and B as (r, out), and a scale."""

from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.run.adapters import changes
from engine.run.adapters.adapter import CONFIG, Adapter
from engine.run.info import Module
from engine.run.tensors import Tensors

WEIGHTS = "adapters.safetensors"


def is_mlx(folder: Path, config: dict[str, Any]) -> bool:
    return "peft_type" not in config and ("lora_parameters" in config or "fine_tune_type" in config)


def read_mlx(folder: Path, config: dict[str, Any]) -> Adapter:
    """Sort MLX's tensors by module. Raises InputError for what is neither LoRA nor whole weights."""
    kind, settings = config.get("fine_tune_type", "lora"), config.get("lora_parameters") or {}
    if kind not in ("lora", "full"):
        raise InputError(f"{folder / CONFIG}: its fine_tune_type is {kind!r}; of MLX's, 'lora' and 'full' can be read")
    adapter = Adapter(folder, config, Tensors(folder / WEIGHTS, within=folder), kind)
    adapter.leave_out_refused()
    scale = settings.get("scale", settings.get("alpha", 20.0))
    names = adapter.tensors.entries
    for name in names:
        module, _, leaf = name.rpartition(".")
        if leaf == "lora_a" and f"{module}.lora_b" in names:
            _add(adapter, module, name, f"{module}.lora_b", float(scale))
        elif leaf in ("lora_a", "lora_b", "m"):
            if f"{module}.lora_a" not in names or f"{module}.lora_b" not in names or leaf == "m":
                adapter.leave_out([name], "DoRA's magnitude" if leaf == "m" else "its other half is missing")
        else:
            about = Module(kind="delta", shape=adapter.tensors.shape(name), parameter=name, base_parameter=name)
            adapter.add(name.removesuffix(".weight"), about, changes.saved(name))
    adapter.notes.append("MLX saved it: PEFT does not load it as it is")
    adapter.note_left_out()
    return adapter


def _add(adapter: Adapter, module: str, a: str, b: str, scale: float) -> None:
    if not adapter.are_matrices([a, b]):
        return
    (into, rank), (also, out) = adapter.tensors.shape(a), adapter.tensors.shape(b)
    if rank != also:
        adapter.leave_out([a, b], f"lora_a is {(into, rank)} and lora_b is {(also, out)}, which share no rank")
        return
    about = Module(kind="lora", shape=(out, into), r=rank, scaling=scale, parameter=f"{module}.weight",
                   base_parameter=f"{module}.weight")  # fmt: skip
    adapter.add(module, about, changes.mlx(a, b, scale))
