"""How much is trained, and how much memory does that take? Counted from the models' shapes, so no seed changes it."""

from dataclasses import dataclass
from typing import ClassVar

from transformers import LlamaConfig

from engine.planning.memory import Method, training_memory
from lessons.claims.trials import Result, Trial

# Sizes as published: Llama (Touvron et al. 2023) of 7 and 65 billion, TinyLlama of 1 (Zhang et al. 2024).
SHAPES = {
    "1B": {
        "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32,
        "num_key_value_heads": 4,
    },
    "7B": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
    "65B": {"hidden_size": 8192, "intermediate_size": 22016, "num_hidden_layers": 80, "num_attention_heads": 64},
}  # fmt: skip


@dataclass(frozen=True)
class Sizes(Trial):
    """A training step of 1 x 512 tokens, weights in bfloat16, with checkpointing.

    model: "embedded", or one of `SHAPES`.
    """

    model: str = "embedded"
    method: Method = "lora"
    rank: int = 8
    targets: tuple[str, ...] = ()  # empty: every linear layer
    seeded: ClassVar[bool] = False

    def run(self) -> Result:
        """share: of the weights that are trained, 0 to 1. gigabytes: that training holds, in 1e9 bytes."""
        shape = SHAPES.get(self.model)
        memory = training_memory(
            LlamaConfig(vocab_size=32_000, **shape) if shape else self.model,
            self.method,
            dtype="bfloat16",
            checkpointing=True,
            r=self.rank,
            target_modules=list(self.targets) or "all-linear",
        )
        return {"share": memory.trainable / memory.parameters, "gigabytes": memory.total / 1e9}
