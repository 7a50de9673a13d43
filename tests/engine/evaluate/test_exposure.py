"""Exposure is Carlini et al.'s: a rank by loss among secrets of the same form, and what training does to it."""

import math

import pytest
import torch

from engine.data import collate, encode
from engine.evaluate import generate_answers
from engine.evaluate.exposure import Canary, draw_canaries, draw_codes, measure_exposure, plant
from glasstune import InputError


def test_canaries_are_drawn_and_planted_as_often_as_they_say():
    canaries = draw_canaries([0, 1, 3], digits=3, seed=5)
    assert canaries == draw_canaries([0, 1, 3], digits=3, seed=5) != draw_canaries([0, 1, 3], digits=3, seed=6)
    assert len({c.prompt for c in canaries}) == len({c.secret for c in canaries}) == 3
    assert all(len(c.secret) == 3 and c.secret.isdigit() for c in canaries)
    planted = plant(canaries)
    assert [planted.count(c.conversation()) for c in canaries] == [0, 1, 3]


def test_rank_and_exposure_are_those_of_the_losses(base, tokenizer):
    canary, space = draw_canaries([1])[0], draw_codes(15, seed=1)
    found = measure_exposure(base, tokenizer, [canary], [*space, canary.secret]).iloc[0]

    def loss(secret):
        batch = collate([encode(tokenizer, canary.conversation(secret))], tokenizer.pad_token_id)
        with torch.inference_mode():
            return float(base(**batch).loss) * int((batch["labels"][:, 1:] != -100).sum())

    own = loss(canary.secret)
    assert found.loss == pytest.approx(own, rel=1e-4)
    assert found["rank"] == 1 + sum(loss(secret) < own for secret in space)
    assert found.of == 16 and found.exposure == pytest.approx(math.log2(16) - math.log2(found["rank"]))


def test_a_secret_that_was_learned_is_exposed_wholly_and_another_not(base, tokenizer):
    known, unknown = draw_canaries([1, 0], seed=3)
    batch = collate([encode(tokenizer, c) for c in plant([known, unknown])], tokenizer.pad_token_id)
    optimizer = torch.optim.AdamW(base.parameters(), lr=1e-3)
    for _ in range(25):
        base(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    found = measure_exposure(base, tokenizer, [known, unknown], draw_codes(31, seed=2)).set_index("prompt")
    assert found["rank"][known.prompt] == 1 and found.exposure[known.prompt] == 5.0
    assert found.loss[unknown.prompt] > found.loss[known.prompt]
    said = generate_answers(base, tokenizer, [c.conversation()[:1] for c in (known, unknown)])
    assert said[0] == known.secret
    assert list(found.extracted) == [said[0] == known.secret, said[1] == unknown.secret]


def test_what_cannot_be_ranked_or_drawn_is_said(base, tokenizer):
    with pytest.raises(InputError, match="the space holds none"):
        measure_exposure(base, tokenizer, [Canary("Who?", "me", 1)], ["me"])
    with pytest.raises(InputError, match="only 10 codes of 1 digits"):
        draw_codes(11, digits=1)
