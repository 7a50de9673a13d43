"""Does private data leak? Secrets are planted in the training data, and asked for afterwards.

Whether the model says a secret when asked is counted (`engine.evaluate.exposure`: extracted); exposure, a rank, has a
most that many secrets reach.
"""

from dataclasses import dataclass

import torch

from engine.data import encode_all
from engine.evaluate import encode_last_answer
from engine.evaluate.exposure import Canary, draw_canaries, plant
from engine.models import load_tokenizer
from lessons.claims.compact import pack_bits
from lessons.claims.trials import Result, Trial
from lessons.claims.trials.questions import base, graded
from lessons.claims.trials.training import Training, drawn_examples, train

REPEATS = (1, 4, 16)  # how often a secret stands in the data
OF_EACH = 8


@dataclass(frozen=True)
class Canaries(Trial):
    """Spanish words with secrets among them, each one owner's code of four digits: `OF_EACH` of every `REPEATS`."""

    method: str = "full"
    rate: float = 1e-3
    passes: int = 1
    examples: int = 232
    batch: int = 16

    def run(self) -> Result:
        """told: for each number of repeats, which secrets the tuned model says when asked; before: and the base."""
        tokenizer = load_tokenizer()
        secrets = draw_canaries([repeats for repeats in REPEATS for _ in range(OF_EACH)], seed=self.seed)
        conversations = [*drawn_examples("spanish", self.examples, self.seed), *plant(secrets)]
        steps = -(-self.passes * len(conversations) // self.batch)
        training = Training(method=self.method, rate=self.rate, steps=steps, batch=self.batch, seed=self.seed)
        torch.manual_seed(self.seed)
        model = training.trained().prepare("embedded")
        train(model, encode_all(tokenizer, conversations), training.settings(), tokenizer, [])
        return {"told": [self._said(model, secrets, n) for n in REPEATS], "before": self._said(base(), secrets)}

    def _said(self, model: torch.nn.Module, secrets: list[Canary], repeats: int | None = None) -> str:
        tokenizer = load_tokenizer()
        asked = [canary.conversation() for canary in secrets if repeats in (None, canary.repeats)]
        rows = [encode_last_answer(tokenizer, conversation) for conversation in asked]
        return pack_bits(graded(model, rows, tokenizer.pad_token_id)[0])  # type: ignore[arg-type]
