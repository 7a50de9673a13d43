"""An adapter that somebody has: every kind of PEFT's LoRA gives the true delta-W, or says why not."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.measure import norm, singular_values
from glasstune import InputError, Run
from tests.engine.small import save_adapter, save_base

LINEAR = ["q_proj", "v_proj", "down_proj"]
VARIANTS = {
    "plain": ("llama", {"target_modules": LINEAR}),
    "all-linear": ("llama", {"target_modules": "all-linear"}),
    "rank-stabilised": ("llama", {"target_modules": LINEAR, "use_rslora": True}),
    "patterns": ("llama", {"target_modules": LINEAR, "rank_pattern": {"v_proj": 2, r"layers\.1\.self_attn\.q_proj": 3},
                           "alpha_pattern": {"down_proj": 32}}),
    "rank-stabilised patterns": ("llama", {"target_modules": LINEAR, "rank_pattern": {"v_proj": 2}, "use_rslora": True}),
    "DoRA": ("llama", {"target_modules": LINEAR, "use_dora": True}),
    "embedding": ("llama", {"target_modules": ["embed_tokens", "q_proj"]}),
    "embedding with DoRA": ("llama", {"target_modules": ["embed_tokens", "q_proj"], "use_dora": True}),
    "head saved whole": ("llama", {"target_modules": LINEAR, "modules_to_save": ["lm_head"]}),
    "biases": ("bert", {"target_modules": ["query"], "bias": "lora_only", "task_type": "SEQ_CLS"}),
    "Conv1D": ("gpt2", {"target_modules": ["c_attn", "c_fc"], "fan_in_fan_out": True}),
    "Conv1D with DoRA": ("gpt2", {"target_modules": ["c_attn"], "fan_in_fan_out": True, "use_dora": True}),
    "classifier": ("bert", {"target_modules": ["query", "value"], "task_type": "SEQ_CLS"}),
}  # fmt: skip


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bases")
    return {kind: save_base(folder / kind, kind) for kind in ("llama", "gpt2", "bert")}


@pytest.fixture
def adapter(bases, tmp_path):
    return save_adapter(tmp_path / "adapter", bases["llama"], target_modules=LINEAR)[1]


def edit(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rename(folder, change):
    path = folder / "adapter_model.safetensors"
    save_file({change(name): value for name, value in load_file(path).items()}, path)


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning")
@pytest.mark.parametrize("variant", VARIANTS)
def test_delta_is_the_difference_of_the_merged_weights(variant, bases, tmp_path):
    kind, options = VARIANTS[variant]
    model, folder = save_adapter(tmp_path / "adapter", bases[kind], kind, **options)
    run = Run.from_adapter(folder)
    before = load_file(bases[kind] / "model.safetensors")
    merged = model.merge_and_unload().state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, merged[name])}
    assert {run.info.modules[module].parameter for module in run.info.modules} == moved
    for module, about in run.info.modules.items():
        difference = (merged[about.parameter] - before[about.parameter]).numpy()
        difference = difference.T if about.transposed else difference
        assert tuple(about.shape) == difference.shape == run.shape(module)
        np.testing.assert_allclose(run.delta(module), difference, atol=2e-6)
        assert norm(run, module) == pytest.approx(np.linalg.norm(difference), rel=1e-4)
        weight = before[about.parameter].numpy()
        np.testing.assert_array_equal(run.weight(module), weight.T if about.transposed else weight)
    assert run.method == "lora" and run.status == "saved" and run.steps == [1]
    assert repr(run).startswith("Run(adapter: lora,") and "adapter" in run._repr_html_()


def test_the_base_is_not_needed_where_it_does_not_matter(adapter):
    edit(adapter, base_model_name_or_path="nobody/nothing")
    run = Run.from_adapter(adapter)
    for module in run.modules:
        factors = run.factors(module)
        np.testing.assert_array_equal(run.delta(module), factors.product())
        assert len(singular_values(run, module)) == 4
    with pytest.raises(InputError, match="'nobody/nothing' is neither a folder here nor downloaded"):
        run.weight(run.modules[0])


def test_dora_without_its_base_says_so(bases, tmp_path):
    _, folder = save_adapter(tmp_path / "adapter", bases["llama"], target_modules=LINEAR, use_dora=True)
    edit(folder, base_model_name_or_path="nobody/nothing")
    run = Run.from_adapter(folder)
    assert any("DoRA" in note and "needs the base" in note for note in run.info.notes)
    with pytest.raises(InputError, match="can only be told beside the base"):
        run.delta(run.modules[0])


def test_half_precision_is_read_without_torch(adapter):
    path = adapter / "adapter_model.safetensors"
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        saved = {name: value.to(dtype) for name, value in load_file(path).items()}
        save_file(saved, path)
        run = Run.from_adapter(adapter)
        module = run.modules[0]
        expected = saved[f"base_model.model.{module}.lora_A.weight"].float().numpy()
        np.testing.assert_array_equal(run.factors(module).A, expected)


def test_an_embedded_models_adapter_is_the_runs(lora_run):
    run = Run.from_adapter(lora_run.path / "adapter")
    assert set(run.modules) == set(lora_run.modules)
    for module in run.modules:
        np.testing.assert_array_equal(run.delta(module), lora_run.delta(module))


@pytest.mark.parametrize("wrapper", ["base_model.model._orig_mod.", "module.base_model.model.", ""])
def test_names_that_peft_would_not_find_are_read_and_marked(adapter, wrapper):
    before = Run.from_adapter(adapter)
    delta = before.delta(before.modules[0])
    rename(adapter, lambda name: name.replace("base_model.model.", wrapper, 1))
    run = Run.from_adapter(adapter)
    assert run.modules == before.modules
    np.testing.assert_array_equal(run.delta(run.modules[0]), delta)
    assert len(run.info.found.foreign) == 2 * len(run.modules)


def test_what_cannot_be_shown_is_listed(adapter):
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    gone = next(name for name in tensors if "lora_B" in name)
    save_file({name: value for name, value in tensors.items() if name != gone}, path)
    run = Run.from_adapter(adapter)
    assert len(run.modules) == 5
    assert any("its other half" in note for note in run.info.notes)


def test_dora_without_its_magnitudes_is_no_plain_lora(bases, tmp_path):
    _, folder = save_adapter(tmp_path / "adapter", bases["llama"], target_modules=["q_proj"])
    edit(folder, use_dora=True)
    run = Run.from_adapter(folder)
    assert not run.modules and any("its magnitudes are missing" in note for note in run.info.notes)


def _cut(folder):
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _garbage(folder):
    (folder / "adapter_model.safetensors").write_bytes(b"not a file" * 10)


def _pickle(folder):
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def _lfs(folder):
    (folder / "adapter_model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")


@pytest.mark.parametrize(
    "spoil, said",
    [
        (_cut, r"adapter_model\.safetensors was cut short: it holds"),
        (_garbage, r"adapter_model\.safetensors is not a safetensors file"),
        (_pickle, r"holds only adapter_model\.bin: a pickle can run any code.*convert it with"),
        (_lfs, "Git LFS pointer"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), "holds no adapter_model.safetensors file"),
        (lambda folder: (folder / "adapter_config.json").unlink(), r"is no adapter: it has no adapter_config\.json"),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), "cannot be read as JSON"),
        (
            lambda folder: edit(folder, peft_type="LILY"),
            "its peft_type is 'LILY', whose change.*read are LORA, ADALORA",
        ),
        (lambda folder: edit(folder, use_bdlora=True), "uses BD-LoRA"),
    ],
)
def test_bad_input_is_one_sentence(adapter, spoil, said):
    spoil(adapter)
    with pytest.raises(InputError, match=said) as caught:
        Run.from_adapter(adapter)
    assert "\n" not in str(caught.value)


def test_other_folders_are_told_apart(bases, adapter, tmp_path):
    with pytest.raises(InputError, match="is a whole model, not an adapter"):
        Run.from_adapter(bases["llama"])
    with pytest.raises(InputError, match="its folders do: give one of adapter"):
        Run.from_adapter(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        Run.from_adapter(tmp_path / "nowhere")


def test_a_hub_id_that_cannot_be_had(tmp_path):
    with pytest.raises(InputError, match="'nobody/nothing' is neither a folder here nor an adapter that can be down"):
        Run.from_adapter("nobody/nothing")


def test_norms_are_a_table(adapter):
    run = Run.from_adapter(adapter)
    assert run.norms.loc[1, run.modules[2]] == norm(run, run.modules[2]) and run.norms.shape == (1, len(run.modules))


def test_a_base_that_does_not_match_is_named(bases, adapter):
    with pytest.raises(InputError, match=r"does not fit the base .*gpt2: the base has no model\.layers"):
        Run.from_adapter(adapter, bases["gpt2"])
    assert Run.from_adapter(adapter, bases["llama"]).weight("model.layers.0.self_attn.q_proj").shape == (32, 32)


def test_a_base_of_other_shapes_is_named(adapter):
    with pytest.raises(InputError, match=r"does not fit .*weight is \(\d+, \d+\) in the base and \(32, \d+\) in"):
        Run.from_adapter(adapter, "embedded")
