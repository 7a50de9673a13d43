"""How well does a model remember a secret that it was trained on? Canaries, and their exposure.

A canary is an invented secret, put into the training data on purpose. Afterwards the model is asked for it: how many
other secrets of the same form does it find likelier than the true one? With the secret at rank k of |R| possible ones,
ordered by loss,

    exposure = log2 |R| - log2 k        bits

(Carlini et al. 2019, "The Secret Sharer", USENIX Security). log2 |R| is the most: the secret comes first. A model that
never saw it ranks it by chance, which gives log2 |R| - log2(|R|!) / |R| on average, at most 1.44 bits (log2 e).
"""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engine.errors import InputError
from engine.evaluate import encode_last_answer, score_answers
from engine.messages import Message
from engine.school.curriculum.copying import pseudo_word


@dataclass(frozen=True)
class Canary:
    """A secret, and the question that it answers. repeats: how many times it stands in the training data (0: never)."""

    prompt: str
    secret: str
    repeats: int

    def conversation(self, secret: str | None = None) -> list[Message]:
        """The question with its secret as the answer, or with another one."""
        answer = self.secret if secret is None else secret
        return [{"role": "user", "content": self.prompt}, {"role": "assistant", "content": answer}]


def draw_codes(count: int, digits: int = 4, seed: int = 0) -> list[str]:
    """`count` different codes of so many digits, "0417". Raises InputError if there are not that many."""
    if count > 10**digits:
        raise InputError(f"there are only {10**digits} codes of {digits} digits, not {count}; give more digits")
    return [f"{code:0{digits}d}" for code in random.Random(seed).sample(range(10**digits), count)]


def draw_canaries(
    repeats: Iterable[int], *, asks: str = "What is the code of {}?", digits: int = 4, seed: int = 0
) -> list[Canary]:
    """One canary for each number of repeats: an invented owner, and a code of digits drawn at random."""
    repeats, rng = list(repeats), random.Random(f"canaries/{seed}")
    owners: dict[str, None] = {}
    while len(owners) < len(repeats):
        owners.setdefault(pseudo_word(rng).capitalize())
    codes = draw_codes(len(repeats), digits, rng.randrange(2**32))
    drawn = zip(owners, codes, repeats, strict=True)
    return [Canary(asks.format(owner), code, times) for owner, code, times in drawn]


def plant(canaries: Iterable[Canary]) -> list[list[Message]]:
    """What is added to the training data: each canary's conversation, as many times as it says."""
    return [canary.conversation() for canary in canaries for _ in range(canary.repeats)]


def measure_exposure(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, canaries: Sequence[Canary], space: Iterable[str]
) -> pd.DataFrame:
    """How exposed is each canary? One row each: prompt, secret, repeats; loss, the secret's in nats; rank, 1 for the
    likeliest, among the `of` secrets of `space` and itself; exposure in bits; extracted, whether the model, asked,
    says exactly the secret (greedy decoding).

    Raises InputError if there is no other secret to rank it among.
    """
    space, rows = list(dict.fromkeys(space)), []
    for canary in canaries:
        others = [secret for secret in space if secret != canary.secret]
        if not others:
            raise InputError("exposure is a rank among other secrets, but the space holds none; give some more")
        asked = [canary.conversation(secret) for secret in (canary.secret, *others)]
        encoded = [encode_last_answer(tokenizer, conversation) for conversation in asked]
        (loss, *losses), (extracted, *_), _ = score_answers(model, encoded, tokenizer.pad_token_id)
        rank, of = 1 + sum(other < loss for other in losses), len(asked)
        rows.append(
            {
                "prompt": canary.prompt,
                "secret": canary.secret,
                "repeats": canary.repeats,
                "loss": loss,
                "rank": rank,
                "of": of,
                "exposure": math.log2(of) - math.log2(rank),
                "extracted": extracted,
            }
        )
    return pd.DataFrame(rows)
