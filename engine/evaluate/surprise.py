"""How surprised is a model by text it has not seen? Perplexity, weighted by tokens, prompts masked or not.

exp of the mean loss a token, in nats (Jelinek et al. 1977). A text longer than the model's context is read in windows
that overlap: each moves on by `stride` tokens and scores only the tokens that no window before it scored, so every
token counts once and all but the first few have context before them, as transformers' documentation does
("Perplexity of fixed-length models"). Perplexities compare only with the same tokenizer, and the same stride.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engine.data import IGNORE, Encoded, encode
from engine.errors import InputError
from engine.evaluate import context_of, score_answers
from engine.messages import Message

_CONTEXT = 1024  # where a model does not say, or claims more than fits in memory


@dataclass(frozen=True)
class Perplexity:
    """value: exp(nats). nats: mean loss a token. tokens: how many were scored. windows: how many passes it took."""

    value: float
    nats: float
    tokens: int
    windows: int


def windows(row: Encoded, context: int, stride: int) -> list[Encoded]:
    """A long row as overlapping ones of at most `context` tokens, each label in exactly one of them."""
    if not 0 < stride < context:
        raise InputError(f"stride is {stride}; it must be at least 1 and below the window's {context} tokens")
    found, scored = [], 0
    for start in range(0, len(row.ids), stride):
        end = min(start + context, len(row.ids))
        labels = [IGNORE] * (scored - start) + row.labels[scored:end]
        found.append(Encoded(row.ids[start:end], labels))
        scored = end
        if end == len(row.ids):
            break
    return [window for window in found if window.trained]


def measure_perplexity(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Iterable[str | list[Message]],
    *,
    prompts: bool = False,
    context: int | None = None,
    stride: int | None = None,
) -> Perplexity:
    """How surprised is the model by these plain texts or conversations?

    prompts: count every token of a conversation, not the assistant's alone; of a plain text every token counts.
    context: tokens a window (default: what the model reads, at most 1,024). stride: tokens that a window moves on
    (default: half of it). Raises InputError if nothing is left to score.
    """
    context = context or min(context_of(model) or _CONTEXT, _CONTEXT)
    stride = context // 2 if stride is None else stride
    cut = []
    for text in texts:
        if isinstance(text, str):
            ids = tokenizer(text, verbose=False)["input_ids"]
            row = Encoded(ids, ids)
        else:
            row = encode(tokenizer, text)
            row = Encoded(row.ids, row.ids) if prompts else row
        cut += windows(row, context, stride)
    if not cut:
        raise InputError(
            "perplexity does not apply: there is no token to predict; give texts, or answers, of some length"
        )
    losses, _, counts = score_answers(model, cut, tokenizer.pad_token_id)
    nats, tokens = math.fsum(losses) / sum(counts), sum(counts)
    return Perplexity(math.exp(nats) if nats < 700 else math.inf, nats, tokens, len(cut))
