"""Loss token by token: its mean is the loss that the run recorded, and each captured step is the model as it was."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from msgspec.structs import replace

from engine.data import load
from engine.evaluate.tokens import losses_of_model, piece, token_losses
from engine.evaluate.weights import models_at
from engine.models import load_model, load_tokenizer, load_tuned
from engine.run.info import Model
from engine.run.run import Run
from glasstune import InputError

HELDOUT = load("spanish").heldout


@pytest.mark.parametrize("name", ["lora_run", "full_run"])
def test_a_captured_step_is_the_model_as_it_was(name, request):
    run = request.getfixturevalue(name)
    ids = torch.arange(10, 40)[None]
    expected = {0: load_model(run.info.model.source), run.steps[-1]: load_tuned(run)}
    with torch.inference_mode():
        for step, model in models_at(run, list(expected)):
            torch.testing.assert_close(model(ids).logits, expected[step](ids).logits, atol=1e-3, rtol=1e-3)


def test_the_mean_over_learned_tokens_is_the_loss_that_was_recorded(lora_run):
    steps = [step for step in lora_run.skill_losses.index if step in lora_run.steps][-2:]
    found = token_losses(lora_run, HELDOUT[:100], steps)
    mean = found[found.learned].groupby("step").loss.mean()
    np.testing.assert_allclose(mean, lora_run.skill_losses.loc[steps, "spanish"], rtol=1e-3)


def test_a_row_says_where_and_what_a_token_is(lora_run):
    found = token_losses(lora_run, HELDOUT[:2], [0])
    tokenizer = load_tokenizer()
    one = found[found.row == 0]
    assert list(one.place) == list(range(len(one)))
    assert tokenizer.decode(list(one.token)).startswith("<|begin|>")
    assert np.isnan(one.loss.iloc[0]) and np.isfinite(one.loss.iloc[1:]).all()
    answer = HELDOUT[0][-1]["content"]
    assert tokenizer.decode(list(one.token[one.learned]), skip_special_tokens=True).strip() == answer


def test_before_training_they_are_the_bases(lora_run):
    base = losses_of_model(load_model(), load_tokenizer(), HELDOUT[:2])
    pd.testing.assert_frame_equal(base, token_losses(lora_run, HELDOUT[:2], [0]))


@pytest.mark.parametrize("text", ["peque\u00f1o", "What is 12?", '{"a": "b"}'])
def test_pieces_are_the_text(text):
    tokenizer = load_tokenizer()
    pieces = [piece(tokenizer, token) for token in tokenizer(text)["input_ids"]]
    assert all(pieces) and all("\ufffd" not in one for one in pieces)
    letters = re.sub(r"<([0-9A-F]{2})>", lambda byte: chr(int(byte[1], 16)), "".join(pieces))
    assert letters.encode("latin-1").decode().strip() == text


def test_a_step_that_was_not_captured_is_refused(lora_run, tmp_path):
    with pytest.raises(InputError, match="captured no step 9999"):
        token_losses(lora_run, HELDOUT[:1], [9999])
    nameless = Run.load(lora_run.path)
    nameless.info = replace(nameless.info, model=Model())
    with pytest.raises(InputError, match="does not say which base model"):
        token_losses(nameless, HELDOUT[:1])
