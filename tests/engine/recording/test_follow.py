"""A training may change under its capture: what is unfrozen is followed, what cannot be followed is said."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.numpy import load_file
from torch import nn
from transformers import TrainerCallback

from engine.recording.names import names_of
from engine.run.format import capture_path
from glasstune import CaptureCallback, InputError, Run, capture
from tests.engine.recording.test_capture import ROWS, make, trainer_of, weights

BATCH = torch.tensor([row["input_ids"] for row in ROWS[:4]])


def train(model, out, changes, steps: int = 4, every=1, **options) -> tuple[Run, list[dict[str, np.ndarray]]]:
    """A plain loop. changes: what is done to the model before a step. Gives all weights after every step, too."""
    held = [weights(model)]
    with capture(model, out, every=every, total=steps, **{"say": False, **options}) as recorder:
        for step in range(1, steps + 1):
            changes.get(step, lambda model: None)(model)
            optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
            loss = model(input_ids=BATCH, labels=BATCH).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            recorder.step(loss=loss)
            held.append(weights(model))
    assert recorder.run is not None
    return recorder.run, held


def only(*layers: int):
    """Train these layers, and nothing else."""

    def change(model):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(any(f"layers.{layer}." in name for layer in layers))

    return change


def frozen_but_for(*layers: int, **options):
    model = make(**options)
    only(*layers)(model)
    return model


def adapted(**options):
    shared = {"r": 2, "lora_alpha": 3, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}
    return get_peft_model(make(), LoraConfig(**shared | options))


def is_true(run: Run, held: list[dict[str, np.ndarray]]) -> None:
    """Every captured change at every captured step is the weight then minus the weight at the start, of all that moved."""
    for step in run.steps:
        for module, about in run.info.modules.items():
            true = held[step][about.parameter] - held[0][about.parameter]
            np.testing.assert_allclose(run.delta(module, step), true, atol=1e-6, err_msg=f"{module} at {step}")
            assert run.norms.loc[step, module] == pytest.approx(np.linalg.norm(true), rel=1e-4, abs=1e-6)
    moved = {name for name in held[0] if not np.array_equal(held[0][name], held[-1][name])}
    assert moved <= {about.parameter for about in run.info.modules.values()} and not run.norms.isna().any().any()


@pytest.mark.parametrize("every", [1, 3])
def test_a_layer_unfrozen_later_is_captured_from_there(every, tmp_path, capsys):
    run, held = train(frozen_but_for(1), tmp_path / "run", {3: only(0, 1)}, every=every, say=True)
    is_true(run, held)
    late = "model.layers.0.self_attn.q_proj"
    assert run.status == "finished" and run.info.modules[late].since == 3 and late in run.modules
    assert run.info.modules["model.layers.1.self_attn.q_proj"].since is None
    assert run.info.model.trainable == sum(w.size for name, w in held[0].items() if "layers." in name)
    assert not run.delta(late, 0).any() and run.delta(late, 4).any() and run.norm(late, 0) == 0
    np.testing.assert_array_equal(run.weight(late), held[0][f"{late}.weight"])
    assert f"{late}.weight" not in load_file(capture_path(run.path, 0))
    said = capsys.readouterr().err
    assert "leaves nothing out" not in said and "trained from step 3 on" in said
    assert json.loads((run.path / "run.json").read_text())["version"] == 2


def test_layers_that_take_turns_are_all_captured(tmp_path):  # LISA
    run, held = train(frozen_but_for(0), tmp_path / "run", {2: only(1), 3: only(0), 4: only()}, steps=3)
    is_true(run, held)
    assert run.status == "finished" and {about.since for about in run.info.modules.values()} == {None, 2}


class Unfreeze(TrainerCallback):
    """Gradual unfreezing, with every weight in the optimizer from the start."""

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        if state.global_step == 2:
            only(0, 1)(model)


@pytest.mark.parametrize("ours_first", [True, False])
def test_in_a_trainer(ours_first, tmp_path):
    model = frozen_but_for(1)
    before = weights(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    callback = CaptureCallback(tmp_path / "run", every=4, say=False)
    first, *more = [callback, Unfreeze()] if ours_first else [Unfreeze(), callback]
    trainer = trainer_of(tmp_path / "t", model, first, more=more)
    trainer.optimizer = optimizer
    trainer.train()
    run, after = callback.run, weights(model)
    late = "model.layers.0.mlp.up_proj"
    assert run.status == "finished" and run.info.modules[late].since == 3 and run.steps == [0, 4]
    true = after[f"{late}.weight"] - before[f"{late}.weight"]
    assert np.abs(true).max() > 1e-5
    np.testing.assert_allclose(run.delta(late), true, atol=1e-7)
    assert not run.delta(late, 0).any()


def test_modules_chosen_by_patterns_are_chosen_among_what_is_unfrozen_too(tmp_path):
    run, _ = train(frozen_but_for(1), tmp_path / "run", {2: only(0, 1)}, steps=2, modules="*.q_proj")
    assert run.modules == ["model.layers.1.self_attn.q_proj", "model.layers.0.self_attn.q_proj"]
    assert json.loads((run.path / "run.json").read_text())["capture"]["left_out"] == 16


def test_beyond_the_budget_what_is_unfrozen_is_summarised(tmp_path):
    run, held = train(frozen_but_for(1), tmp_path / "run", {3: only(0, 1)}, budget="70KB")
    late = [module for module in run.modules if run.info.modules[module].since == 3]
    sketched = [module for module in late if run.is_sketched(module)]
    assert sketched and run.status == "finished" and not list(run.path.glob("start-scratch*"))
    for module in sketched:
        name = run.info.modules[module].parameter
        true = np.linalg.norm(held[-1][name] - held[0][name])
        assert run.sketch(module).norm == pytest.approx(true, rel=1e-4) and true > 0
        early = run.sketch(module, 0)
        assert early.norm == early.missed == 0 and not early.picture.any()
        assert early.picture.shape == run.sketch(module).picture.shape


def lora_of(*layers: int):
    def change(model):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("lora_" in name and any(f"layers.{layer}." in name for layer in layers))

    return change


def test_an_adapters_layer_unfrozen_later_has_the_starts_factors_before(tmp_path):
    model = adapted()
    lora_of(1)(model)
    run, held = train(model, tmp_path / "run", {3: lora_of(0, 1)})
    late, prefix = "model.layers.0.self_attn.q_proj", "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    assert run.status == "finished" and run.info.modules[late].since == 3
    for step in run.steps:
        b, a = held[step][f"{prefix}B.default.weight"], held[step][f"{prefix}A.default.weight"]
        np.testing.assert_array_equal(run.factors(late, step).A, a)
        np.testing.assert_allclose(run.delta(late, step), 1.5 * b @ a, atol=1e-6)
    assert not run.delta(late, 2).any() and run.delta(late, 3).any() and run.norm(late, 1) == 0


def merge_and_begin_anew(model):  # ReLoRA, in place
    for layer in model.modules():
        if hasattr(layer, "lora_A"):
            layer.merge()
            layer.merged_adapters.clear()
            nn.init.zeros_(layer.lora_B["default"].weight)


def merge_and_wrap_again(model):
    get_peft_model(model.merge_and_unload(), LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))


def activate_another(model):
    model.add_adapter("second", LoraConfig(r=2, target_modules=["q_proj"]))
    model.set_adapter("second")


def replace_in_another_type(model):
    layer = model.model.layers[1].mlp.up_proj
    layer.weight = nn.Parameter(torch.zeros(3, 16))
    layer.forward = lambda x: torch.zeros(*x.shape[:-1], 24) + 0 * layer.weight.sum()


def write_and_unfreeze(model):
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 1] += 1  # not among the sampled, but counted by autograd
    only(0, 1)(model)


def write(model):
    model.model.embed_tokens.weight.data *= 2


ENDS = {
    "merged, begun anew": (adapted, merge_and_begin_anew, "frozen weight under an adapter.*merged into it"),
    "merged, wrapped again": (adapted, merge_and_wrap_again, r"merged adapters of .* became 'default'"),
    "merged": (
        adapted,
        lambda model: model.merge_adapter(),
        r"merged adapters of .* became 'default' \(before: none\)",
    ),
    "another adapter": (adapted, activate_another, r"active adapter of .* became 'second' \(before: 'default'\)"),
    "another strength": (
        adapted,
        lambda model: model.base_model.model.model.layers[0].self_attn.q_proj.set_scale("default", 7),
        "scaling of model.layers.0.self_attn.q_proj became 10.5",
    ),
    "another shape": (lambda: frozen_but_for(1), replace_in_another_type, r"up_proj is trained otherwise.*\(3, 16\)"),
    "written to, unfrozen": (lambda: frozen_but_for(1), write_and_unfreeze, "written to while it was frozen"),
    "written to": (lambda: frozen_but_for(1), write, "embed_tokens.weight was frozen at the start and is not what"),
}


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`:UserWarning", "ignore:Merge lora module:UserWarning")
@pytest.mark.parametrize("way", ENDS)
def test_what_cannot_be_followed_ends_the_capture_with_a_sentence(way, tmp_path, capsys):
    made, change, says = ENDS[way]
    made = made()
    if way == "merged":  # whose factors get no gradient any more
        with capture(made, tmp_path / "run", every=1, total=4, say=False) as recorder:
            recorder.step()
            recorder.step()
            change(made)
            recorder.step()
        run = recorder.run
    else:
        run, _ = train(made, tmp_path / "run", {3: change})
    assert run.status == "incomplete" and run.steps == [0, 1, 2]
    assert run.info.why.startswith("at step 3: ") and re.search(says, run.info.why) and "\n" not in run.info.why
    assert capsys.readouterr().err.count("capture has ended, and training goes on without it") == 1


def test_who_must_have_the_run_is_told_when_it_cannot_be_followed(tmp_path):
    with pytest.raises(InputError, match="active adapter"):
        train(adapted(), tmp_path / "run", {2: activate_another}, must_capture=True)


def test_a_parameter_replaced_by_another_is_followed_and_noted(tmp_path, capsys):
    def change(model):
        layer = model.model.layers[1].mlp.up_proj
        layer.weight = nn.Parameter(layer.weight.detach() + 1)

    run, held = train(frozen_but_for(1), tmp_path / "run", {3: change})
    is_true(run, held)
    assert run.status == "finished" and run.delta("model.layers.1.mlp.up_proj").mean() > 0.9
    (note,) = run.info.notes
    assert note.startswith("at step 3, model.layers.1.mlp.up_proj was replaced") and note in capsys.readouterr().err


def test_merging_to_generate_and_taking_out_again_goes_on(tmp_path):
    def generate(model):
        model.merge_adapter()
        model.unmerge_adapter()

    run, _ = train(adapted(), tmp_path / "run", dict.fromkeys(range(2, 5), generate))
    assert run.status == "finished" and run.steps == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("at", [2, 3])  # before the layer was unfrozen, and after
def test_a_resumed_training_knows_what_was_unfrozen(at, tmp_path):
    whole, held = train(frozen_but_for(1), tmp_path / "whole", {3: only(0, 1), 4: only(1)})
    model = frozen_but_for(1)
    with pytest.raises(ZeroDivisionError):
        train(model, tmp_path / "run", {3: only(0, 1), 4: only(1), 5: lambda model: 1 / 0}, steps=5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(held[at][name]))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    (only(0, 1) if at == 2 else only(1))(model)  # at 2, what is unfrozen in the next step is so from the beginning
    with capture(model, tmp_path / "run", every=1, total=4, resumed=at, say=False) as recorder:
        for step in range(at + 1, 5):
            if step == 4:
                only(1)(model)
            model(input_ids=BATCH, labels=BATCH).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            recorder.step()
    run, late = recorder.run, "model.layers.0.self_attn.q_proj"
    assert run.steps == whole.steps and run.info.modules[late].since == 3
    assert run.info.modules == whole.info.modules
    for module in run.info.modules:
        for step in run.steps:
            np.testing.assert_allclose(run.delta(module, step), whole.delta(module, step), atol=1e-6)


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
def test_a_compiled_optimizer_is_watched_too(tmp_path):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).requires_grad_(False)
    model[0].requires_grad_(True)
    before = model[1].weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    advance = torch.compile(optimizer.step, backend="eager")
    with capture(model, tmp_path / "run", every=1, total=2, say=False) as recorder:
        for step in range(2):
            model[1].requires_grad_(step == 1)
            model(torch.ones(2, 4)).sum().backward()
            advance()
            optimizer.zero_grad()
            recorder.step()
    assert recorder.run.info.modules["1"].since == 2 and not recorder.run.delta("1", 1).any()
    np.testing.assert_allclose(recorder.run.delta("1"), (model[1].weight - before).detach().numpy(), atol=1e-7)


class Own(nn.Module):
    """A user's own module, whose names look like those of wrappers."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Linear(3, 3)
        self._orig_mod = nn.Sequential(nn.Linear(3, 3))
        self.base_layer = nn.Linear(3, 3)

    def forward(self, x):
        return self.base_layer(self._orig_mod(self.module(x)))


@pytest.mark.parametrize(
    "wrap", [lambda m: m, lambda m: torch.compile(m, backend="eager"), nn.DataParallel, lambda m: nn.ModuleDict({"module": m})]
)  # fmt: skip
def test_only_what_wrappers_put_into_a_name_is_left_out(wrap, tmp_path):
    model = wrap(Own())
    own = "module." if isinstance(model, nn.ModuleDict) else ""
    clean = names_of(model)
    expected = {own + name for name, _ in Own().named_parameters()}
    assert {clean(name) for name, _ in model.named_parameters()} == expected
    with capture(model, tmp_path / "run", say=False) as recorder:
        recorder.step()
    assert {about.parameter for about in recorder.run.info.modules.values()} == expected
    assert recorder.run.info.model.architecture == ("ModuleDict" if own else "Own")


def test_a_weight_trained_beside_its_adapter_is_refused(tmp_path):
    model = adapted()
    model.base_model.model.model.layers[0].self_attn.q_proj.base_layer.weight.requires_grad_(True)
    with pytest.raises(InputError, match="is trained in two ways at once"), capture(model, tmp_path / "run"):
        pass


def test_weights_that_an_evaluation_packed_for_inference_are_said(tmp_path, capsys):
    """No gradient goes through them any more, and bitsandbytes says nothing."""

    def pack(model):
        frozen = next(p for p in model.parameters() if not p.requires_grad)
        frozen.quant_state = SimpleNamespace(packing_format_for_cpu=True)

    run, _ = train(adapted(), tmp_path / "run", {2: pack})
    (note,) = run.info.notes
    assert note.startswith("at step 2, 1 frozen weights of bitsandbytes are packed for a kernel that has no gradient")
    assert "support_avx512bf16_for_cpu = False" in capsys.readouterr().err and run.steps == [0, 1, 2, 3, 4]
