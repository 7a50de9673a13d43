"""Is it another base, or does the base merely lack something? And is an untrained start called learned?"""

import json

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, LlamaConfig

from engine.inspect.diagnose import diagnose
from engine.models import without_bars
from glasstune import InputError, Run
from tests.engine.small import save_base, small_model

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::RuntimeWarning")
WIDE = LlamaConfig(
    hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    vocab_size=96, pad_token_id=0, bos_token_id=1, eos_token_id=2,
)  # fmt: skip


def adapted(model, folder, base, *, move=0.1, **options):
    """An adapter on a model, its trained weights moved, that says it is of `base`."""
    model = peft.get_peft_model(model, peft.LoraConfig(**{"r": 4, "target_modules": ["q_proj"], **options}))
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += move * torch.randn_like(parameter)
    model.save_pretrained(folder)
    configure(folder, base_model_name_or_path=str(base))
    return model


def configure(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rename(folder, change, file="adapter_model.safetensors"):
    save_file({change(name): value for name, value in load_file(folder / file).items()}, folder / file)


def said(run, level):
    return " | ".join(finding.what for finding in diagnose(run) if finding.level == level)


# --- what a base lacks ---------------------------------------------------------------------------------


def test_a_classifiers_head_is_new(tmp_path):
    base = save_base(tmp_path / "base")
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)
    adapted(model, tmp_path / "a", base, task_type="SEQ_CLS")
    for given in (None, base):
        run = Run.from_adapter(tmp_path / "a", given)
        assert not said(run, "fault") and "1 of 3 (score): new: the base has no such parameter" in said(run, "fine")
        assert run.info.model.trainable == 2 * 2 * 4 * 32 + 3 * 32
        with pytest.raises(InputError, match=r"score\.weight can only be told beside the base: .*is new"):
            run.delta("score")


def test_a_resized_vocabulary_and_embeddings_that_were_merely_saved(tmp_path):
    base = save_base(tmp_path / "base")
    model = load(base)
    model.resize_token_embeddings(100)
    adapted(model, tmp_path / "saved", base)
    kept = load_file(tmp_path / "saved" / "adapter_model.safetensors")
    if not any("embed_tokens" in name for name in kept):  # PEFT saves them where it notices
        save_file(kept | {"base_model.model.model.embed_tokens.weight": torch.ones(100, 32),
                          "base_model.model.lm_head.weight": torch.ones(100, 32)},
                  tmp_path / "saved" / "adapter_model.safetensors")  # fmt: skip
    run = Run.from_adapter(tmp_path / "saved", base)
    assert run.info.model.trainable == 2 * 2 * 4 * 32 and not said(run, "fault") and not said(run, "doubt")
    assert len(run.modules) == 2 and any("does not train" in note for note in run.info.notes)

    model = load(base)
    model.resize_token_embeddings(100)
    adapted(model, tmp_path / "trained", base, modules_to_save=["embed_tokens", "lm_head"])
    run = Run.from_adapter(tmp_path / "trained", base)
    assert run.info.model.trainable == 2 * 2 * 4 * 32 + 2 * 100 * 32 and not said(run, "fault")
    assert "resized: the base has 96 rows of it, and the adapter 100" in said(run, "fine")


def test_lora_on_a_resized_head_and_on_a_tied_one(tmp_path):
    base = save_base(tmp_path / "base", "gpt2")
    model = load(base)
    model.resize_token_embeddings(104)
    adapted(model, tmp_path / "resized", base, target_modules=["lm_head"])
    assert "resized: the base has 96 rows" in said(Run.from_adapter(tmp_path / "resized", base), "fine")
    before = small_model("gpt2")
    model = adapted(small_model("gpt2"), tmp_path / "tied", base, target_modules=["lm_head"])
    run = Run.from_adapter(tmp_path / "tied", base)  # its file holds no head: it is the embedding
    assert not said(run, "fault") and "its place" in said(run, "fine")
    np.testing.assert_array_equal(run.weight("lm_head"), before.lm_head.weight.detach().numpy())


@pytest.mark.parametrize("disk", ["language_model.model.", "model.language_model.", "model.text_model."])
def test_a_vision_language_models_names(tmp_path, disk):
    base = save_base(tmp_path / "base")
    adapted(small_model(), tmp_path / "a", base)
    rename(tmp_path / "a", lambda name: name.replace("model.model.layers", "model.model.language_model.layers"))
    rename(base, lambda name: name.replace("model.", disk, 1), "model.safetensors")
    run = Run.from_adapter(tmp_path / "a", base)
    assert not said(run, "fault") and "every module has its place" in said(run, "fine")
    assert run.weight(run.modules[0]).shape == (32, 32)


def test_a_base_that_is_packed(tmp_path):
    base = save_base(tmp_path / "base")
    adapted(small_model(), tmp_path / "a", base)
    tensors = load_file(base / "model.safetensors")
    packed = {}
    for name, value in tensors.items():
        module = name.removesuffix(".weight")
        if "proj" in name:
            packed |= {f"{module}.qweight": torch.ones(4, value.shape[0], dtype=torch.int32),
                       f"{module}.qzeros": torch.ones(1, 4, dtype=torch.int32),
                       f"{module}.scales": torch.ones(1, value.shape[0]),
                       f"{module}.g_idx": torch.zeros(32, dtype=torch.int32)}  # fmt: skip
        else:
            packed[name] = value
    save_file(packed, base / "model.safetensors")
    run = Run.from_adapter(tmp_path / "a", base)
    assert not said(run, "fault") and "packed by GPTQ in the base, which is not read" in said(run, "fine")
    assert "2 of 2 matrices changed" in said(run, "fine")
    with pytest.raises(InputError, match="packed by GPTQ"):
        run.weight(run.modules[0])


def test_a_base_with_other_names_is_a_doubt_and_a_contradiction_a_fault(tmp_path):
    base = save_base(tmp_path / "base")
    adapted(small_model(), tmp_path / "a", save_base(tmp_path / "gpt2", "gpt2"))
    run = Run.from_adapter(tmp_path / "a")
    assert not said(run, "fault") and "has none of its 2 modules by their names" in said(run, "doubt")
    wide = AutoModelForCausalLM.from_config(WIDE)
    wide.save_pretrained(tmp_path / "wide")
    configure(tmp_path / "a", base_model_name_or_path=str(tmp_path / "wide"))
    assert "is not the one it was trained on: 2" in said(Run.from_adapter(tmp_path / "a"), "fault")
    assert not said(Run.from_adapter(tmp_path / "a", base), "fault")


# --- starts that change W ------------------------------------------------------------------------------

INSIDE = ["pissa", "pissa_niter_4", "olora"]


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wide") / "base"
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(WIDE).save_pretrained(folder)
    return folder


def load(base):
    with without_bars():
        return AutoModelForCausalLM.from_pretrained(base)


@pytest.mark.parametrize("start", INSIDE)
def test_an_untrained_start_is_not_called_learned(tmp_path, wide, start):
    adapted(load(wide), tmp_path / "a", wide, move=0, init_lora_weights=start, target_modules=["q_proj", "down_proj"])
    run = Run.from_adapter(tmp_path / "a")
    assert "nothing was learned" in said(run, "fault") and "changed" not in said(run, "fine")
    configure(tmp_path / "a", base_model_name_or_path="nobody/nothing")
    run = Run.from_adapter(tmp_path / "a")
    assert "can only be told beside the base" in said(run, "doubt") and not said(run, "fine")
    with pytest.raises(InputError, match="can only be told beside the base"):
        run.norm(run.modules[0])


@pytest.mark.parametrize("start", ["pissa", "olora"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_trained_start_has_its_true_change(tmp_path, wide, start, dtype):
    model = adapted(load(wide), tmp_path / "a", wide, init_lora_weights=start, target_modules=["q_proj", "down_proj"])
    path = tmp_path / "a" / "adapter_model.safetensors"
    save_file({name: value.to(dtype) for name, value in load_file(path).items()}, path)
    before, after = load(wide).state_dict(), model.merge_and_unload().state_dict()
    run = Run.from_adapter(tmp_path / "a")
    assert "4 of 4 matrices changed" in said(run, "fine")
    for module in run.modules:
        expected = (after[f"{module}.weight"] - before[f"{module}.weight"]).numpy()
        np.testing.assert_allclose(run.delta(module), expected, atol=1e-5 if dtype == torch.float32 else 2e-2)
        assert run.norm(module) == pytest.approx(np.linalg.norm(expected), rel=1e-3 if dtype == torch.float32 else 2e-2)


@pytest.mark.parametrize("start", ["corda", "loftq", "lora_ga", "pissa_niter_4"])
def test_a_start_that_came_from_data_or_chance_is_a_doubt(tmp_path, wide, start):
    adapted(load(wide), tmp_path / "a", wide)
    configure(tmp_path / "a", init_lora_weights=start)
    run = Run.from_adapter(tmp_path / "a")
    assert start in said(run, "doubt") and not said(run, "fault") and "changed" not in said(run, "fine")


@pytest.mark.parametrize("start, level, words", [
    ("orthogonal", "fault", "nothing was learned"), (False, "doubt", "B began at random"), ("gaussian", "fault", "still zero"),
    (True, "fault", "still zero"),
])  # fmt: skip
def test_other_starts_that_were_not_trained(tmp_path, wide, start, level, words):
    adapted(load(wide), tmp_path / "a", wide, move=0, init_lora_weights=start)
    run = Run.from_adapter(tmp_path / "a")
    assert words in said(run, level) and "changed" not in said(run, "fine")


def test_eva_begins_with_nothing_and_orthogonal_moves_with_training(tmp_path, wide):
    for start in ("orthogonal", "eva"):
        adapted(load(wide), tmp_path / start, wide, init_lora_weights="orthogonal" if start != "eva" else True)
        configure(tmp_path / start, init_lora_weights=start)
        assert "2 of 2 matrices changed" in said(Run.from_adapter(tmp_path / start), "fine")


# --- what is left out counts, and names ----------------------------------------------------------------


def test_empty_tensors_are_a_fault_beside_what_is_there(tmp_path):
    base = save_base(tmp_path / "base")
    adapted(small_model(), tmp_path / "a", base)
    path = tmp_path / "a" / "adapter_model.safetensors"
    save_file({n: v.new_empty(0) if "layers.0" in n else v for n, v in load_file(path).items()}, path)
    run = Run.from_adapter(tmp_path / "a", base)
    assert "2 (base_model.model.model.layers.0" in said(run, "fault") and "empty, as DeepSpeed" in said(run, "fault")


WRAPPERS = {
    "_orig_mod.": lambda n: n.replace("base_model.model.", "base_model.model._orig_mod.", 1),
    "inside": lambda n: n.replace("self_attn", "_fsdp_wrapped_module.self_attn"),
    "checkpoint": lambda n: n.replace("q_proj", "_checkpoint_wrapped_module.q_proj"),
    "in front": lambda n: f"module.{n}",
    "DDP before PEFT": lambda n: n.replace("base_model.model.", "base_model.model.module.", 1),
    "another adapter's": lambda n: n.replace("lora_A.", "lora_A.mine.").replace("lora_B.", "lora_B.mine."),
}


def loads(base, folder):
    """Whether PEFT finds the trained numbers under these names."""
    model = peft.PeftModel.from_pretrained(load(base), folder)
    return any(parameter.any() for name, parameter in model.named_parameters() if "lora_B" in name)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_name_that_peft_does_not_load_is_said(tmp_path, wrapper):
    base = save_base(tmp_path / "base")
    adapted(small_model(), tmp_path / "a", base)
    expected = Run.from_adapter(tmp_path / "a").norms
    rename(tmp_path / "a", WRAPPERS[wrapper])
    assert not loads(base, tmp_path / "a")
    run = Run.from_adapter(tmp_path / "a")
    assert "PEFT would not load 4" in said(run, "fault")
    np.testing.assert_array_equal(run.norms.to_numpy(), expected.to_numpy())


def test_the_default_adapters_name_is_loaded(tmp_path):
    base = save_base(tmp_path / "base")
    adapted(small_model(), tmp_path / "a", base)
    rename(tmp_path / "a", lambda n: n.replace("lora_A.", "lora_A.default.").replace("lora_B.", "lora_B.default."))
    assert loads(base, tmp_path / "a")
    run = Run.from_adapter(tmp_path / "a")
    assert not said(run, "fault") and "2 of 2 matrices changed" in said(run, "fine")


def test_a_layer_that_is_called_module_keeps_its_name(tmp_path):
    net = torch.nn.ModuleDict({"module": torch.nn.ModuleDict({"linear": torch.nn.Linear(8, 8)})})
    (tmp_path / "base").mkdir()
    save_file(net.state_dict(), tmp_path / "base" / "model.safetensors")
    adapted(net, tmp_path / "a", tmp_path / "base", target_modules=["linear"])
    for base in (None, tmp_path / "base"):
        run = Run.from_adapter(tmp_path / "a", base)
        assert run.modules == ["module.linear"] and not said(run, "fault")
