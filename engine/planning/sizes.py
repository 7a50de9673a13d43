"""Which model fits on which GPU? Models of published shapes from 1B to 70B, and the memory that training each takes.

Computed, not measured: `engine.planning.memory` counts and traces shapes without numbers. A model's layers are all
alike, so two and three of them are traced and the rest follow exactly, in a fraction of the time.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pandas as pd

from engine.errors import InputError
from engine.planning.memory import Memory, Method, training_memory

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# The shapes in their makers' config.json: Llama 3.2 and 3.1 (Meta 2024), Qwen 2.5 (Qwen team 2024).
_LLAMA = {"model_type": "llama", "vocab_size": 128256, "num_key_value_heads": 8}
_QWEN = {"model_type": "qwen2", "vocab_size": 152064, "num_key_value_heads": 8, "num_attention_heads": 40}
SHAPES: dict[str, dict[str, Any]] = {
    "1B": _LLAMA | {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
                    "num_attention_heads": 32, "tie_word_embeddings": True},
    "3B": _LLAMA | {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28,
                    "num_attention_heads": 24, "tie_word_embeddings": True},
    "8B": _LLAMA | {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
                    "num_attention_heads": 32},
    "14B": _QWEN | {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 48},
    "32B": _QWEN | {"hidden_size": 5120, "intermediate_size": 27648, "num_hidden_layers": 64},
    "70B": _LLAMA | {"hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
                     "num_attention_heads": 64},
}  # fmt: skip
NAMES = {
    "1B": "Llama 3.2 1B", "3B": "Llama 3.2 3B", "8B": "Llama 3.1 8B",
    "14B": "Qwen 2.5 14B", "32B": "Qwen 2.5 32B", "70B": "Llama 3.1 70B",
}  # fmt: skip
# GiB of memory that each leaves to a program; a T4 keeps one of its 16 for error correction.
GPUS = {"T4": 15, "RTX 4090": 24, "RTX A6000": 48, "H100": 80}
GIB = 2**30
# What the tables take for granted unless told otherwise: the usual way to fit a large model. Each says it itself.
ASSUMED: dict[str, Any] = {"batch": 1, "length": 512, "dtype": "bfloat16", "checkpointing": True}
_OPTIMIZERS = {"adamw": "AdamW", "adamw_32bit": "32-bit AdamW", "adamw_8bit": "8-bit AdamW"}


def config_of(size: str, layers: int | None = None) -> "PretrainedConfig":
    """A transformers config of that size ("8B"), with fewer layers if asked. Raises InputError for another size."""
    if size not in SHAPES:
        raise InputError(f"no model size called {size!r}; there are {', '.join(SHAPES)}")
    from transformers import AutoConfig

    shape = dict(SHAPES[size])
    shape["num_hidden_layers"] = layers or shape["num_hidden_layers"]
    return AutoConfig.for_model(shape.pop("model_type"), **shape)


@cache
def memory_of(size: str, method: Method, batch: int = 1, length: int = 512, checkpointing: bool = True) -> Memory:
    """What does one training step take, in bytes? bfloat16 weights, AdamW, adapters of rank 8 on all linear layers.

    size: of SHAPES. batch x length: tokens. checkpointing: keep only what enters each layer. Raises InputError for a
    size or method that does not exist.
    """
    layers = config_of(size).num_hidden_layers
    options = {**ASSUMED, "batch": batch, "length": length, "checkpointing": checkpointing}
    two, three = (training_memory(config_of(size, some), method, **options) for some in (2, 3))
    return Memory(*(first + (layers - 2) * (second - first) for first, second in zip(two, three, strict=True)))


def memory_table(sizes: tuple[str, ...] = tuple(SHAPES), **options: Any) -> pd.DataFrame:
    """A row a size and method: weights, gradients, optimizer, activations and total in GiB. options: of `memory_of`.

    The columns' name says what was assumed: "1 x 512 tokens, bfloat16, AdamW, gradient checkpointing".
    """
    found = {(size, method): memory_of(size, method, **options) for size in sizes for method in get_args(Method)}
    return _table(found, assumed(**options))


def memory_of_model(model: str | Path, **options: Any) -> pd.DataFrame:
    """The same table of one model of your own, a row a method, under the same assumptions unless told otherwise.

    model: "embedded", a folder, or a Hub id already downloaded. options: of `engine.planning.memory.training_memory`.
    Raises InputError if it is not there.
    """
    name, options = Path(model).name, ASSUMED | options
    found = {(name, method): training_memory(model, method, **options) for method in get_args(Method)}
    return _table(found, assumed(**options))


def assumed(**options: Any) -> str:
    """What a table was computed for, in words: half of it is not in its numbers, and decides what fits."""
    told = ASSUMED | options
    optimizer = told.get("optimizer", "adamw")
    return ", ".join(
        (
            f"{told['batch']} x {told['length']} tokens",
            told["dtype"] + (" computing in bfloat16" if told.get("autocast") else ""),
            _OPTIMIZERS.get(optimizer, optimizer),
            f"{'' if told['checkpointing'] else 'no '}gradient checkpointing",
        )
    )


def _table(found: dict[tuple[str, str], Memory], under: str) -> pd.DataFrame:
    parts = ("weights", "gradients", "optimizer", "activations", "total")
    rows = {which: {name: getattr(memory, name) / GIB for name in parts} for which, memory in found.items()}
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index.names, frame.columns.name = ["size", "method"], under
    return frame


def largest_that_fits(table: pd.DataFrame, method: str, gib: float) -> str | None:
    """The largest size of `memory_table` whose training with this method fits into so many GiB; None if none does."""
    total = table.xs(method, level="method").total
    fitting = total[total <= gib]
    return None if fitting.empty else str(fitting.idxmax())
