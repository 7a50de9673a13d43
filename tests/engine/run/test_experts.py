"""A stack of experts against experts by themselves: the same weights, compared one by one."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from engine.run.tensors import Tensors
from glasstune import Run

EXPERTS, INNER, WIDTH = 12, 6, 10  # more than ten: names sort by number
RANDOM = np.random.default_rng(0)
LLAMA, MIXTRAL = ("gate_proj", "up_proj", "down_proj"), ("w1", "w3", "w2")


def save(folder, tensors):
    folder.mkdir()
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, folder / "model.safetensors")
    return folder


def experts():
    """gate, up (experts, inner, width) and down (experts, width, inner), in each of two layers."""
    shapes = [(EXPERTS, INNER, WIDTH), (EXPERTS, INNER, WIDTH), (EXPERTS, WIDTH, INNER)]
    return [[RANDOM.standard_normal(shape).astype(np.float32) for shape in shapes] for _ in range(2)]


def alone(layers, where="mlp.experts", leaves=LLAMA):
    return {
        f"model.layers.{layer}.{where}.{expert}.{leaf}.weight": values[expert]
        for layer, kinds in enumerate(layers)
        for leaf, values in zip(leaves, kinds, strict=True)
        for expert in range(EXPERTS)
    }


def stacked(layers):
    found = {}
    for layer, (gate, up, down) in enumerate(layers):
        found[f"model.layers.{layer}.mlp.experts.gate_up_proj"] = np.concatenate([gate, up], axis=1)
        found[f"model.layers.{layer}.mlp.experts.down_proj"] = down
    return found


@pytest.mark.parametrize(("where", "leaves"), [("mlp.experts", LLAMA), ("block_sparse_moe.experts", MIXTRAL)])
@pytest.mark.parametrize("stack_is", ["base", "tuned"])
def test_each_expert_is_compared_with_its_part_of_the_stack(tmp_path, where, leaves, stack_is):
    before, after = experts(), experts()
    pair = (stacked(before), alone(after, where, leaves))
    if stack_is == "tuned":
        pair = (alone(before, where, leaves), stacked(after))
    run = Run.from_checkpoints(save(tmp_path / "base", pair[0]), save(tmp_path / "tuned", pair[1]), progress=False)
    assert len(run.modules) == 2 * 3 * EXPERTS and not run.info.differences
    assert "compared one by one" in " ".join(run.info.notes)
    for layer in range(2):
        for kind, leaf in enumerate(leaves):
            for expert in (0, 2, 11):
                name = f"model.layers.{layer}.{where}.{expert}.{leaf}"
                expected = after[layer][kind][expert] - before[layer][kind][expert]
                np.testing.assert_allclose(run.delta(name), expected, atol=1e-6)
                assert run.norm(name) == pytest.approx(np.linalg.norm(expected), rel=1e-5)


def test_what_does_not_fit_is_named_and_not_compared(tmp_path):
    layers = experts()
    stack = stacked(layers)
    turned = {name: value.swapaxes(1, 2) for name, value in stack.items()}  # as GPT-OSS keeps them
    common = {"model.norm.weight": np.ones(4, np.float32)}
    run = Run.from_checkpoints(save(tmp_path / "base", turned | common), save(tmp_path / "t", alone(layers) | common),
                               progress=False)  # fmt: skip
    assert len(run.info.differences["only in the base"]) == 4
    assert len(run.info.differences["only in the tuned"]) == 2 * 3 * EXPERTS
    assert list(run.info.modules) == ["model.norm"]


def test_two_that_keep_them_alike_are_left_as_they_are(tmp_path):
    layers = experts()
    run = Run.from_checkpoints(save(tmp_path / "a", stacked(layers)), save(tmp_path / "b", stacked(layers)),
                               progress=False)  # fmt: skip
    assert sorted(run.info.modules) == sorted(stacked(layers)) and not run.info.notes
    whole = Tensors(tmp_path / "a")
    assert whole.parameters == 2 * 3 * EXPERTS * INNER * WIDTH
