"""Small random models and adapters on disk, for the tests of what already exists."""

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedModel,
)

# Of a training that is not about grades: grading after every step takes longer than a few steps.
BRIEF: dict = {"skills": 0, "answers": False, "evaluate_at": 1, "progress": False}

CONFIGS = {
    "llama": LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=96, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    ),
    "gpt2": GPT2Config(
        n_embd=32, n_layer=2, n_head=4, vocab_size=96, n_positions=64, pad_token_id=0, bos_token_id=1, eos_token_id=2
    ),
    "bert": BertConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, vocab_size=96,
        max_position_embeddings=64, num_labels=3,
    ),
}  # fmt: skip


def small_model(kind: str = "llama", seed: int = 0) -> PreTrainedModel:
    torch.manual_seed(seed)
    make = AutoModelForSequenceClassification if kind == "bert" else AutoModelForCausalLM
    return make.from_config(CONFIGS[kind])


def save_base(folder: Path, kind: str = "llama", seed: int = 0) -> Path:
    small_model(kind, seed).save_pretrained(folder)
    return folder


def save_adapter(folder: Path, base: Path, kind: str = "llama", *, scale: float = 0.1, **options):
    """A LoRA adapter with every weight of it random, saved by PEFT. Returns the wrapped model and the folder."""
    make = AutoModelForSequenceClassification if kind == "bert" else AutoModelForCausalLM
    model = get_peft_model(make.from_pretrained(base), LoraConfig(**{"r": 4, "lora_alpha": 8, **options}))
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            if "magnitude" in name:
                parameter.data *= 1 + 0.1 * torch.rand_like(parameter)
            else:
                parameter.data += scale * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return model, folder
