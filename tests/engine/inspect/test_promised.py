"""Situations from public trackers, in small: what the settings promise and the file lacks, and what only looks changed."""

import json
import shutil

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig

from engine.inspect.diagnose import diagnose
from glasstune import InputError, Run
from tests.engine.small import CONFIGS, save_adapter, save_base, small_model

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_base(tmp_path_factory.mktemp("promised") / "base")


def edit(folder, tensors=None, **settings):
    config, file = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    config.write_text(json.dumps(json.loads(config.read_text()) | settings))
    if tensors:
        save_file({name: value.contiguous() for name, value in tensors(load_file(file)).items()}, file)
    return folder


def said(run, level):
    return " | ".join(finding.what for finding in diagnose(run) if finding.level == level)


def test_modules_to_save_that_were_not_saved(base, tmp_path):
    _, folder = save_adapter(tmp_path / "adapter", base, target_modules=["q_proj"])
    edit(folder, modules_to_save=["lm_head"])
    for where in (base, None):
        assert "modules_to_save names lm_head, and the file holds none of it" in said(Run.open(folder, where), "doubt")
    _, whole = save_adapter(tmp_path / "whole", base, target_modules=["q_proj"], modules_to_save=["lm_head"])
    assert not said(Run.open(whole, base), "doubt")
    bert = save_base(tmp_path / "bert", "bert")  # PEFT names "classifier" and "score", one of which a model has
    _, head = save_adapter(tmp_path / "head", bert, "bert", target_modules=["query"], task_type="SEQ_CLS")
    assert json.loads((head / "adapter_config.json").read_text())["modules_to_save"] == ["classifier", "score"]
    assert not said(Run.open(head, bert), "doubt")


def test_layers_of_which_nothing_was_saved(base, tmp_path):
    _, folder = save_adapter(tmp_path / "adapter", base, target_modules=["q_proj", "v_proj"])
    assert not said(Run.open(folder, base), "doubt")
    edit(folder, lambda tensors: {name: value for name, value in tensors.items() if ".layers.1." not in name})
    doubt = said(Run.open(folder, base), "doubt")
    assert "target_modules means 2 of 4 (model.layers.1.self_attn.q_proj, ...)" in doubt
    edit(folder, layers_to_transform=[0])
    assert not said(Run.open(folder, base), "doubt")


def test_a_kind_of_module_of_which_nothing_was_saved(base, tmp_path):
    _, folder = save_adapter(tmp_path / "adapter", base, target_modules=["q_proj", "v_proj"])
    edit(folder, lambda tensors: {name: value for name, value in tensors.items() if "v_proj" not in name})
    assert "target_modules means 2 of 4 (model.layers.0.self_attn.v_proj, ...)" in said(Run.open(folder, base), "doubt")


@pytest.mark.parametrize("wrote, kind, targets", [
    ("bert", "bert", ["query", "key", "dense"]), ("llama", "llama", ["q_proj", "gate_proj"]),
])  # fmt: skip
def test_what_the_trained_class_never_builds_is_not_missing(wrote, kind, targets, tmp_path):
    base = save_base(tmp_path / "base", wrote)
    tensors = load_file(base / "model.safetensors")
    if wrote == "bert":  # what a masked language model has
        tensors |= {"cls.predictions.transform.dense.weight": torch.ones(32, 32)}
        tensors |= {"lm_head.dense.weight": torch.ones(32, 32)}
    else:  # layers that predict further tokens, past the last (DeepSeek-V3) or apart (Qwen3-Next); experts one by one
        inside = {"self_attn.q_proj": (32, 32), "mlp.gate_proj": (48, 32)}
        for at in ("model.layers.2", "mtp.layers.0"):
            tensors |= {f"{at}.{name}.weight": torch.ones(shape) for name, shape in inside.items()}
        tensors |= {f"model.layers.1.mlp.experts.{each}.gate_proj.weight": torch.ones(8, 32) for each in range(2)}
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    task = {"task_type": "SEQ_CLS"} if kind == "bert" else {}
    _, folder = save_adapter(tmp_path / "adapter", base, kind, target_modules=targets, **task)
    run = Run.open(folder, base)
    assert not said(run, "doubt"), said(run, "doubt")


def test_keys_that_a_layer_shares_with_an_earlier_one_are_not_missing(base, tmp_path):
    _, folder = save_adapter(tmp_path / "adapter", base, target_modules=["q_proj", "k_proj"])
    edit(folder, lambda tensors: {name: value for name, value in tensors.items() if "1.self_attn.k_proj" not in name})
    assert "target_modules means 1 of 4 (model.layers.1.self_attn.k_proj)" in said(Run.open(folder, base), "doubt")
    shutil.copytree(base, tmp_path / "base")
    config = json.loads((base / "config.json").read_text()) | {"num_kv_shared_layers": 1}  # Gemma 3n
    (tmp_path / "base" / "config.json").write_text(json.dumps(config))
    assert not said(Run.open(folder, tmp_path / "base"), "doubt")


@pytest.mark.parametrize("prefix", ["model.", "module."])
def test_a_name_with_a_wrapper_too_many_has_no_place(prefix, base, tmp_path):
    _, folder = save_adapter(tmp_path / "adapter", base, target_modules=["q_proj"])
    front = "base_model.model."
    edit(folder, lambda tensors: {name.replace(front, front + prefix): value for name, value in tensors.items()})
    assert "PEFT would not load 4" in said(Run.open(folder, base), "fault")
    with pytest.warns(UserWarning, match="missing adapter keys"):  # as it does not
        peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)


def test_which_way_round_a_weight_lies_is_its_layers_word(tmp_path):
    gpt2 = save_base(tmp_path / "gpt2", "gpt2")
    model, folder = save_adapter(
        tmp_path / "adapter", gpt2, "gpt2", target_modules=["c_attn", "attn.c_proj"], fan_in_fan_out=True
    )
    run = Run.open(edit(folder, fan_in_fan_out=False), gpt2)  # as many on the Hub say
    before, after = AutoModelForCausalLM.from_pretrained(gpt2).state_dict(), model.merge_and_unload().state_dict()
    assert len(run.modules) == 4
    for module in run.modules:
        change = (after[f"{module}.weight"] - before[f"{module}.weight"]).numpy().T
        np.testing.assert_allclose(run.delta(module), change, atol=1e-6)
        np.testing.assert_array_equal(run.weight(module), before[f"{module}.weight"].numpy().T)


@pytest.mark.parametrize("first, second", [("float32", "bfloat16"), ("float32", "float16"), ("bfloat16", "float16")])
def test_a_model_stored_in_another_type_is_not_a_trained_one(first, second, tmp_path):
    start = small_model().state_dict()
    for name, dtype in (("base", first), ("tuned", second)):
        (tmp_path / name).mkdir()
        as_first = {key: value.to(getattr(torch, first)) for key, value in start.items()}
        save_file({key: value.to(getattr(torch, dtype)) for key, value in as_first.items()},
                  tmp_path / name / "model.safetensors")  # fmt: skip
    run = Run.from_checkpoints(tmp_path / "base", tmp_path / "tuned", progress=False)
    assert "nothing changed in all 21 tensors" in said(run, "fault") and not said(run, "fine")
    tuned = load_file(tmp_path / "tuned" / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    tuned[name] = (tuned[name].float() * (1 + 0.01 * torch.rand_like(tuned[name].float()))).to(tuned[name].dtype)
    save_file(tuned, tmp_path / "tuned" / "model.safetensors")
    run = Run.from_checkpoints(tmp_path / "base", tmp_path / "tuned", progress=False)
    assert "no change at all in 20 of 21" in said(run, "doubt")
    assert "1 of 21 tensors (1 of 16 matrices) changed, model.layers.1.mlp.up_proj" in said(run, "fine")


@pytest.mark.parametrize("options, both", [
    ({"target_modules": ["q_proj", "lm_head"]}, True),
    ({"target_modules": ["q_proj", "embed_tokens"]}, True),
    ({"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "embed_tokens"]}, False),
    ({"target_modules": ["q_proj"], "trainable_token_indices": {"embed_tokens": [3, 5]}}, False),
])  # fmt: skip
def test_a_head_that_is_the_embedding_and_is_adapted_by_itself(options, both, tmp_path):
    config = LlamaConfig(**{**CONFIGS["llama"].to_dict(), "tie_word_embeddings": True})
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "tied")
    model, folder = save_adapter(tmp_path / "adapter", tmp_path / "tied", **options)
    assert ("adapted by itself: merging changes both" in said(Run.open(folder, tmp_path / "tied"), "doubt")) is both
    tokens = torch.arange(8)[None]
    wanted = model(tokens).logits
    model.merge_and_unload().save_pretrained(tmp_path / "merged")  # as PEFT does it
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")(tokens).logits
    assert torch.allclose(found, wanted, atol=1e-4) is not both


def test_factors_that_cannot_be_put_together_say_why(base, tmp_path):
    _, flat = save_adapter(tmp_path / "flat", base, target_modules=["q_proj"])
    edit(flat, lambda tensors: {name: value.flatten() for name, value in tensors.items()})
    assert "flattened to one row of numbers, as FSDP leaves" in said(Run.open(flat, base), "doubt")
    _, old = save_adapter(tmp_path / "old", base, target_modules=["q_proj"])
    edit(old, lambda tensors: {name: value[..., None] if "lora_B" in name else value for name, value in tensors.items()},
         enable_lora=[True])  # fmt: skip
    assert "in an old form of PEFT (enable_lora)" in said(Run.open(old, base), "doubt")


def test_adapters_by_name_inside_of_checkpoints_are_not_no_weights(base, tmp_path):
    place = tmp_path / "out" / "checkpoint-5"
    _, folder = save_adapter(place / "train", base, target_modules=["q_proj"])
    shutil.copytree(folder, place / "reference")
    log = [{"step": step, "loss": 3.0} for step in range(1, 6)]
    (place / "trainer_state.json").write_text(json.dumps({"global_step": 5, "log_history": log}))
    for path in (tmp_path / "out", place):
        with pytest.raises(InputError, match=r"by their names.*\(reference, train\): give one of them"):
            Run.open(path)
    assert len(Run.open(place / "train", base).modules) == 2
