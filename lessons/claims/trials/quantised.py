"""What does four bits cost the base? Its linear layers are quantised and read back, and every old skill is graded."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch

from engine.evaluate import encode_last_answer
from engine.evaluate.forgetting import choice_probabilities, curriculum_knowledge
from engine.measure.quantize import quantize
from engine.models import load_model, load_tokenizer
from lessons.claims.compact import pack_bits, pack_nats, pack_shares
from lessons.claims.trials import Result, Trial
from lessons.claims.trials.questions import graded

KINDS: dict[str, Callable] = {
    "none": lambda weight: None,
    "nf4": partial(quantize, kind="nf4"),
    "nf4 double": partial(quantize, kind="nf4", double=True),
    "fp4": partial(quantize, kind="fp4"),
    "int4": partial(quantize, kind="int4"),
}


@dataclass(frozen=True)
class Quantised(Trial):
    """The base in each 4-bit type, blocks of 64, on `per_skill` questions of each old skill. Nothing is random in it
    but the choice of the questions, which are the same for every type."""

    per_skill: int = 40
    seeded: ClassVar[bool] = False

    def run(self) -> Result:
        """Per type and question: exact, right or wrong; loss, nats a token; choice, the right answer's probability
        among four; text, the loss of each story. error: of the weights, the norm of the differences beside theirs."""
        tokenizer = load_tokenizer()
        old = curriculum_knowledge(self.per_skill, seed=1)
        rows, texts = ([encode_last_answer(tokenizer, m) for m in group] for group in (old.answers, old.texts))
        found: dict[str, Any] = {}
        for kind, pack in KINDS.items():
            model, error = in_type(pack)
            exact, losses = graded(model, rows, tokenizer.pad_token_id)
            found[kind] = {
                "exact": pack_bits(exact),
                "loss": pack_nats(losses),
                "choice": pack_shares(choice_probabilities(model, tokenizer, old.choices)),
                "text": pack_nats(graded(model, texts, tokenizer.pad_token_id)[1]),
                "error": error,
            }
        return found


def in_type(pack: Callable) -> tuple[Any, float]:
    """The base with its linear layers packed and read back, and their error beside their norm."""
    model, lost, size = load_model(), 0.0, 0.0
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and "layers" in name:
            weight = module.weight.detach().numpy()
            if (packed := pack(weight)) is not None:
                lost += float(np.square(packed.values() - weight).sum())
                size += float(np.square(weight).sum())
                module.weight.data = torch.from_numpy(packed.values())
    return model, (lost / size) ** 0.5 if size else 0.0
