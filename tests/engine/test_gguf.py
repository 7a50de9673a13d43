"""A GGUF file is read as the model that it was written from; it can be trained and saved."""

import importlib.util

import numpy as np
import pytest
import torch

from engine.errors import InputError
from engine.gguf import convert
from engine.models import load_config, load_model
from tests.engine.small import small_model

gguf = pytest.importorskip("gguf")


def as_llama_cpp(weight, heads):
    """llama.cpp keeps a head's rotated halves interleaved: rows 0, half, 1, half + 1, ..."""
    each = weight.shape[0] // heads
    rows = [head * each + half * each // 2 + at for head in range(heads) for at in range(each // 2) for half in (0, 1)]
    return weight[rows]


def write_gguf(path, model, tied=False):
    """What llama.cpp writes of a Llama, by hand."""
    config, state = model.config, {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    names = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    names |= {} if tied else {"lm_head.weight": "output.weight"}
    parts = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    for layer in range(config.num_hidden_layers):
        names |= {f"model.layers.{layer}.{a}.weight": f"blk.{layer}.{b}.weight" for a, b in parts.items()}
    for ours, theirs in names.items():
        weight = state[ours]
        if "q_proj" in ours:
            weight = as_llama_cpp(weight, config.num_attention_heads)
        if "k_proj" in ours:
            weight = as_llama_cpp(weight, config.num_key_value_heads)
        writer.add_tensor(theirs, np.ascontiguousarray(weight))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def model():
    return small_model().eval()


IDS = torch.arange(3, 20)[None]


@pytest.mark.parametrize("tied", [False, True])
def test_a_file_and_a_folder_of_one_give_the_model_that_was_written(tmp_path, model, tied):
    if tied:
        model.config.tie_word_embeddings = True
        model.tie_weights()
    file = write_gguf(tmp_path / "tiny.gguf", model, tied)
    with torch.no_grad():
        wanted = model(IDS).logits
        for source in (file, tmp_path):
            got = load_model(source)
            assert torch.allclose(got(IDS).logits, wanted, atol=1e-5)
            assert (got.lm_head.weight is got.model.embed_tokens.weight) == tied
    assert load_config(file).hidden_size == model.config.hidden_size


def test_it_can_be_trained_and_saved(tmp_path, model):
    got = load_model(write_gguf(tmp_path / "tiny.gguf", model))
    got(IDS, labels=IDS).loss.backward()
    assert all(parameter.grad is not None for parameter in got.parameters())
    got.save_pretrained(tmp_path / "saved")
    again = load_model(tmp_path / "saved")
    assert all(torch.equal(a, b) for a, b in zip(got.parameters(), again.parameters(), strict=True))
    assert not hasattr(again.config, "quantization_config")


def test_several_files_are_not_guessed_between(tmp_path, model):
    for name in ("a.gguf", "b.gguf"):
        write_gguf(tmp_path / name, model)
    with pytest.raises(InputError, match=r"holds 2 GGUF files; name one of them, such as .*a\.gguf"):
        load_model(tmp_path)


def test_what_is_missing_or_broken_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "x.gguf").write_bytes(b"not one")
    with pytest.raises(InputError, match="no model could be loaded from"):
        load_model(tmp_path / "x.gguf")
    with pytest.raises(InputError, match="is no GGUF file"):
        convert(tmp_path / "x.txt", tmp_path / "out")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="the package that reads it is missing: pip install gguf"):
        load_model(tmp_path / "x.gguf")
    assert not (tmp_path / "out").exists()
