"""Every method that the installed PEFT offers, on a small model: its settings, and some real steps.

The names are PEFT's own, so that one which is new there is asked for by the tests until somebody looks at it.
"""

from dataclasses import fields

import torch
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

KINDS = {str(kind.value): config for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
ROWS = "TRAINABLE_TOKENS"
PROMPTS = {
    "PROMPT_TUNING",
    "MULTITASK_PROMPT_TUNING",
    "P_TUNING",
    "PREFIX_TUNING",
    "CPT",
    "CARTRIDGE",
    "ADAPTION_PROMPT",
}
UNMERGEABLE = {"LILY", "BEFT"}  # the second: of layers without a bias
OF_INPUT = {"XLORA", "SHADOW", "POLY"}
FOLLOWED = sorted(KINDS.keys() - PROMPTS - UNMERGEABLE - OF_INPUT)
OPTIONS = {
    "ADALORA": {"init_r": 6, "target_r": 4, "total_step": 10}, "TRAINABLE_TOKENS": {"token_indices": [41, 73]},
    "IA3": {"feedforward_modules": ["down_proj"]}, "BOFT": {"boft_block_size": 4}, "C3A": {"block_size": 8},
    "VBLORA": {"num_vectors": 8, "vector_length": 8}, "FOURIERFT": {"n_frequency": 10}, "WAVEFT": {"n_frequency": 10},
    "ROAD": {"group_size": 8}, "OFT": {"r": 0, "oft_block_size": 8}, "CPT": {"cpt_token_ids": [1, 2], "cpt_mask": [1, 1],
    "cpt_tokens_type_mask": [1, 1]}, "ADAPTION_PROMPT": {"adapter_len": 3, "adapter_layers": 1}, "FROD": {"progressbar": False},
    "POLY": {"n_tasks": 2, "n_skills": 2, "n_splits": 2}, "LORA": {"init_lora_weights": "gaussian"},
}  # fmt: skip
TARGETS = {
    "TRAINABLE_TOKENS": ["embed_tokens"],
    "LN_TUNING": ["input_layernorm"],
    "SHADOW": None,
    "ADAPTION_PROMPT": None,
}
TOKENS = torch.randint(3, 96, (4, 10), generator=torch.Generator().manual_seed(1))
TOKENS[0, :7] = torch.tensor([41, 73, 7, 3, 9, 2, 5])  # rows that are trained below


def config_of(kind, **options):
    known = {field.name for field in fields(KINDS[kind])} - ({"r"} if kind in ("ADALORA", "TINYLORA") else set())
    told = {"r": 4, "num_virtual_tokens": 3, "target_modules": TARGETS.get(kind, ["q_proj", "k_proj", "down_proj"])}
    told = {name: value for name, value in told.items() if name in known}
    return KINDS[kind](**{"task_type": "CAUSAL_LM", **told, **OPTIONS.get(kind, {}), **options})


def steps_of(model, answer, count=3):
    """Real steps on what `answer(model)` gives; yields the loss after each."""
    torch.manual_seed(2)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(count):
        loss = answer(model).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        yield loss


def logits(model):
    return model(input_ids=TOKENS).logits
