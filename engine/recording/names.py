"""What does the base model itself call its weights, inside of whatever has been put around it?

DDP, `torch.compile`, PEFT and checkpointing put a module around another, which lengthens the paths inside. Only such a
module's part of a path is left out: a name like `module` or `_orig_mod` that is the user's own stays.
"""

from collections.abc import Callable

from peft import PeftMixedModel, PeftModel
from peft.tuners.adaption_prompt import AdaptionPromptModel
from peft.tuners.adaption_prompt.layer import AdaptedAttention, AdaptedAttentionGPT
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper, ModulesToSaveWrapper
from torch import nn

# By the class's own name where importing it would be dear, or is optional.
_BY_NAME = {
    "OptimizedModule": "_orig_mod",
    "FullyShardedDataParallel": "_fsdp_wrapped_module",
    "CheckpointWrapper": "_checkpoint_wrapped_module",
    "DeepSpeedEngine": "module",
}


def wrapped(module: nn.Module) -> str | None:
    """Under which name a wrapper of a whole model holds it; None for what is no such wrapper."""
    if isinstance(module, nn.parallel.DistributedDataParallel | nn.DataParallel):
        return "module"
    inside = _BY_NAME.get(type(module).__name__)
    return inside if inside in module._modules else None


def _between(module: nn.Module) -> list[str]:
    """The children of a module, and theirs, that are steps on the way to the weight that it stands for."""
    if inside := wrapped(module):
        return [inside]
    if isinstance(module, PeftModel | PeftMixedModel):
        return ["base_model"]
    if isinstance(module, BaseTuner | AdaptionPromptModel | AdaptedAttention | AdaptedAttentionGPT):
        return ["model"]
    if isinstance(module, BaseTunerLayer):
        return ["base_layer"]
    if isinstance(module, ModulesToSaveWrapper):
        return ["original_module", "modules_to_save", *(f"modules_to_save.{name}" for name in module.modules_to_save)]
    if isinstance(module, AuxiliaryTrainingWrapper):
        return ["original_module", "token_adapter"]
    return []


def names_of(model: nn.Module) -> Callable[[str], str]:
    """A function from a path in `model` to the base model's own name for what lies there."""
    left_out = {
        f"{path}.{inside}".removeprefix(".")
        for path, module in model.named_modules(remove_duplicate=False)
        for inside in _between(module)
    }

    def clean(path: str) -> str:
        parts = path.split(".")
        return ".".join(part for at, part in enumerate(parts, 1) if ".".join(parts[:at]) not in left_out)

    return clean
