"""Gradients of an adapted layer: W passes on exactly its transpose times what arrives, and keeps none."""

import numpy as np
import pytest

from engine.data import load
from engine.evaluate.gradients import layer_gradients
from engine.measure.quantize import quantize
from glasstune import InputError

CONVERSATION = load("spanish").train[0]


@pytest.mark.parametrize("name, bits", [("lora_run", 32), ("qlora_run", 4)])
@pytest.mark.parametrize("module", ["model.layers.0.self_attn.q_proj", "model.layers.3.mlp.down_proj"])
def test_w_passes_the_gradient_on_and_keeps_none(name, bits, module, request):
    run = request.getfixturevalue(name)
    found = layer_gradients(run, module, CONVERSATION)
    weight = run.weight(module)
    if bits == 4:
        weight = quantize(weight, "nf4", 64, double=True).values()
    assert found.bits == bits and found.frozen
    # The norm, as one weight in thousands lies at the edge between two levels, where rounding may take either.
    off = np.linalg.norm(found.passed - weight.T @ found.arriving)
    assert off < 1e-3 * np.linalg.norm(found.passed)
    factors = run.factors(module)
    assert found.A.shape == factors.A.shape and found.B.shape == factors.B.shape
    assert found.A.any() and found.B.any()


def test_before_training_only_b_has_a_gradient(lora_run):
    found = layer_gradients(lora_run, "model.layers.2.self_attn.v_proj", CONVERSATION, step=0)
    assert not found.A.any() and found.B.any(), "A's gradient is multiplied by B, still zero"


def test_a_full_run_or_an_unknown_module_is_refused(full_run, lora_run):
    with pytest.raises(InputError, match="is full; gradients of a layer are measured for lora and qlora"):
        layer_gradients(full_run, full_run.modules[0], CONVERSATION)
    with pytest.raises(InputError, match="captured no module 'nope'"):
        layer_gradients(lora_run, "nope", CONVERSATION)
