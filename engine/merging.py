"""What does PEFT itself make of a layer's weights? Merged minus base, of any of its methods that can be merged at all.

On a copy of the one layer: the base's weights are copied in float32, as merging in 16 bits would round most of a small
change away; the adapter's own are shared. The layer itself, its training and its random numbers stay as they are.
"""

import copy
from dataclasses import dataclass
from functools import cached_property

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers.pytorch_utils import Conv1D

from engine.errors import InputError, first_line

_ROUNDING = 16 * torch.finfo(torch.float32).eps  # beside the largest weight
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True, eq=False)
class Merged:
    """The change that the active adapters of one layer make to one weight of its base. `Merged(...)()` computes it.

    layer: the adapted one, of any of PEFT's classes. inside: the weight's path in the layer's base.
    """

    layer: BaseTunerLayer
    inside: str

    def __call__(self) -> torch.Tensor:
        """delta-W as the weight is stored, float32, on the layer's device."""
        return merged(self.layer)[self.inside]

    def base(self) -> torch.Tensor:
        """W as it is stored, float32, on the layer's device."""
        return base_parameters(self.layer)[self.inside].detach().float()

    @cached_property
    def transposed(self) -> bool:
        """Whether the weight is stored as (in, out), as GPT-2 does."""
        return isinstance(self.layer.get_base_layer(), Conv1D) and self.inside == "weight"

    @cached_property
    def stored(self) -> tuple[int, ...]:
        """The weight's shape as it is stored."""
        return tuple(base_parameters(self.layer)[self.inside].shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """(out, in), or that of a weight which is no matrix."""
        return self.stored[::-1] if self.transposed else self.stored

    @cached_property
    def own(self) -> list[torch.Tensor]:
        """The adapter's own parameters, of those that are not active too."""
        return own_parameters(self.layer)


def _parted(layer: BaseTunerLayer) -> tuple[dict[str, nn.Parameter], list[torch.Tensor]]:
    """The base's weights by their paths in it, and the adapter's own parameters. Both of one look: PEFT's
    MultiheadAttention makes its weights anew at every look."""
    base, module = "", layer
    while isinstance(module, BaseTunerLayer):  # several may be around one module
        base, module = f"{base}base_layer.", module.base_layer
    inner = [f"{base}{path}." for path, below in module.named_modules() if isinstance(below, BaseTunerLayer)]
    weights, own = {}, []
    for path, parameter in layer.named_parameters():
        if path.startswith(base) and not any(
            path.startswith(at) and not path.startswith(f"{at}base_layer.") for at in inner
        ):
            weights[path.removeprefix(base)] = parameter
        else:
            own.append(parameter)
    return weights, own


def base_parameters(layer: BaseTunerLayer) -> dict[str, nn.Parameter]:
    """The weights under an adapter, by their paths in the layer's base."""
    return _parted(layer)[0]


def own_parameters(layer: BaseTunerLayer) -> list[torch.Tensor]:
    """What an adapter has put into a layer, also where several layers share it."""
    return _parted(layer)[1]


def merged(layer: BaseTunerLayer) -> dict[str, torch.Tensor]:
    """What the active adapters change of each weight of the layer's base: path in it -> change.

    Where a product with W makes it, an adapter that does nothing leaves rounding: what is no more than that is zero.
    """
    return _changed(layer, _copied(layer, share=True))


def find_merged(layer: BaseTunerLayer, path: str) -> dict[str, Merged]:
    """Which of the base's weights does this adapter change? Those that move where its own are random: path -> change.

    path: what the layer is called. Raises InputError where the adapter cannot be merged, or W is quantised or sharded.
    """
    name = type(layer).__name__
    weights = base_parameters(layer)
    if any(not weight.is_floating_point() for weight in weights.values()) or not weights:
        raise InputError(
            f"{path} is adapted by PEFT's {name} over a quantised weight; there, LoRA on linear layers can be followed"
        )
    if name == "Conv2d" and hasattr(layer, "oft_R") and max(layer.get_base_layer().kernel_size) > 1:
        raise InputError(
            f"{path} is a convolution under PEFT's OFT, which trains another thing there than what merging it gives"
        )
    if any(hasattr(weight, "ds_id") or type(weight).__name__ == "DTensor" for weight in layer.parameters()):
        raise InputError(f"{path} is adapted by PEFT's {name} and sharded over processes, where only LoRA is followed")
    try:
        trial = _copied(layer, share=False)
        drawn = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in own_parameters(trial):
                if parameter.is_floating_point():
                    parameter.copy_(torch.randn(parameter.shape, generator=drawn))
        moved = [inside for inside, change in _changed(layer, trial).items() if change.abs().max() != 0]
    except Exception as error:  # each method has its own reasons
        why = first_line(error) or type(error).__name__
        raise InputError(
            f"{path} is adapted by PEFT's {name}, which cannot be merged into W, so that there is no delta-W ({why})"
        ) from None
    return {inside: Merged(layer, inside) for inside in moved}


def _copied(layer: BaseTunerLayer, share: bool) -> BaseTunerLayer:
    """The layer over a copy of its base in float32. share: with the adapter's own parameters, not copies of them."""
    base = layer.get_base_layer()
    of_base = {id(tensor) for tensor in (*base.parameters(), *base.buffers())}
    kept = (*layer.parameters(), *layer.buffers()) if share else ()
    memo = {id(tensor): tensor for tensor in kept if id(tensor) not in of_base}
    for module in layer.modules():  # what hangs on a layer may hold the whole model
        memo |= {id(hooks): type(hooks)() for name in _HOOKS if (hooks := getattr(module, name, None)) is not None}
        if (hook := getattr(module, "_hf_hook", None)) is not None:
            memo[id(hook)] = hook
    copied = copy.deepcopy(layer, memo)
    if any(weight.dtype in (torch.float16, torch.bfloat16) for weight in base.parameters()):
        copied.get_base_layer().float()
    return copied.eval()  # no dropout


@torch.no_grad()
def _changed(layer: BaseTunerLayer, copied: BaseTunerLayer) -> dict[str, torch.Tensor]:
    devices = {weight.device for weight in layer.parameters() if weight.is_cuda}
    with torch.random.fork_rng(devices=devices):
        copied.merge()
    after, found = copied.get_base_layer(), {}
    for path, before in base_parameters(layer).items():
        owner, _, leaf = path.rpartition(".")
        now = getattr(after.get_submodule(owner), leaf)
        found[path] = now.detach().float() - before.detach().float()
        if float(found[path].abs().max()) <= _ROUNDING * float(before.detach().abs().max()):
            found[path].zero_()
    return found
