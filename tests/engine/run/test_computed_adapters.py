"""Adapters whose change PEFT computes from their base: what was saved is read as what merging it does."""

import copy
import gc
import json
import shutil

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file

from engine import adapted
from engine.inspect import many
from engine.inspect.audit import audit
from engine.inspect.diagnose import diagnose
from engine.run.adapters.computed import METHODS as COMPUTED
from engine.run.adapters.peft import READ
from glasstune import InputError, Run
from tests.engine.peft_methods import FOLLOWED, OF_INPUT, PROMPTS, UNMERGEABLE, config_of, logits, steps_of
from tests.engine.run.test_adapter_methods import Net, save_base
from tests.engine.small import small_model

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::RuntimeWarning")

CHANGES_W = ("C3A", "FOURIERFT", "UNILORA", "VBLORA")  # an untrained one changes W, by PEFT's own settings


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
    assert {*FOLLOWED, "BEFT"} == {*COMPUTED, *READ}


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
    said = {finding.level for finding in diagnose(run)}
    assert said == ({"fine", "doubt"} if kind in CHANGES_W else {"fine"}), diagnose(run)


@pytest.mark.parametrize("kind", COMPUTED)
def test_an_untrained_one_is_never_said_to_have_learned(kind, tmp_path):
    base = small_model()
    base.save_pretrained(tmp_path / "base")
    untrained = peft.get_peft_model(base, config_of(kind))
    untrained.save_pretrained(tmp_path / "adapter")
    run = Run.open(tmp_path / "adapter", tmp_path / "base")
    learned = [finding for finding in diagnose(run) if finding.level == "fine" and "changed" in finding.what]
    assert not learned, learned
    assert diagnose(run)[0].level == ("doubt" if kind in CHANGES_W else "fault")
    before = [finding for finding in diagnose(run) if "changes W before it is trained: delta-W holds" in finding.what]
    assert bool(before) is (kind in CHANGES_W)


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


@pytest.mark.parametrize("kind", sorted((PROMPTS | UNMERGEABLE | OF_INPUT) - {"XLORA", "BEFT"}))
def test_what_is_saved_without_a_delta_is_named(kind, tmp_path):
    peft.get_peft_model(small_model(), config_of(kind)).save_pretrained(tmp_path / "adapter")
    with pytest.raises(InputError, match=kind) as refusal:
        Run.open(tmp_path / "adapter")
    assert "\n" not in str(refusal.value)


def test_a_base_that_cannot_be_built_is_one_sentence(tmp_path):
    base = Net()  # of no library
    save_base(base, tmp_path / "base")
    peft.get_peft_model(base, peft.HRAConfig(r=2, target_modules=["conv2"])).save_pretrained(tmp_path / "adapter")
    with pytest.raises(InputError, match=r"HRA, whose change PEFT computes from its base: .*no config.json") as refusal:
        Run.open(tmp_path / "adapter", tmp_path / "base")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", COMPUTED)
def test_a_merged_model_holds_it_once_or_not_at_all(kind, tmp_path):
    before, after, folder = saved(kind, tmp_path)
    model = small_model()
    model.load_state_dict(after)
    model.save_pretrained(tmp_path / "merged")
    for merged, times in (("base", 0), ("merged", 1)):
        found = audit(tmp_path / "base", folder, tmp_path / merged, progress=False)
        assert list(found.modules["times"]) == [times] * 6 and not found.changed and not found.unaudited
        for name, row in found.modules.iterrows():
            change = after[f"{name}.weight"] - before[f"{name}.weight"]
            assert row["norm"] == pytest.approx(change.norm().item(), rel=1e-4)
            assert row["scale"] == pytest.approx(times, abs=1e-3)


def test_merged_twice_is_told_where_a_change_is_added_and_not_guessed_where_it_is_made_of_w(tmp_path):
    for kind, times in (("DELORA", 2), ("PSOFT", np.nan)):
        _, after, folder = saved(kind, tmp_path / kind)
        once = small_model()
        once.load_state_dict(after)
        peft.PeftModel.from_pretrained(once, folder).merge_and_unload().save_pretrained(tmp_path / kind / "twice")
        found = audit(tmp_path / kind / "base", folder, tmp_path / kind / "twice", progress=False)
        np.testing.assert_array_equal(found.modules["times"], times)
        fault = next(finding for finding in found.findings if finding.level == "fault")
        assert ("in twice" in fault.what) if times == 2 else ("or it was merged twice" in fault.remedy)


def test_many_of_one_base_load_it_once_and_leave_it_as_it_is(tmp_path, monkeypatch):
    base, loaded = small_model(), []
    base.save_pretrained(tmp_path / "base")
    load = adapted.load_as
    monkeypatch.setattr(adapted, "load_as", lambda *a, **k: loaded.append(load(*a, **k)) or loaded[-1])
    deltas = {}
    for kind in COMPUTED:
        model = peft.get_peft_model(copy.deepcopy(base), config_of(kind))
        next(steps_of(model, logits))
        model.save_pretrained(tmp_path / "all" / kind)
        deltas[kind] = model.merge_and_unload().state_dict()
    found = many.read_many(tmp_path / "all", base=tmp_path / "base", progress=False)
    assert not found.unread and len(found.table) == len(COMPUTED) and len(loaded) == 1
    for name, value in base.state_dict().items():  # merged copies, never the base itself
        assert torch.equal(loaded[0][0].state_dict()[name], value), name
    names = [name for name in base.state_dict() if not torch.equal(deltas["HRA"][name], base.state_dict()[name])]
    for kind, after in deltas.items():
        norm = sum((after[name] - base.state_dict()[name]).double().square().sum().item() for name in names) ** 0.5
        assert found.table.loc[kind, "norm"] == pytest.approx(norm, rel=1e-4)
    assert np.isnan(found.overlap[list(found.table.index).index("OFT")]).all()  # it turns every direction of W
    assert found.table.loc["OFT", "nearest"] == "" and found.table.loc["PSOFT", "nearest"] == "TINYLORA"


def test_a_share_of_many_leaves_no_base_in_its_process(tmp_path):
    *_, folder = saved("HRA", tmp_path)
    held = []

    def work(place):
        row = many._row(place, None)
        held.append(len(adapted._loaded))
        return row

    first, second = many._share(work, [folder, folder])
    gc.collect()
    assert held == [1, 1] and not many._last and not adapted._loaded
    assert first["norm"] == second["norm"] > 0


@pytest.mark.parametrize("kind, target, options", [
    ("llama", "lm_head", {}),  # PEFT saves the head's own weight too
    ("bert", "query", {"bias": "all"}),
])  # fmt: skip
def test_what_an_adapters_file_brings_stays_its_own(kind, target, options, tmp_path):
    small_model(kind).save_pretrained(tmp_path / "base")
    wanted = {}
    for name, seed, more in (("first", 7, options), ("second", 0, {})):
        start = small_model(kind, seed=seed)
        before = {key: value.clone() for key, value in start.state_dict().items()}
        task = "SEQ_CLS" if kind == "bert" else "CAUSAL_LM"
        model = peft.get_peft_model(start, config_of("HRA", target_modules=[target], task_type=task, **more))
        with torch.no_grad():
            for _, value in filter(lambda one: one[1].requires_grad, model.named_parameters()):
                value += torch.randn(value.shape)
        model.save_pretrained(tmp_path / name, save_embedding_layers="auto" if name == "first" else False)
        after = model.merge_and_unload().state_dict()
        wanted[name] = {key: after[key] - value for key, value in before.items()}
    brought = load_file(tmp_path / "first" / "adapter_model.safetensors")
    assert any(".base_layer." in name for name in brought)
    first, second = (Run.open(tmp_path / name, tmp_path / "base") for name in wanted)
    for key, value in next(iter(adapted._loaded.values())).model.state_dict().items():
        assert torch.equal(value, small_model(kind).state_dict()[key]), key
    adapts = [module for module in second.modules if module.endswith(target)]
    for module in adapts:
        np.testing.assert_allclose(second.delta(module), wanted["second"][f"{module}.weight"].numpy(), atol=1e-5)
    assert adapts and set(adapts) <= set(first.modules)


def test_a_base_that_changed_is_loaded_anew_and_one_that_nobody_needs_is_forgotten(tmp_path):
    *_, folder = saved("HRA", tmp_path)
    first = Run.open(folder)
    module = first.modules[0]
    was = first.delta(module)
    small_model(seed=7).save_pretrained(tmp_path / "base")
    assert not np.allclose(Run.open(folder).delta(module), was)
    np.testing.assert_array_equal(first.delta(module), was)
    del first
    gc.collect()
    assert not adapted._loaded
