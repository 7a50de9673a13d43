"""What does four bits cost the base? Its linear layers are quantised and read back, and every old skill is graded."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from engine.evaluate import OPEN_ENDED, curriculum_groups, encode_last_answer
from engine.measure.quantize import quantize
from engine.models import load_model, load_tokenizer
from lessons.claims.trials import Result, Trial
from lessons.claims.trials.training import graded

KINDS: dict[str, Callable] = {
    "none": lambda weight: None,
    "nf4": partial(quantize, kind="nf4"),
    "nf4 double": partial(quantize, kind="nf4", double=True),
    "fp4": partial(quantize, kind="fp4"),
    "int4": partial(quantize, kind="int4"),
}
PER_SKILL = 20


@dataclass(frozen=True)
class Quantised(Trial):
    """The base in each 4-bit type, blocks of 64, on `PER_SKILL` questions of each old skill, other ones each seed."""

    def run(self) -> Result:
        """Per type: right, share of the answers; loss, in nats a token; error, of the weights: the
        norm of the differences beside the weights' own."""
        tokenizer = load_tokenizer()
        rows = [
            encode_last_answer(tokenizer, messages)
            for name, group in curriculum_groups(PER_SKILL, self.seed).items()
            if name not in OPEN_ENDED
            for messages in group
        ]
        found: Result = {}
        for kind, pack in KINDS.items():
            model = load_model()
            lost = size = 0.0
            for name, module in model.named_modules():
                if (
                    isinstance(module, torch.nn.Linear)
                    and "layers" in name
                    and (packed := pack(module.weight.detach().numpy()))
                ):
                    weight = module.weight.detach().numpy()
                    lost += float(np.square(packed.values() - weight).sum())
                    size += float(np.square(weight).sum())
                    module.weight.data = torch.from_numpy(packed.values())
            right, loss = graded(model, rows, tokenizer.pad_token_id)
            found[kind] = {"right": right, "loss": loss, "error": (lost / size) ** 0.5 if size else 0.0}
        return found
