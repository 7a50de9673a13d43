"""How much memory will training take? Weights, gradients, optimizer and activations of any model, before it is loaded.

Nothing is measured on a device and no rule of thumb is used: the model is built as shapes without numbers (PyTorch's
meta device), PEFT adapts it, every tensor is counted by its own type, and one training step is traced on tensors that
have a size but no memory (fake tensors), noting what autograd keeps for the backward pass.
"""

import warnings
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from engine.errors import InputError, first_line
from engine.measure.quantize import double_bits

if TYPE_CHECKING:
    from torch import nn
    from transformers import PretrainedConfig

Method = Literal["full", "lora", "qlora"]
# Bytes of state that an optimizer keeps for each trained weight of `size` bytes.
_OPTIMIZERS = {
    "adamw": lambda size: 2 * size,  # two moments, of the weight's own type, as torch.optim keeps them
    "adamw_32bit": lambda size: 8,  # two moments in float32, whatever the weight is
    "adamw_8bit": lambda size: 2 * (1 + 4 / 256),  # and a float32 scale every 256 (Dettmers et al. 2022)
    "sgd_momentum": lambda size: size,
    "sgd": lambda size: 0,
}


class Memory(NamedTuple):
    """What training holds at once, in bytes. weights: all of them, adapters and scales too. gradients and optimizer:
    of the trained ones. activations: what autograd keeps from the forward pass for the backward pass. parameters: the
    base's weights; trainable: those that are trained (both are counts, not bytes)."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    parameters: int
    trainable: int

    @property
    def total(self) -> int:
        """Bytes in all. Short-lived buffers, such as one layer's weights unpacked from four bits, come on top."""
        return self.weights + self.gradients + self.optimizer + self.activations


def training_memory(
    model: "str | Path | PretrainedConfig",
    method: Method = "full",
    *,
    batch: int = 1,
    length: int = 512,
    dtype: str = "float32",
    optimizer: str = "adamw",
    checkpointing: bool = False,
    autocast: bool = False,
    r: int = 8,
    target_modules: str | list[str] = "all-linear",
    adapter_dtype: str = "float32",
    block_size: int = 64,
    double: bool = True,
) -> Memory:
    """What does a training step of this model take, in bytes, with this method?

    model: "embedded", a folder, a Hub id already downloaded, or a transformers config; no weights are read. batch x
    length: tokens in a step. dtype: of the weights: "float32" (as `finetune` keeps them, unless told otherwise),
    "bfloat16", "float16". autocast: compute in bfloat16 beside float32 weights. optimizer: "adamw" (moments of the
    weights' type), "adamw_32bit", "adamw_8bit", "sgd", "sgd_momentum". checkpointing: keep only what enters each layer,
    and compute the rest again (Chen et al. 2016). r, target_modules, adapter_dtype: of LoRA; PEFT keeps adapters in
    float32 unless told otherwise. block_size, double: of QLoRA's 4-bit base, which is every linear layer but the output
    head; the rest is in `dtype`. Capturing takes one copy of what is trained besides.
    Raises InputError for a model or an option that does not exist.
    """
    if method not in ("full", "lora", "qlora"):
        raise InputError(f"no method called {method!r}; there are full, lora, qlora")
    if optimizer not in _OPTIMIZERS:
        raise InputError(f"no optimizer called {optimizer!r} here; there are {', '.join(_OPTIMIZERS)}")
    if batch < 1 or length < 2:
        raise InputError(f"batch {batch} x length {length} is no training step; give at least 1 x 2 tokens")
    network = _build(model, dtype)
    parameters = sum(p.numel() for p in network.parameters())
    packed = _quantised(network) if method == "qlora" else {}
    if method != "full":
        network = _adapt(network, r, target_modules, adapter_dtype)
    bits = double_bits(block_size) if double else 4 + 32 / block_size
    trained = [p for p in network.parameters() if p.requires_grad]
    weights = sum(
        packed[id(p)] * bits / 8 if id(p) in packed else p.numel() * p.element_size() for p in network.parameters()
    )
    return Memory(
        weights=round(weights),
        gradients=sum(p.numel() * p.element_size() for p in trained),
        optimizer=round(sum(p.numel() * _OPTIMIZERS[optimizer](p.element_size()) for p in trained)),
        activations=_activations(network, batch, length, autocast, checkpointing),
        parameters=parameters,
        trainable=sum(p.numel() for p in trained),
    )


def _build(model: "str | Path | PretrainedConfig", dtype: str) -> Any:
    """The model as shapes, in training mode. Raises InputError for a name, folder or type that does not exist."""
    import torch
    from transformers import AutoModelForCausalLM

    from engine.models import load_config

    precision = getattr(torch, dtype, None)
    if not isinstance(precision, torch.dtype) or not precision.is_floating_point:
        raise InputError(f"no floating type called {dtype!r}; there are bfloat16, float16, float32")
    try:
        config = load_config(model) if isinstance(model, str | Path) else deepcopy(model)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, dtype=precision).train()
    except InputError:
        raise
    except Exception as error:  # whatever transformers makes of a broken config
        raise InputError(f"no causal language model can be built from {model!r}: {first_line(error)}") from error


def _adapt(network: Any, r: int, target_modules: str | list[str], dtype: str) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model

    if r < 1:
        raise InputError(f"r is {r}; the rank of LoRA must be at least 1")
    config = LoraConfig(r=r, target_modules=target_modules, task_type="CAUSAL_LM")
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "fan_in_fan_out is set")  # PEFT sets it itself, as it should
            warnings.filterwarnings("ignore", ".*is_gradient_checkpointing. is deprecated")  # PEFT asks by the old name
            network = get_peft_model(network, config, autocast_adapter_dtype=False)
    except ValueError as error:
        raise InputError(f"LoRA found nothing to adapt: {error}") from None
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(getattr(torch, dtype))
    return network.train()


def _quantised(network: Any) -> dict[int, int]:
    """id of each weight that bitsandbytes would keep in four bits -> how many numbers it holds."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    head = network.get_output_embeddings()
    kept = {id(p) for p in head.parameters()} if head is not None else set()
    return {
        id(module.weight): module.weight.numel()
        for module in network.modules()
        if isinstance(module, nn.Linear | Conv1D) and id(module.weight) not in kept
    }


def _activations(network: Any, batch: int, length: int, autocast: bool, checkpointing: bool) -> int:
    """Bytes that one forward pass leaves for the backward pass, each storage once and the weights themselves not.

    Traced with the processor's kernels, whose attention keeps no scores, as flash attention's do not, but, of a batch
    with padding, the (length x length) mask.
    With `checkpointing`: what enters every layer, what is kept outside them, and the largest layer, computed again.
    """
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from transformers.modeling_layers import GradientCheckpointingLayer

    kept: dict[int, tuple[int, int, Any]] = {}  # storage -> (bytes, layer or -1, the tensor, lest its id be used again)
    entering: dict[int, int] = {}
    now = [-1]

    def enter(layer: int, args: Any, kwargs: Any) -> None:
        now[0] = layer
        hidden = args[0] if args else kwargs["hidden_states"]
        entering[layer] = hidden.numel() * hidden.element_size()

    def leave(*_: Any) -> None:
        now[0] = -1

    with FakeTensorMode():
        _give_fake_tensors(network)
        owned = {t.untyped_storage()._cdata for t in [*network.parameters(), *network.buffers()]}
        layers = [module for module in network.modules() if isinstance(module, GradientCheckpointingLayer)]
        for number, layer in enumerate(layers):
            layer.register_forward_pre_hook(
                lambda _, args, kwargs, number=number: enter(number, args, kwargs), with_kwargs=True
            )
            layer.register_forward_hook(leave)

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage._cdata not in owned:
                kept.setdefault(storage._cdata, (storage.nbytes(), now[0], tensor))
            return tensor

        ids = torch.zeros(batch, length, dtype=torch.long)
        mask = torch.ones(batch, length, dtype=torch.long)
        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            torch.autocast("cpu", torch.bfloat16, enabled=autocast),
        ):
            # The graph must live while storages are told apart by their addresses.
            output = network(input_ids=ids, attention_mask=mask, labels=ids, use_cache=False)
    sizes = [0] * (len(layers) + 1)
    for size, layer, _ in kept.values():
        sizes[layer] += size
    del output
    outside, inside = sizes[-1], sizes[:-1]
    if checkpointing and inside:
        return sum(entering.values()) + max(inside) + outside
    return outside + sum(inside)


def _give_fake_tensors(network: "nn.Module") -> None:
    """Put a fake tensor in the place of every meta one; tied weights stay tied."""
    import torch
    from torch import nn

    made: dict[int, torch.Tensor] = {}
    originals = []  # kept alive, so that no id is used twice
    for module in network.modules():
        for store in (module._parameters, module._buffers):
            for name, tensor in store.items():
                if tensor is None:
                    continue
                if id(tensor) not in made:
                    originals.append(tensor)
                    fake = torch.empty(tensor.shape, dtype=tensor.dtype)
                    is_parameter = isinstance(tensor, nn.Parameter)
                    made[id(tensor)] = nn.Parameter(fake, tensor.requires_grad) if is_parameter else fake
                store[name] = made[id(tensor)]  # type: ignore[assignment]
