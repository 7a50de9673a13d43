"""torchtune's adapters: its names, its order of rows, computed here by explicit indices; pickles are never opened."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, Qwen2Config

from engine.inspect.diagnose import diagnose
from glasstune import InputError, Run
from tests.engine.small import CONFIGS, save_base

TO_HF = {"attn.q_proj": "self_attn.q_proj", "attn.k_proj": "self_attn.k_proj", "attn.output_proj": "self_attn.o_proj",
         "mlp.w1": "mlp.gate_proj", "mlp.w2": "mlp.down_proj", "mlp.w3": "mlp.up_proj"}  # fmt: skip
SIZES = {"attn.q_proj": (32, 32), "attn.k_proj": (16, 32), "attn.output_proj": (32, 32), "mlp.w1": (48, 32),
         "mlp.w2": (32, 48), "mlp.w3": (48, 32)}  # fmt: skip
HEADS = {"attn.q_proj": 4, "attn.k_proj": 2}


def write(folder, name="adapter_0.safetensors", rank=4, dora=False, config=None, more=()):
    folder.mkdir()
    torch.manual_seed(0)
    tensors = {}
    for module, (out, into) in SIZES.items():
        tensors[f"layers.1.{module}.lora_a.weight"] = torch.randn(rank, into)
        tensors[f"layers.1.{module}.lora_b.weight"] = torch.randn(out, rank)
        if dora:
            tensors[f"layers.1.{module}.magnitude"] = 1 + torch.rand(out)
    tensors |= {name: torch.ones(2, 2) for name in more}
    save_file(tensors, folder / name)
    settings = {"r": rank, "lora_alpha": 8} if config is None else config
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return {key: value.numpy() for key, value in tensors.items()}


def row_of(row, size, heads):
    """Where transformers' row of q_proj or k_proj lies in torchtune: halves of a head there, neighbours here."""
    head, inside = divmod(row, size // heads)
    half, place = divmod(inside, size // heads // 2)
    return head * (size // heads) + 2 * place + half


def expected(tensors, module, turned=True):
    b, a = tensors[f"layers.1.{module}.lora_b.weight"], tensors[f"layers.1.{module}.lora_a.weight"]
    change = 2.0 * b @ a
    if module in HEADS and turned:
        change = change[[row_of(row, len(change), HEADS[module]) for row in range(len(change))]]
    return change


@pytest.mark.parametrize("config", [None, {"r": 4, "lora_alpha": 8, "peft_type": "LORA"}])
def test_every_module_is_named_and_ordered_as_in_the_base(config, tmp_path):
    tensors = write(tmp_path / "adapter", config=config)
    run = Run.open(tmp_path / "adapter", save_base(tmp_path / "base"))
    assert set(run.modules) == {f"model.layers.1.{name}" for name in TO_HF.values()}
    for module, name in TO_HF.items():
        delta = run.delta(f"model.layers.1.{name}")
        np.testing.assert_allclose(delta, expected(tensors, module), rtol=1e-4, atol=1e-5)
        factors = run.factors(f"model.layers.1.{name}")
        np.testing.assert_allclose(factors.scaling * factors.B @ factors.A, delta, rtol=1e-5, atol=1e-5)
    assert run.method == "lora" and any("torchtune saved it" in note for note in run.info.notes)
    assert {finding.level for finding in diagnose(run)} == {"fine"}, diagnose(run)


@pytest.mark.parametrize("a, b, why", [((8, 4, 32), (8, 48, 4), "a stack of matrices"), ((0,), (48, 4), "empty"),
                                       ((4, 32), (192,), "flattened")])  # fmt: skip
def test_what_is_no_matrix_is_told_and_the_rest_is_read(tmp_path, a, b, why):
    tensors = write(tmp_path / "adapter")
    tensors |= {"layers.1.mlp.w1.lora_a.weight": np.ones(a), "layers.1.mlp.w1.lora_b.weight": np.ones(b)}
    save_file(
        {name: torch.tensor(value) for name, value in tensors.items()}, tmp_path / "adapter" / "adapter_0.safetensors"
    )
    run = Run.open(tmp_path / "adapter", save_base(tmp_path / "base"))
    assert len(run.modules) == 5 and all(run.norm(module) for module in run.modules)
    assert any(f"not shown, because {why}" in note and "layers.1.mlp.w1.lora_" in note for note in run.info.notes)


def test_a_rotation_of_both_in_torchtunes_order_is_the_same_attention(tmp_path):
    """What attention sees, q'k after each has turned its pairs by position: torchtune's neighbours, our halves."""
    tensors = write(tmp_path / "adapter")
    run = Run.open(tmp_path / "adapter", save_base(tmp_path / "base"))
    x, angles = np.random.default_rng(0).standard_normal((2, 32)), np.array([[0.0] * 4, [1.0, 0.3, 0.1, 0.03]]) + 0.7
    cos, sin = np.cos(angles), np.sin(angles)

    def seen(q, k, pairs):
        def turn(head, at):
            one, two = pairs(head)
            return np.stack([one * cos[at] - two * sin[at], one * sin[at] + two * cos[at]])

        heads = [(q.reshape(4, 8)[0], k.reshape(2, 8)[0])]
        return [float((turn(a, 0) * turn(b, 1)).sum()) for a, b in heads]

    neighbours = seen(2 * tensors["layers.1.attn.q_proj.lora_b.weight"] @ tensors["layers.1.attn.q_proj.lora_a.weight"] @ x[0],
                      2 * tensors["layers.1.attn.k_proj.lora_b.weight"] @ tensors["layers.1.attn.k_proj.lora_a.weight"] @ x[1],
                      lambda head: (head[0::2], head[1::2]))  # fmt: skip
    halves = seen(run.delta("model.layers.1.self_attn.q_proj") @ x[0], run.delta("model.layers.1.self_attn.k_proj") @ x[1],
                  lambda head: (head[:4], head[4:]))  # fmt: skip
    np.testing.assert_allclose(halves, neighbours, rtol=1e-4)


def test_a_model_that_torchtune_does_not_turn_is_left_as_it_is(tmp_path):
    tensors = write(tmp_path / "adapter")
    config = Qwen2Config(**{key: value for key, value in CONFIGS["llama"].to_dict().items() if key != "model_type"})
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
    run = Run.open(tmp_path / "adapter", tmp_path / "base")
    delta = run.delta("model.layers.1.self_attn.q_proj")
    np.testing.assert_allclose(delta, expected(tensors, "attn.q_proj", turned=False), rtol=1e-4, atol=1e-5)


def test_without_the_base_the_order_is_not_known_and_the_rest_is_read(tmp_path):
    tensors = write(tmp_path / "adapter", more=["layers.0.sa_norm.scale"])
    run = Run.open(tmp_path / "adapter")
    assert len(run.modules) == 4 and not [name for name in run.modules if name.endswith(("q_proj", "k_proj"))]
    np.testing.assert_allclose(
        run.delta("model.layers.1.mlp.up_proj"), expected(tensors, "mlp.w3"), rtol=1e-4, atol=1e-5
    )
    doubts = " ".join(finding.what for finding in diagnose(run) if finding.level == "doubt")
    assert (
        "in an order that the base's config tells: give the base" in doubts
        and "neither one of LoRA's factors" in doubts
    )


@pytest.mark.parametrize("says, why", [
    ({"model_type": "mllama"}, "of mllama that order is not known here"),
    ({"model_type": None}, "of a model that it does not name that order is not known here"),
    ({"num_attention_heads": 5, "num_key_value_heads": 3}, "its number of heads does not divide these rows"),
])  # fmt: skip
def test_a_base_that_does_not_tell_the_order_is_not_asked_for_again(says, why, tmp_path):
    write(tmp_path / "adapter")
    base = save_base(tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | says))
    run = Run.open(tmp_path / "adapter", base)
    doubts = " ".join(finding.what for finding in diagnose(run) if finding.level == "doubt")
    assert len(run.modules) == 4 and why in doubts and "give the base" not in doubts


def test_dora_rescales_the_rows_that_it_was_trained_on(tmp_path):
    tensors = write(tmp_path / "adapter", dora=True)
    run = Run.open(tmp_path / "adapter", save_base(tmp_path / "base"))
    for module in ("attn.k_proj", "mlp.w2"):
        name = f"model.layers.1.{TO_HF[module]}"
        weight, change = run.weight(name), expected(tensors, module)
        magnitude = tensors[f"layers.1.{module}.magnitude"]
        if module in HEADS:
            magnitude = magnitude[[row_of(row, len(magnitude), HEADS[module]) for row in range(len(magnitude))]]
        whole = magnitude[:, None] * (weight + change) / np.linalg.norm(weight + change, axis=1, keepdims=True)
        np.testing.assert_allclose(run.delta(name), whole - weight, rtol=1e-4, atol=1e-5)


def test_the_last_epoch_is_the_one_that_is_read(tmp_path):
    write(tmp_path / "adapter")
    last = write(tmp_path / "last", name="adapter_10.safetensors", rank=2)
    for file in (tmp_path / "last").iterdir():
        file.rename(tmp_path / "adapter" / file.name)
    run = Run.open(tmp_path / "adapter", save_base(tmp_path / "base"))
    wanted = 8 / 2 * last["layers.1.mlp.w1.lora_b.weight"] @ last["layers.1.mlp.w1.lora_a.weight"]
    np.testing.assert_allclose(run.delta("model.layers.1.mlp.gate_proj"), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", [True, False])
def test_a_pickle_is_refused_with_the_line_that_converts_it(config, tmp_path):
    (tmp_path / "adapter_0.pt").write_bytes(b"\x80\x04.")
    if config:
        (tmp_path / "adapter_config.json").write_text('{"r": 4, "lora_alpha": 8}')
    for path in (tmp_path, tmp_path / "adapter_0.pt"):
        with pytest.raises(InputError, match=r"never opened here; convert it with safetensors.torch.save_file") as said:
            Run.open(path)
        assert "adapter_0.pt" in str(said.value) and "'adapter_0.safetensors'" in str(said.value)


def test_without_its_settings_it_is_said_what_to_write(tmp_path):
    write(tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_config.json").unlink()
    with pytest.raises(InputError, match=r'no adapter_config.json, which says its alpha.*"lora_alpha": 16'):
        Run.open(tmp_path / "adapter")
    write(tmp_path / "no alpha", config={"r": 4})
    with pytest.raises(InputError, match=r"adapter_config.json.*lora_alpha"):
        Run.open(tmp_path / "no alpha", save_base(tmp_path / "base"))
