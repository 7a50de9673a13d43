"""Every method of PEFT whose change is read: it is what merging does to the weights, or a sentence names the method."""

import json

import numpy as np
import peft
import pytest
import torch
from peft.tuners.lora.variants import QALoraLinearVariant
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM, GptOssConfig, Qwen3MoeConfig

from engine.inspect.diagnose import diagnose
from engine.measure import singular_values
from glasstune import InputError, Run
from tests.engine.small import small_model

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::RuntimeWarning")


class Net(nn.Module):
    """One of each kind of layer."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(4, 6, 3)
        self.conv2 = nn.Conv2d(4, 6, 3)
        self.conv3 = nn.Conv3d(4, 6, 2)
        self.point = nn.Conv2d(4, 6, 1)
        self.attention = nn.MultiheadAttention(16, 2)
        self.linear = nn.Linear(16, 12)


def moe():
    return AutoModelForCausalLM.from_config(Qwen3MoeConfig(
        hidden_size=32, intermediate_size=48, moe_intermediate_size=24, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, vocab_size=96, num_experts=4, num_experts_per_tok=2,
    ))  # fmt: skip


def oss():
    return AutoModelForCausalLM.from_config(GptOssConfig(
        hidden_size=32, intermediate_size=24, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
        head_dim=8, vocab_size=96, num_local_experts=4, num_experts_per_tok=2,
    ))  # fmt: skip


def biased(kind):
    """With biases, which are zero in a model that is new."""
    model = small_model(kind)
    for name, parameter in model.named_parameters():
        parameter.data += name.endswith("bias")
    return model


LINEAR = ["q_proj", "k_proj", "down_proj"]
METHODS = {
    "AdaLoRA": (small_model, peft.AdaLoraConfig(init_r=6, target_r=4, total_step=10, target_modules=LINEAR)),
    "VeRA": (small_model, peft.VeraConfig(r=4, target_modules=LINEAR)),
    "LoHa": (small_model, peft.LoHaConfig(r=4, alpha=6, target_modules=LINEAR, rank_pattern={"k_proj": 2})),
    "LoKr": (small_model, peft.LoKrConfig(r=2, target_modules=LINEAR)),
    "LoKr, both in factors": (small_model, peft.LoKrConfig(r=1, decompose_both=True, target_modules=LINEAR)),
    "IA3": (small_model, peft.IA3Config(target_modules=LINEAR, feedforward_modules=["down_proj"])),
    "IA3 with biases": (lambda: biased("bert"), peft.IA3Config(target_modules=["query"], feedforward_modules=[])),
    "IA3 of a Conv1D": (lambda: biased("gpt2"), peft.IA3Config(target_modules=["c_attn"], feedforward_modules=[],
                                                                    fan_in_fan_out=True)),
    "norms": (small_model, peft.LNTuningConfig(target_modules=["input_layernorm"], task_type="CAUSAL_LM")),
    "token rows": (small_model, peft.TrainableTokensConfig(token_indices=[7, 3], target_modules=["embed_tokens"])),
    "LoRA and token rows": (small_model, peft.LoraConfig(r=2, target_modules=["q_proj"],
                                                         trainable_token_indices={"embed_tokens": [9, 2, 5]})),
    "convolutions": (Net, peft.LoraConfig(r=2, target_modules=["conv1", "conv2", "conv3", "point"])),
    "DoRA on a convolution": (Net, peft.LoraConfig(r=2, target_modules=["conv2"], use_dora=True)),
    "attention in one": (Net, peft.LoraConfig(r=2, target_modules=["attention", "linear"])),
    "experts": (moe, peft.LoraConfig(r=2, target_modules=["q_proj"], rank_pattern={"down_proj": 3},
                                     target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"])),
    "one parameter of the experts": (moe, peft.LoraConfig(r=2, target_parameters=["mlp.experts.down_proj"])),
    "transposed experts": (oss, peft.LoraConfig(r=2, use_rslora=True,
                                                target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"])),
    "LoHa on convolutions": (Net, peft.LoHaConfig(r=2, target_modules=["conv1", "conv2", "point", "linear"])),
    "LoHa in Tucker's form": (Net, peft.LoHaConfig(r=2, target_modules=["conv2"], use_effective_conv2d=True)),
    "LoKr on convolutions": (Net, peft.LoKrConfig(r=1, target_modules=["conv1", "conv2", "point", "linear"])),
    "LoKr on convolutions, both in factors": (Net, peft.LoKrConfig(r=1, decompose_both=True, target_modules=["conv2"])),
    "LoKr in Tucker's form": (Net, peft.LoKrConfig(r=1, target_modules=["conv2"], use_effective_conv2d=True)),
    "biases of BEFT": (lambda: biased("bert"), peft.BeftConfig(target_modules=["query", "value"])),
    "QA-LoRA over plain weights": (small_model, peft.LoraConfig(r=4, target_modules=["q_proj"], use_qalora=True,
                                                                qalora_group_size=8)),
    "a plain weight as parameter": (small_model, peft.LoraConfig(r=2, target_modules=[], target_parameters=["q_proj.weight"])),
}  # fmt: skip


def save_base(model, folder):
    """The weights by their names in memory, so that nothing is converted on the way."""
    folder.mkdir()
    state = {name: value.clone().contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    if hasattr(model, "config"):
        model.config.save_pretrained(folder)
    return state


def trained(model, config, folder, base):
    """The adapter with every trained weight moved, saved by PEFT."""
    model = peft.get_peft_model(model, config)
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": str(base)}))
    return model


@pytest.mark.parametrize("method", METHODS)
def test_the_change_is_what_merging_does(method, tmp_path):
    make, config = METHODS[method]
    torch.manual_seed(0)
    model = make()
    before = save_base(model, tmp_path / "base")
    model = trained(model, config, tmp_path / "adapter", tmp_path / "base")
    after = model.merge_and_unload().state_dict()
    moved = {name for name in before if not torch.allclose(before[name], after[name], atol=1e-7)}
    run = Run.from_adapter(tmp_path / "adapter")
    assert {about.in_base for about in run.info.modules.values()} == moved
    for module, about in run.info.modules.items():
        difference = (after[about.in_base] - before[about.in_base]).numpy()
        difference = np.swapaxes(difference, -1, -2) if about.transposed else difference
        assert run.shape(module) == difference.shape
        np.testing.assert_allclose(run.delta(module), difference, atol=3e-6)
        assert run.norm(module) == pytest.approx(np.linalg.norm(difference), rel=1e-4)
        if about.kind == "lora":
            singular = np.linalg.svd(difference.reshape(len(difference), -1), compute_uv=False)
            np.testing.assert_allclose(
                singular_values(run, module)[: about.r], singular[: about.r], rtol=1e-3, atol=1e-6
            )
    levels = {finding.level for finding in diagnose(run)}
    assert levels == {"fine"}, diagnose(run)
    kept = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    shared = [name for name in kept if name.startswith("base_model.vera_")]
    assert run.info.model.trainable == sum(value.numel() for name, value in kept.items() if name not in shared)


@pytest.mark.parametrize("make, config, name", [
    (small_model, peft.LilyConfig(r=4, target_modules=["q_proj"]), "LILY"),
    (small_model, peft.PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"), "PROMPT_TUNING"),
])  # fmt: skip
def test_what_is_not_read_is_named(make, config, name, tmp_path):
    trained(make(), config, tmp_path / "adapter", "nowhere")
    with pytest.raises(InputError, match=rf"{name}.*(merge it|changes no weight)"):
        Run.from_adapter(tmp_path / "adapter")


def test_qa_lora_is_what_its_layer_does_to_each_input(tmp_path):
    """PEFT has it over GPTQ weights only, and merges it nowhere: its own forward, on every unit vector, is delta-W."""
    torch.manual_seed(0)
    base, into, group = small_model(), 48, 6
    save_base(base, tmp_path / "base")
    config = peft.LoraConfig(r=4, lora_alpha=12, target_modules=["down_proj"], use_qalora=True, qalora_group_size=group)
    model = peft.get_peft_model(base, config)
    wanted = {}
    for name, layer in model.named_modules():
        if name.endswith("down_proj"):
            QALoraLinearVariant.init(layer, "default", config)
            nn.init.normal_(layer.lora_A["default"].weight)
            nn.init.normal_(layer.lora_B["default"].weight)
            with torch.no_grad():
                answers = QALoraLinearVariant.forward(layer, "default", torch.eye(into), torch.zeros(into, 32))
            wanted[name.removeprefix("base_model.model.")] = answers.T.numpy()
    model.save_pretrained(tmp_path / "adapter")
    run = Run.from_adapter(tmp_path / "adapter", tmp_path / "base")
    assert set(run.modules) == set(wanted)
    for module, change in wanted.items():
        np.testing.assert_allclose(run.delta(module), change, rtol=1e-4, atol=1e-5)
        assert run.shape(module) == change.shape and run.norm(module) == pytest.approx(np.linalg.norm(change), rel=1e-4)
    alone = diagnose(Run.from_adapter(tmp_path / "adapter"))
    assert alone[0].level == "doubt" and "can only be told beside the base" in alone[0].what


def test_a_bias_where_the_base_has_none_is_all_change(tmp_path):
    model = small_model()
    save_base(model, tmp_path / "base")
    model = trained(model, peft.BeftConfig(target_modules=["q_proj"]), tmp_path / "adapter", tmp_path / "base")
    before = {name: value for name, value in model.state_dict().items() if "beft_bias" in name}
    run = Run.from_adapter(tmp_path / "adapter")
    assert len(run.info.modules) == len(before) == 2
    for module in run.info.modules:
        value = next(value for name, value in before.items() if module.removesuffix(".bias") in name)
        np.testing.assert_allclose(run.delta(module), value[0].numpy(), atol=1e-7)
    assert {finding.level for finding in diagnose(run)} == {"fine"}


def test_vera_without_its_projection_and_a_convolution_in_groups_are_doubts(tmp_path):
    config = peft.VeraConfig(r=4, target_modules=["q_proj"], save_projection=False)
    trained(small_model(), config, tmp_path / "vera", "nowhere")
    run = Run.from_adapter(tmp_path / "vera")
    (doubt,) = [finding for finding in diagnose(run) if finding.level == "doubt"]
    assert "random A and B were not saved" in doubt.what
    net = Net()
    net.grouped = nn.Conv2d(4, 6, 3, groups=2)
    trained(net, peft.LoraConfig(r=2, target_modules=["grouped", "linear"]), tmp_path / "groups", "nowhere")
    said = [finding.what for finding in diagnose(Run.from_adapter(tmp_path / "groups")) if finding.level == "doubt"]
    assert len(said) == 1 and "a convolution in groups" in said[0]


def test_experts_of_a_base_that_keeps_them_one_by_one(tmp_path):
    torch.manual_seed(0)
    model = moe()
    model.save_pretrained(tmp_path / "base")  # as transformers saves it: experts.0.gate_proj.weight, ...
    names = load_file(tmp_path / "base" / "model.safetensors")
    assert "model.layers.0.mlp.experts.0.down_proj.weight" in names
    config = peft.LoraConfig(r=2, target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"])
    before = model.model.layers[0].mlp.experts.down_proj.detach().clone()
    merged = trained(model, config, tmp_path / "adapter", tmp_path / "base").merge_and_unload()
    run = Run.from_adapter(tmp_path / "adapter")
    name = "model.layers.0.mlp.experts.down_proj"
    np.testing.assert_allclose(run.delta(name), (merged.get_parameter(name) - before).detach().numpy(), atol=2e-6)
    found = diagnose(run)
    assert {finding.level for finding in found} == {"fine"} and "expert by expert" in " ".join(f.what for f in found)


# --- MLX -----------------------------------------------------------------------------------------------


def mlx(folder, **changes):
    folder.mkdir()
    torch.manual_seed(0)
    tensors = {}
    for layer in range(2):
        module = f"model.layers.{layer}.self_attn.q_proj"
        tensors |= {f"{module}.lora_a": torch.randn(32, 4), f"{module}.lora_b": torch.randn(4, 32)}
    save_file(tensors, folder / "adapters.safetensors")
    settings = {
        "fine_tune_type": "lora",
        "num_layers": 2,
        "lora_parameters": {"rank": 4, "scale": 10.0, "dropout": 0.0},
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings | changes))
    return tensors


def test_an_adapter_of_mlx_is_read_as_what_it_is(tmp_path):
    tensors = mlx(tmp_path / "mlx")
    save_base(small_model(), tmp_path / "base")
    run = Run.from_adapter(tmp_path / "mlx", tmp_path / "base")
    module = "model.layers.1.self_attn.q_proj"
    expected = 10 * (tensors[f"{module}.lora_a"] @ tensors[f"{module}.lora_b"]).T
    np.testing.assert_allclose(run.delta(module), expected.numpy(), rtol=1e-5, atol=1e-5)
    assert run.modules == ["model.layers.0.self_attn.q_proj", module] and run.shape(module) == (32, 32)
    assert any("MLX" in note for note in run.info.notes) and not [f for f in diagnose(run) if f.level == "fault"]
    assert Run.open(tmp_path / "mlx").modules == run.modules


def respelt(file, **shapes):
    """The file, with other tensors of these shapes; of None, without them."""
    tensors = load_file(file) | {name: torch.ones(shape) for name, shape in shapes.items() if shape is not None}
    save_file({name: value for name, value in tensors.items() if shapes.get(name, ()) is not None}, file)


@pytest.mark.parametrize("a, b, why", [((8, 4, 32), (8, 32, 4), "a stack of matrices"), ((0,), (0,), "empty, as DeepSpeed"),
                                       ((128,), (4, 32), "flattened to one row")])  # fmt: skip
def test_what_is_no_matrix_in_an_adapter_of_mlx_is_told_and_the_rest_is_read(tmp_path, a, b, why):
    mlx(tmp_path / "mlx")
    odd = "model.layers.0.self_attn.q_proj"
    respelt(tmp_path / "mlx" / "adapters.safetensors", **{f"{odd}.lora_a": a, f"{odd}.lora_b": b})
    run = Run.open(tmp_path / "mlx")
    assert run.modules == ["model.layers.1.self_attn.q_proj"] and run.norm(run.modules[0]) > 0
    assert any(note.startswith(f"not shown, because {why}") and odd in note for note in run.info.notes)
    assert any(why in finding.what for finding in diagnose(run))


PLACE = "base_model.model.model.layers.{}.q_proj."
FACTORS = {
    "LOHA": {"hada_w1_a": (8, 4), "hada_w1_b": (4, 8), "hada_w2_a": (8, 4), "hada_w2_b": (4, 8)},
    "LOKR": {"lokr_w1": (4, 4), "lokr_w2_a": (8, 4), "lokr_w2_b": (4, 8)},
    "ADALORA": {"lora_A": (4, 8), "lora_B": (8, 4), "lora_E": (4, 1)},
    "VERA": {"vera_lambda_b": (8,), "vera_lambda_d": (4,)},
    "BEFT": {"beft_bias": (8,)},
    "TRAINABLE_TOKENS": {"token_adapter.trainable_tokens_delta": (2, 8)},
}


@pytest.mark.parametrize("method, part", [(method, part) for method, parts in FACTORS.items() for part in parts])
def test_of_one_module_whose_tensors_do_not_fit_the_method_the_others_are_read(tmp_path, method, part):
    """Empty, flat, a stack, or not there: never does a whole adapter cease to be read."""
    settings = {"peft_type": method, "r": 4, "alpha": 4, "lora_alpha": 4, "token_indices": [1, 2]}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    good = {PLACE.format(layer) + name: shape for layer in (0, 1) for name, shape in FACTORS[method].items()}
    good |= {"base_model.vera_A": (4, 8), "base_model.vera_B": (8, 4)} if method == "VERA" else {}
    for shape in ((0,), (9,), (2,), (3, 4, 5), None):
        save_file({name: torch.ones(size) for name, size in good.items()}, tmp_path / "adapter_model.safetensors")
        stray = {PLACE.format(0) + "ia3_l": (8, 1)} if shape is None else {}
        respelt(tmp_path / "adapter_model.safetensors", **{PLACE.format(0) + part: shape}, **stray)
        run = Run.from_adapter(tmp_path)
        assert any("layers.1.q_proj" in name for name in run.info.modules), shape
        for name in run.info.modules:
            try:
                run.norm(name)
            except InputError as error:
                assert "layers.0" in name or "neither a folder here" in str(error)
        if shape in ((0,), None):
            assert any(PLACE.format(0) in name for names in run.info.differences.values() for name in names), shape


def test_mlx_of_another_kind_is_named(tmp_path):
    mlx(tmp_path / "mlx", fine_tune_type="dora")
    with pytest.raises(InputError, match="its fine_tune_type is 'dora'"):
        Run.from_adapter(tmp_path / "mlx")
