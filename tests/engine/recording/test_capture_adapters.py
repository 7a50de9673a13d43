"""Whatever the model and the kind of LoRA: the captured delta-W is the true one, merged weights minus the base's."""

import copy

import numpy as np
import pytest
import torch
import transformers as hf
from peft import KasaConfig, LoraConfig, TaskType, get_peft_model
from transformers import BitsAndBytesConfig

from engine.inspect.diagnose import diagnose
from engine.inspect.report import summary
from glasstune import InputError, Run, capture

SMALL = {
    "vocab_size": 60, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 32, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
HEADED = {"head_dim": 8}
GPT2 = {
    "vocab_size": 60,
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 2,
    "n_positions": 32,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
OPT = {"vocab_size": 60, "hidden_size": 16, "ffn_dim": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
       "max_position_embeddings": 32, "word_embed_proj_dim": 16}  # fmt: skip
CONFIGS = {
    "llama": lambda: hf.LlamaConfig(**SMALL),
    "gpt2": lambda: hf.GPT2Config(**GPT2),
    "qwen2": lambda: hf.Qwen2Config(**SMALL),
    "qwen3": lambda: hf.Qwen3Config(**SMALL, **HEADED),
    "mistral": lambda: hf.MistralConfig(**SMALL),
    "gemma": lambda: hf.GemmaConfig(**SMALL, **HEADED),
    "opt": lambda: hf.OPTConfig(**OPT),
    "phi": lambda: hf.PhiConfig(**SMALL),
    "bert": lambda: hf.BertConfig(**SMALL, num_labels=3),
}


def make(name: str, seed: int = 0) -> hf.PreTrainedModel:
    torch.manual_seed(seed)
    config = CONFIGS[name]()
    if name == "bert":
        return hf.BertForSequenceClassification(config)
    return hf.AutoModelForCausalLM.from_config(config)


def train(model, steps: int = 2, rate: float = 1e-2):
    """Some true optimizer steps on random tokens; yields the loss after each."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
    batch = torch.randint(3, 60, (4, 10), generator=torch.Generator().manual_seed(1))
    labels = batch[:, 0] % 3 if model.config.model_type == "bert" else batch
    for _ in range(steps):
        loss = model(input_ids=batch, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        yield loss


def run_of(model, out, steps: int = 2, **options) -> Run:
    with capture(model, out, every=1, total=steps, say=False, **options) as recorder:
        for loss in train(model, steps):
            recorder.step(loss=loss)
    assert recorder.run is not None
    return recorder.run


def matrices(model) -> dict[str, np.ndarray]:
    """Every weight by its name, (out, in) where GPT-2 stores (in, out)."""
    turned = {f"{n}.weight" for n, m in model.named_modules() if type(m).__name__ == "Conv1D"}
    return {n: (p.T if n in turned else p).detach().float().numpy().copy() for n, p in model.named_parameters()}


def adapt(model, **options):
    kind = TaskType.SEQ_CLS if model.config.model_type == "bert" else TaskType.CAUSAL_LM
    turned = model.config.model_type == "gpt2"
    shared = {"r": 3, "lora_alpha": 5, "target_modules": "all-linear", "task_type": kind, "fan_in_fan_out": turned}
    options = shared | options
    return get_peft_model(model, LoraConfig(**options))


def check(run: Run, before: dict[str, np.ndarray], model, tolerance: float = 2e-6) -> None:
    """Every captured delta is the merged weight minus the one before, and nothing else has moved."""
    assert run.steps == [0, 1, 2]
    merged = copy.deepcopy(model)
    after = matrices(merged.merge_and_unload() if hasattr(merged, "merge_and_unload") else merged)
    moved = {name for name in after if name in before and np.abs(after[name] - before[name]).max() > 1e-6}
    captured = {about.base_parameter: name for name, about in run.info.modules.items()}
    assert moved and moved <= captured.keys()
    for parameter, module in captured.items():
        true = after[parameter] - before[parameter]
        assert run.shape(module) == true.shape
        np.testing.assert_allclose(run.delta(module), true, atol=tolerance, err_msg=module)
        assert run.norms.loc[2, module] == pytest.approx(np.linalg.norm(true), rel=1e-3, abs=1e-5)
        np.testing.assert_allclose(run.delta(module, 0), 0, atol=tolerance)


@pytest.mark.parametrize("name", CONFIGS)
def test_lora_of_every_model(name, tmp_path):
    base = make(name)
    before = matrices(base)
    model = adapt(base)
    run = run_of(model, tmp_path / "run")
    check(run, before, model)
    assert run.method == "lora" and all(run.kind(m) == "lora" for m in run.modules if "classifier" not in m)
    for module in run.modules:
        if run.kind(module) == "lora":
            layer = model.base_model.model.get_submodule(module)
            true = layer.get_delta_weight("default").detach().numpy()
            true = true.T if run.info.modules[module].transposed else true
            np.testing.assert_allclose(run.delta(module), true, atol=1e-6)
            assert run.factors(module).A.shape[0] == 3


@pytest.mark.parametrize("name", CONFIGS)
def test_full_fine_tuning_of_every_model_tied_weights_once(name, tmp_path):
    model = make(name)
    before = matrices(model)
    run = run_of(model, tmp_path / "run")
    check(run, before, model)
    assert sum(np.prod(run.shape(m)) for m in run.info.modules) == sum(p.numel() for p in model.parameters())
    assert run.info.model.parameters == run.info.model.trainable == model.num_parameters()
    for module in run.modules[:3]:  # W needs no file of the base: the run holds what it began with
        np.testing.assert_array_equal(run.weight(module), before[run.info.modules[module].base_parameter])


VARIANTS = {
    "rank-stabilised": {"use_rslora": True},
    "dora": {"use_dora": True},
    "dora with dropout": {"use_dora": True, "lora_dropout": 0.1},
    "pissa": {"init_lora_weights": "pissa"},
    "olora": {"init_lora_weights": "olora"},
    "gaussian": {"init_lora_weights": "gaussian"},
    "lora_bias": {"lora_bias": True},  # on layers that have a bias, else it cannot be merged
    "bias": {"bias": "all"},
    "ranks by pattern": {"rank_pattern": {".*v_proj|.*c_attn": 5}, "alpha_pattern": {".*v_proj|.*c_attn": 3}},
    "modules_to_save": {"modules_to_save": ["lm_head"]},
    "one layer": {"layers_to_transform": [1]},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", ["qwen2", "gpt2"])
def test_every_variant_of_lora(name, variant, tmp_path):
    base = make(name)
    before = matrices(base)
    if (name, variant) == ("gpt2", "olora"):
        pytest.skip("PEFT's OLoRA does not know Conv1D: its factors have the wrong shape")
    options = dict(VARIANTS[variant])
    if variant in ("modules_to_save", "bias", "one layer", "lora_bias"):
        options["target_modules"] = ["c_attn"] if name == "gpt2" else ["q_proj", "v_proj"]
    if variant == "modules_to_save" and name == "gpt2":
        base.config.tie_word_embeddings = False
        base.lm_head.weight = torch.nn.Parameter(base.lm_head.weight.detach().clone())
        before = matrices(base)
    model = adapt(base, **options)
    run = run_of(model, tmp_path / "run")
    check(run, before, model, 3e-5 if variant in ("pissa", "olora") else 3e-6)
    kinds = {run.kind(m) for m in run.modules}
    assert ("dora" in kinds) == ("dora" in variant) and ("delta" in kinds) == (variant == "modules_to_save")


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_an_adapted_embedding(name, dora, tmp_path):
    base = make(name)
    before = matrices(base)
    model = adapt(base, target_modules=["embed_tokens"], use_dora=dora)
    run = run_of(model, tmp_path / "run")
    check(run, before, model)
    (module,) = run.modules
    assert run.shape(module) == (60, 16) and np.abs(run.delta(module)).max() > 0


def test_trained_tokens_are_rows_of_the_embedding(tmp_path):
    base = make("llama")
    before = matrices(base)
    model = adapt(base, target_modules=["q_proj"], trainable_token_indices={"embed_tokens": [5, 7, 11]})
    run = run_of(model, tmp_path / "run")
    check(run, before, model)
    moved = np.flatnonzero(np.abs(run.delta("model.embed_tokens")).max(1) > 0)
    assert set(moved) <= {5, 7, 11} and len(moved)


def test_several_adapters_add_up(tmp_path):
    base = make("llama")
    before = matrices(base)
    model = adapt(base)
    model.add_adapter("second", LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj", "down_proj"]))
    model.base_model.set_adapter(["default", "second"])
    run = run_of(model, tmp_path / "run")
    assert run.steps == [0, 1, 2]
    merged = matrices(copy.deepcopy(model).merge_and_unload(adapter_names=["default", "second"]))
    for module in run.modules:
        true = merged[f"{module}.weight"] - before[f"{module}.weight"]
        np.testing.assert_allclose(run.delta(module), true, atol=2e-6)
    module = next(m for m in run.modules if m.endswith("q_proj"))
    assert run.factors(module).A.shape[0] == 5 and run.factors(module, adapter="second").A.shape[0] == 2
    with pytest.raises(InputError, match="no adapter 'third'; there are default, second"):
        run.factors(module, adapter="third")


def test_an_adapter_that_is_not_active_is_not_captured(tmp_path):
    model = adapt(make("llama"), target_modules=["q_proj"])
    model.add_adapter("other", LoraConfig(r=2, target_modules=["v_proj"]))
    run = run_of(model, tmp_path / "run")
    assert run.modules and all(m.endswith("q_proj") for m in run.modules)


@pytest.mark.parametrize(  # PEFT's DoRA on 8 bits needs a GPU
    ("bits", "dora", "double"), [(4, False, False), (4, True, True), (8, False, False)]
)
def test_a_quantised_base(bits, dora, double, tmp_path):
    make("llama").save_pretrained(tmp_path / "base")
    config = BitsAndBytesConfig(
        load_in_4bit=bits == 4, load_in_8bit=bits == 8, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=torch.float32,
    )  # fmt: skip
    base = hf.AutoModelForCausalLM.from_pretrained(tmp_path / "base", quantization_config=config, device_map="cpu")
    model = adapt(base, use_dora=dora).train()
    run = run_of(model, tmp_path / "run")
    for module in run.modules:
        layer = model.base_model.model.get_submodule(module)
        if not dora:
            true = layer.get_delta_weight("default").detach().numpy()
            np.testing.assert_allclose(run.delta(module), true, atol=1e-6)
        else:  # what the layer computes with, by DoRA's own formula
            from peft.utils.integrations import dequantize_module_weight

            weight = dequantize_module_weight(layer.get_base_layer()).float()
            moved = weight + layer.get_delta_weight("default")
            magnitude = layer.lora_magnitude_vector["default"].weight
            true = moved * (magnitude / moved.norm(dim=1))[:, None] - weight
            np.testing.assert_allclose(run.delta(module), true.detach().numpy(), atol=1e-5)
            assert np.abs(run.delta(module)).max() > 1e-4
    shapes = sum(int(np.prod(run.shape(m))) for m in run.modules)
    assert run.method == "qlora"  # nobody said so
    told = {name: run.info.method.options.get(name) for name in ("quant_type", "double_quant")}
    assert told == ({"quant_type": "nf4", "double_quant": double} if bits == 4 else dict.fromkeys(told))
    assert run.info.model.parameters > shapes  # what W holds, not what it is packed into


REFUSED = {
    "alora": ({"alora_invocation_tokens": [5]}, "variant A[lL]"),
    "kasa": ({"kasa_config": KasaConfig()}, "variant Kasa"),
    "several dora": ({"use_dora": True}, "DoRA among several active adapters"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_delta_is_refused_in_one_sentence(what, tmp_path):
    options, says = REFUSED[what]
    model = adapt(make("llama"), **options)
    if what == "several dora":
        model.add_adapter("second", LoraConfig(r=2, target_modules=["q_proj"]))
        model.base_model.set_adapter(["default", "second"])
    with pytest.raises(InputError, match=says) as refusal, capture(model, tmp_path / "run", say=False):
        pass
    assert "\n" not in str(refusal.value) and not (tmp_path / "run").exists()


def test_what_the_adapter_was_told_is_in_the_run(tmp_path):
    """And a capture of a part of it is not accused of having missed the others."""
    config = LoraConfig(r=2, lora_alpha=6, target_modules=["v_proj", "q_proj"], use_rslora=True)
    run = run_of(get_peft_model(make("llama"), config), tmp_path / "run", modules=["*.q_proj"])
    told = {"r": 2, "alpha": 6, "target_modules": ["q_proj", "v_proj"], "rslora": True}
    assert run.info.method.to_json() == {"name": "lora", **told}
    assert "rank 2, alpha 6, targets q_proj, v_proj, rank-stabilised True" in "".join(summary(run))
    assert run.info.capture.left_out == 2 and [finding.level for finding in diagnose(run)] == ["fine"]
    two = get_peft_model(make("llama"), config)
    two.add_adapter("other", LoraConfig(r=4, target_modules=["v_proj"]))
    assert "r" not in run_of(two, tmp_path / "two").info.method.options, "of which one?"


def test_a_frozen_model_is_refused(tmp_path):
    model = make("llama").requires_grad_(False)
    with pytest.raises(InputError, match="nothing in this model is trainable"), capture(model, tmp_path / "run"):
        pass
