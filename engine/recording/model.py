"""What is it that is trained? The model inside its wrappers, how its base is kept, and by how many processes."""

from typing import Any

import torch
from peft import LoraConfig
from torch import nn

from engine.recording.names import wrapped


def process_number() -> int:
    """This process's number among those that train together; the first writes."""
    shared = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_rank() if shared else 0


def unwrapped(model: nn.Module) -> nn.Module:
    """The base model inside of what DDP, `torch.compile` and PEFT put around it."""
    inside = unshared(model)
    while hasattr(inside, "get_base_model"):
        inside = unshared(inside.get_base_model())
    return inside


def unshared(model: nn.Module) -> Any:
    """The model inside of what DDP and `torch.compile` put around it, with its adapters."""
    inside: Any = model
    while name := wrapped(inside):
        inside = getattr(inside, name)
    return inside


def held_in(parameter: nn.Parameter) -> int:
    """How many weights a parameter holds, not how many it is stored in: bitsandbytes packs two into a byte."""
    state = getattr(parameter, "quant_state", None)
    return state.shape.numel() if state else parameter.numel()


def is_quantised(model: nn.Module) -> bool:
    """Whether the base is kept in few bits: by bitsandbytes, or as transformers says of one that it has loaded so."""
    packed = any(type(parameter).__name__ in ("Params4bit", "Int8Params") for parameter in model.parameters())
    return packed or bool(getattr(unwrapped(model), "is_quantized", False))


def quantisation(model: nn.Module) -> dict[str, Any]:
    """How bitsandbytes keeps the base in four bits, in the words of `engine.training.methods.QLoRA`; {} where the base
    is kept otherwise, in several ways, or in other blocks than those."""
    packed = [one for one in model.parameters() if type(one).__name__ in ("Params4bit", "Int8Params")]
    states = [getattr(parameter, "quant_state", None) for parameter in packed]
    ways = {state and (state.quant_type, bool(state.nested), state.blocksize) for state in states}
    match [*ways]:
        case [(str(quant_type), double, 64)]:
            return {"quant_type": quant_type, "double_quant": double}
    return {}


def configs_of(model: nn.Module) -> list[dict[str, Any]]:
    """PEFT's settings, by adapter, wherever a model holds them."""
    found = (getattr(module, "peft_config", None) for module in model.modules())
    return [configs for configs in found if configs and isinstance(configs, dict)]


def adapter_settings(model: nn.Module) -> dict[str, Any]:
    """What a LoRA adapter was told, in the words of `engine.training.methods.LoRA`; {} of several, or of none."""
    every = configs_of(model)
    config: Any = next(iter(every[0].values())) if every and len(every[0]) == 1 else None
    if type(config) is not LoraConfig:  # nor one of a method that is called otherwise
        return {}
    wanted = config.target_modules
    told = {
        "r": config.r,
        "alpha": config.lora_alpha,
        "target_modules": wanted if wanted is None or isinstance(wanted, str) else sorted(wanted),
        "dropout": config.lora_dropout,
        "rslora": config.use_rslora,
        "use_dora": config.use_dora,
    }
    return {name: value for name, value in told.items() if value}


def agreed(value: Any, sharded: bool) -> Any:
    """The first process's value, where the others take part in every capture: they must not decide otherwise."""
    box = [value]
    if sharded:
        torch.distributed.broadcast_object_list(box, src=0)
    return box[0]
