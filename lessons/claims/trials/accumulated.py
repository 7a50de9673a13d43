"""Do accumulated small batches make the same step as one large batch?"""

from dataclasses import dataclass, replace

import torch

from engine.models import load_tokenizer
from lessons.claims.trials import Result, Trial
from lessons.claims.trials.questions import base
from lessons.claims.trials.training import Training, train


@dataclass(frozen=True)
class Accumulated(Trial):
    """The same data in the same order: batches of 16, and of 4 accumulated 4 times."""

    rate: float = 1e-3
    steps: int = 10

    def run(self) -> Result:
        """difference: of the two trained models' weights, as a norm beside how far training moved them. shuffled: the
        same between two orders of the data, to compare with."""
        whole = self._weights(16, 1, self.seed)
        parts = self._weights(4, 4, self.seed)
        shuffled = self._weights(16, 1, self.seed + 1000)
        start = torch.cat([p.detach().flatten() for p in base().parameters()])
        moved = float((whole - start).norm())
        return {
            "difference": float((whole - parts).norm()) / moved,
            "shuffled": float((whole - shuffled).norm()) / moved,
        }

    def _weights(self, batch: int, accumulation: int, order: int) -> torch.Tensor:
        tokenizer = load_tokenizer()
        training = Training(rate=self.rate, steps=self.steps, batch=batch, seed=self.seed)
        model = training.trained().prepare("embedded")
        settings = replace(training.settings(), accumulation=accumulation, seed=order)
        train(model, training.rows(tokenizer), settings, tokenizer, [])
        return torch.cat([p.detach().flatten() for p in model.parameters()])
