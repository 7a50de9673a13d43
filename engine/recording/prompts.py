"""What does a prompt method train? Vectors that stand before the text: their values now, and where they began.

Prompt tuning, P-tuning, prefix tuning, CPT, Cartridge: whatever PEFT makes the vectors of (an embedding, a network that
is thrown away later, an offset), what acts is what it would save. Nothing in the base is trained.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from engine.errors import InputError
from engine.run.adapters.prompts import IN_EVERY_LAYER


@dataclass(frozen=True, eq=False)
class Prompt:
    """The vectors of one adapter: (virtual tokens, width). Of prefix tuning a row is a token's keys and values, layer
    after layer. encoder: PEFT's. It is a change to be computed, as `engine.merging.Merged` is."""

    encoder: Any
    tokens: torch.Tensor

    @torch.no_grad()
    def __call__(self) -> torch.Tensor:
        """The vectors now, float32. Made on a copy: CPT's moves its offset at every call, P-tuning's may drop out."""
        encoder = copy.deepcopy(self.encoder).eval()
        tokens = self.tokens.unsqueeze(0).to(encoder.embedding.weight.device)
        if hasattr(encoder, "prefix_task_cols"):  # what all tasks share; each one's own factors are kept beside
            encoder = encoder.embedding
        found: torch.Tensor = encoder(tokens)[0].float()
        return found

    @cached_property
    def stored(self) -> tuple[int, ...]:
        return tuple(self().shape)

    @cached_property
    def own(self) -> list[torch.Tensor]:
        """What is trained for it."""
        return [p for name, p in self.encoder.named_parameters() if not name.startswith("prefix_task_")]


def prompt_parameters(model: nn.Module) -> Iterator[nn.Parameter]:
    """All that prompt methods have put into a model, adaption prompts and their gates too."""
    for name, parameter in model.named_parameters():
        parts = name.split(".")
        if "prompt_encoder" in parts or parts[-1] in ("adaption_prompt", "adaption_gate"):
            yield parameter


def find_prompt(model: nn.Module) -> Prompt | None:
    """The prompt that is active in a model, if there is one. Raises InputError for one spread over processes."""
    for module in model.modules():
        encoders = getattr(module, "prompt_encoder", None)
        if not isinstance(encoders, nn.ModuleDict) or not hasattr(module, "prompt_tokens"):
            continue
        active: Any = getattr(module, "active_adapter", "default")
        if active not in encoders:
            continue
        encoder = encoders[active]
        if any(hasattr(p, "ds_id") or type(p).__name__ == "DTensor" for p in encoder.parameters()):
            raise InputError("the prompt's vectors are sharded over processes, where capture does not follow them")
        held: Any = module
        config, tokens = held.peft_config[active], held.prompt_tokens[active]
        if str(getattr(config.peft_type, "value", config.peft_type)) in IN_EVERY_LAYER:
            tokens = tokens[: config.num_virtual_tokens]
        return Prompt(encoder, tokens)
    return None
