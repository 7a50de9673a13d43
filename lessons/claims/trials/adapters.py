"""What do adapters share? One base for several, switched exactly; and the directions that different ranks find."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from engine.measure.subspaces import chance_overlap, overlap_grid
from engine.models import load_tokenizer, without_peft_warnings
from lessons.claims.trials import Result, Trial
from lessons.claims.trials.matrices import weights_and_changes
from lessons.claims.trials.questions import base
from lessons.claims.trials.training import Training, train

ASKED = ("Translate to Spanish: house", "What is the capital of France?", "What is 23 + 45?")


def tuned(training: Training) -> PreTrainedModel:
    """The model that a training makes, with nothing graded on the way."""
    tokenizer = load_tokenizer()
    torch.manual_seed(training.seed)
    model = training.trained().prepare("embedded")
    train(model, training.rows(tokenizer), training.settings(), tokenizer, [])
    return model.eval()


@dataclass(frozen=True)
class Switching(Trial):
    """Two adapters, of two tasks, hang on one base; each is switched to, and off."""

    rate: float = 4e-3
    steps: int = 15

    def run(self) -> Result:
        """How many of all logits differ: off (from the base's), back (one adapter's, after the other was used), joined
        (the second's, from when it had a base to itself). moved: whether the two adapters do anything at all."""
        first = Training(method="lora", rate=self.rate, steps=self.steps, seed=self.seed)
        one, other = tuned(first), tuned(replace(first, task="pirate"))
        before, alone = self._logits(one), self._logits(other)
        with tempfile.TemporaryDirectory() as folder, without_peft_warnings():
            other.save_pretrained(folder)
            one.load_adapter(str(Path(folder)), adapter_name="other")
        one.eval()
        one.set_adapter("other")
        joined = self._logits(one)
        one.set_adapter("default")
        back = self._logits(one)
        with one.disable_adapter():
            off = self._logits(one)
        original = self._logits(base().eval())
        return {
            "off": differing(off, original),
            "back": differing(back, before),
            "joined": differing(joined, alone),
            "moved": min(differing(before, original), differing(alone, original), differing(before, alone)),
        }

    def _logits(self, model: PreTrainedModel) -> list[torch.Tensor]:
        tokenizer = load_tokenizer()
        found = []
        for text in ASKED:
            tokens = tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
            with torch.inference_mode():
                found.append(model(**tokens).logits)
        return found


def differing(some: list[torch.Tensor], others: list[torch.Tensor]) -> int:
    return sum(int((one != other).sum()) for one, other in zip(some, others, strict=True))


@dataclass(frozen=True)
class Overlap(Trial):
    """Do two LoRA trainings that differ in rank alone find the same directions? (Hu et al. 2021, section 7.2)"""

    low: int = 8
    high: int = 64
    rate: float = 2e-3
    steps: int = 160

    def run(self) -> Result:
        """phi of the first i directions of both on the input side, each query and value matrix by itself: how much of
        the one lies in the other, 0 to 1; chance: what random directions have."""
        found: list[dict[str, np.ndarray]] = []
        for rank in (self.low, self.high):
            model = tuned(Training(method="lora", rank=rank, rate=self.rate, steps=self.steps, seed=self.seed))
            found.append(
                {
                    name: np.linalg.svd(change, full_matrices=False)[2][: self.low].T
                    for name, (_, change) in weights_and_changes(model).items()
                    if name.endswith(("q_proj", "v_proj"))
                }
            )
        grids = [overlap_grid(found[0][name], found[1][name]) for name in found[0]]
        width, counts = len(next(iter(found[0].values()))), (1, 2, self.low)
        return {
            "directions": list(counts),
            "phi": [[float(grid[i - 1, i - 1]) for grid in grids] for i in counts],
            "chance": [chance_overlap(i, i, width) for i in counts],
        }
