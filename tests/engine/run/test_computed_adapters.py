"""Adapters whose change PEFT computes from their base: what was saved is read as what merging it does."""

import copy
import json
import shutil

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file

from engine.inspect.diagnose import diagnose
from engine.run.adapters.computed import METHODS as COMPUTED
from engine.run.adapters.peft import READ
from glasstune import InputError, Run
from tests.engine.peft_methods import FOLLOWED, OF_INPUT, PROMPTS, UNMERGEABLE, config_of, logits, steps_of
from tests.engine.run.test_adapter_methods import Net, save_base
from tests.engine.small import small_model

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::RuntimeWarning")


def saved(kind, folder, make=small_model, **options):
    """A base in a folder, and an adapter of it, every weight of which has moved."""
    base = make()
    base.save_pretrained(folder / "base")
    model = peft.get_peft_model(copy.deepcopy(base), config_of(kind, **options))
    for _ in steps_of(model, logits):
        pass
    model.save_pretrained(folder / "adapter")
    settings = folder / "adapter" / "adapter_config.json"
    settings.write_text(
        json.dumps(json.loads(settings.read_text()) | {"base_model_name_or_path": str(folder / "base")})
    )
    return base.state_dict(), model.merge_and_unload().state_dict(), folder / "adapter"


def test_every_method_that_can_be_merged_is_read_or_said_not_to_be():
    assert set(FOLLOWED) == {*COMPUTED, *READ}


@pytest.mark.parametrize("kind", COMPUTED)
def test_a_saved_adapter_changes_what_merging_does(kind, tmp_path):
    before, after, folder = saved(kind, tmp_path)
    torch.manual_seed(5)  # nothing may be drawn again
    run = Run.open(folder)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {about.in_base for about in run.info.modules.values()} == moved and len(moved) == 6
    for module, about in run.info.modules.items():
        difference = (after[about.in_base] - before[about.in_base]).numpy()
        np.testing.assert_allclose(run.delta(module), difference, rtol=0, atol=1e-6 + 1e-5 * np.abs(difference).max())
        np.testing.assert_array_equal(run.weight(module), before[about.in_base].numpy())
    tensors = load_file(folder / "adapter_model.safetensors").values()  # SHiRA keeps places besides
    trained = sum(value.numel() for value in tensors if value.is_floating_point())
    assert run.method == kind.lower() and run.info.model.trainable == trained
    assert {finding.level for finding in diagnose(run)} == {"fine"}, diagnose(run)


def test_what_was_saved_whole_beside_it_is_read_too(tmp_path):
    before, after, folder = saved("HRA", tmp_path, modules_to_save=["lm_head"])
    run = Run.from_adapter(folder)
    np.testing.assert_allclose(
        run.delta("lm_head"), (after["lm_head.weight"] - before["lm_head.weight"]).numpy(), atol=1e-6
    )
    assert len(run.modules) == 7


def test_a_transposed_weight_under_one_of_them(tmp_path):
    told = {"target_modules": ["c_attn"], "fan_in_fan_out": True}
    before, after, folder = saved("FOURIERFT", tmp_path, lambda: small_model("gpt2"), **told)
    run = Run.from_adapter(folder)
    for module in run.modules:
        difference = (after[f"{module}.weight"] - before[f"{module}.weight"]).numpy().T
        assert run.shape(module) == difference.shape == (96, 32)
        np.testing.assert_allclose(run.delta(module), difference, atol=1e-6)


def test_without_its_base_it_is_said_that_it_is_needed(tmp_path):
    *_, folder = saved("OFT", tmp_path)
    shutil.rmtree(tmp_path / "base")
    with pytest.raises(InputError, match=r"OFT, whose change PEFT computes from its base.*give its folder"):
        Run.open(folder)


@pytest.mark.parametrize("kind", sorted((PROMPTS | UNMERGEABLE | OF_INPUT) - {"XLORA"}))
def test_what_is_saved_without_a_delta_is_named(kind, tmp_path):
    peft.get_peft_model(small_model(), config_of(kind)).save_pretrained(tmp_path / "adapter")
    with pytest.raises(InputError, match=kind) as refusal:
        Run.open(tmp_path / "adapter")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("make, config, says", [
    (Net, peft.HRAConfig(r=2, target_modules=["conv2"]), "no config.json"),  # of no library: nobody can build it
    (lambda: small_model("bert"), peft.HRAConfig(r=2, target_modules=["query"]), "another kind of model, merge it"),  # no causal language model
])  # fmt: skip
def test_a_base_that_cannot_be_built_is_one_sentence(make, config, says, tmp_path):
    base = make()
    if isinstance(base, Net):
        save_base(base, tmp_path / "base")
    else:
        base.save_pretrained(tmp_path / "base")
    peft.get_peft_model(base, config).save_pretrained(tmp_path / "adapter")
    with pytest.raises(InputError, match=says) as refusal:
        Run.open(tmp_path / "adapter", tmp_path / "base")
    assert "\n" not in str(refusal.value)
