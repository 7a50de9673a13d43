"""How surprised was the model by each token, and how did it change? Its loss, token by token, step by step.

Every captured step is a model that can be asked again: the base with the change of that step added.
"""

from collections.abc import Sequence

import pandas as pd
from torch.nn import functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engine.data import IGNORE, collate, encode
from engine.data.bytes import STAND_INS
from engine.errors import InputError
from engine.evaluate import evaluating
from engine.evaluate.compare import to_grade
from engine.evaluate.sides import tokenizer_of
from engine.evaluate.weights import models_at
from engine.messages import Message
from engine.run.run import Run

_BYTES = {letter: byte for byte, letter in STAND_INS.items()}


def piece(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    """A token as it can be shown: its text with its leading space; a special one's name; part of a letter as <C3>."""
    name = tokenizer.convert_ids_to_tokens(token)
    text = tokenizer.convert_tokens_to_string([name])
    if token in tokenizer.all_special_ids:
        return name
    if "\ufffd" in text:
        return "".join(f"<{_BYTES[letter]:02X}>" for letter in name) if set(name) <= set(_BYTES) else name
    before = " " if name[:1] in ("\u0120", "\u2581") else ""  # byte-level BPE and SentencePiece mark it so
    return before + text.removeprefix(before)


class _Asked:
    """Some conversations as one batch, and a table of their tokens that waits for the losses."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, conversations: Sequence[list[Message]], max_length: int | None
    ) -> None:
        rows = [encode(tokenizer, conversation, max_length) for conversation in conversations]
        self.lengths = [len(row.ids) for row in rows]
        self.batch = collate(rows, tokenizer.pad_token_id)
        self.tokens = pd.DataFrame(
            [
                (at, place, token, piece(tokenizer, token), place > 0 and label != IGNORE)
                for at, row in enumerate(rows)
                for place, (token, label) in enumerate(zip(row.ids, row.labels, strict=True))
            ],
            columns=["row", "place", "token", "text", "learned"],
        )

    def losses(self, model: PreTrainedModel, step: int) -> pd.DataFrame:
        ids = self.batch["input_ids"]
        with evaluating(model):
            logits = model(input_ids=ids, attention_mask=self.batch["attention_mask"], use_cache=False).logits
        found = F.cross_entropy(logits[:, :-1].float().transpose(1, 2), ids[:, 1:], reduction="none")
        each = [
            loss for at, length in enumerate(self.lengths) for loss in (float("nan"), *found[at, : length - 1].tolist())
        ]
        return self.tokens.assign(step=step, loss=each)


def losses_of_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    conversations: Sequence[list[Message]],
    max_length: int | None = None,
) -> pd.DataFrame:
    """The loss of every token of some conversations under one model, a row each, as `token_losses` has it at step 0."""
    return _Asked(tokenizer, conversations, max_length).losses(model, step=0)


def token_losses(
    run: Run, conversations: Sequence[list[Message]], steps: Sequence[int] | None = None, max_length: int | None = None
) -> pd.DataFrame:
    """The loss of every token of some conversations at captured steps (default: all of them), a row each.

    Columns: step; row, which conversation; place in it; token, its id; text; learned, whether training counts it; loss
    in nats, not a number for the first token, which nothing predicts. The mean over what is learned is what training
    minimises. Raises InputError for what `models_at` or `engine.data.encode` refuse.
    """
    asked = _Asked(tokenizer_of(run), conversations, max_length)
    models = models_at(run, run.steps if steps is None else steps)
    return pd.concat([asked.losses(model, step) for step, model in models], ignore_index=True)


def heldout_losses(run: Run, count: int = 1) -> pd.DataFrame:
    """`token_losses` of the first questions that a run held out, at its first, middle and last captured step.

    Raises InputError where the run's data or weights are not at hand, or nothing was captured.
    """
    if not run.steps:
        raise InputError(f"run {run.name} has no captured step, so no model to ask")
    _, questions, _ = to_grade(run, None, count)
    middle = run.steps[len(run.steps) // 2]
    return token_losses(run, questions, sorted({run.steps[0], middle, run.steps[-1]}))
