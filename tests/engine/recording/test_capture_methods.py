"""Every method that the installed PEFT offers: its captured change put into the base answers as the adapter does.

See `tests.engine.peft_methods` for the methods.
"""

import copy

import numpy as np
import peft
import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import AutoModelForCausalLM

from engine.inspect.diagnose import diagnose
from glasstune import InputError, Run, capture
from tests.engine.peft_methods import FOLLOWED, OF_INPUT, ROWS, UNMERGEABLE, config_of, logits, steps_of
from tests.engine.run.test_adapter_methods import METHODS, Net, biased
from tests.engine.small import small_model

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::RuntimeWarning")


def train(model, out, answer, **options):
    with capture(model, out, every=1, total=3, say=False, **options) as recorder:
        for loss in steps_of(model, answer):
            recorder.step(loss=loss)
    assert recorder.run.steps == [0, 1, 2, 3]
    return recorder.run


@torch.no_grad()
def put_in(base, run):
    """The base, each captured change added to the parameter that the Run names."""
    weights = dict(base.named_parameters())
    for module, about in run.info.modules.items():
        change = torch.from_numpy(np.ascontiguousarray(run.delta(module)))
        weights[about.in_base] += change.T if about.transposed else change
    return base.eval()


def check(make, config, out, answer):
    """The captured change is what merging does to every weight, and does to the answers what the adapter does."""

    def build():
        torch.manual_seed(0)
        base = make()
        return base, peft.get_peft_model(copy.deepcopy(base), config)

    base, model = build()
    run = train(model, out, answer)
    _, plain = build()
    for _ in steps_of(plain, answer):
        pass
    for one, other in zip(plain.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(one, other), "capturing changes the training"
    before, after = base.state_dict(), copy.deepcopy(model).merge_and_unload().state_dict()
    captured = {about.in_base: module for module, about in run.info.modules.items()}
    for name, value in before.items():
        difference = (after[name] - value).numpy()
        found = run.delta(captured[name]) if name in captured else np.zeros_like(difference)
        found = found.T if name in captured and run.info.modules[captured[name]].transposed else found
        np.testing.assert_allclose(found, difference, rtol=0, atol=1e-6 + 1e-5 * np.abs(difference).max())
    assert max(np.abs(run.delta(module)).max() for module in run.info.modules) > 1e-4
    wanted, unchanged = answer(model.eval()).detach(), answer(base.eval()).detach()
    moved = float((wanted - unchanged).abs().max())
    found = answer(put_in(base, run)).detach()
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6 + 1e-3 * moved)
    for module in run.modules:
        assert run.norms.loc[3, module] == pytest.approx(np.linalg.norm(run.delta(module)), rel=1e-4)
    return run


@pytest.mark.parametrize("kind", FOLLOWED)
def test_the_captured_change_does_what_the_adapter_does(kind, tmp_path):
    run = check(small_model, config_of(kind), tmp_path / "run", logits)
    assert len(run.info.modules) == {"TRAINABLE_TOKENS": 1, "LN_TUNING": 2}.get(kind, 6)
    assert run.method == ("lora" if kind == "LORA" else kind.lower() if kind != ROWS else "partial")
    assert run.info.model.parameters == small_model().num_parameters()
    assert {finding.level for finding in diagnose(run)} <= {"fine"}, diagnose(run)


class Layers(Net):
    """One of each kind of layer, in use."""

    def __init__(self):
        super().__init__()
        self.grouped = nn.Conv2d(4, 6, 3, groups=2)
        self.norm = nn.LayerNorm(16)

    def forward(self, x):
        flat, _ = self.attention(x, x, x)
        whole = self.linear(self.norm(flat)).sum()
        for layer, size in ((self.conv1, (8,)), (self.conv2, (4, 4)), (self.grouped, (4, 4)), (self.point, (4, 4)),
                            (self.conv3, (2, 2, 2))):  # fmt: skip
            whole = whole + layer(x.reshape(-1, 4, *size)).square().mean()
        return flat + whole


def layered(model):
    return model(torch.linspace(-1, 1, 512).sin().reshape(4, 8, 16))


CONVOLUTIONS = ["conv1", "conv2", "conv3", "point"]
BUILT = {
    **{f"shown merged: {name}": (make, config) for name, (make, config) in METHODS.items() if make is not Net},
    "convolutions": (Layers, peft.LoraConfig(r=2, target_modules=CONVOLUTIONS)),
    "DoRA on convolutions": (Layers, peft.LoraConfig(r=2, target_modules=["conv1", "conv2", "linear"], use_dora=True)),
    "attention in one": (Layers, peft.LoraConfig(r=2, target_modules=["attention", "linear"])),
    "LoHa on convolutions": (Layers, peft.LoHaConfig(r=2, target_modules=["conv1", "conv2", "point"])),
    "LoHa on convolutions, effective": (Layers, peft.LoHaConfig(r=2, target_modules=["conv2"], use_effective_conv2d=True)),
    "LoKr on convolutions": (Layers, peft.LoKrConfig(r=2, target_modules=["conv1", "conv2", "point", "linear"])),
    "OFT on a convolution": (Layers, peft.OFTConfig(r=0, oft_block_size=4, target_modules=["point", "linear"])),
    "BOFT on a convolution": (Layers, peft.BOFTConfig(boft_block_size=2, target_modules=["conv2", "linear"])),
    "HRA on a convolution": (Layers, peft.HRAConfig(r=2, target_modules=["conv2", "linear"])),
    "IA3 on a convolution": (Layers, peft.IA3Config(target_modules=["conv2", "linear"], feedforward_modules=["linear"])),
    "norms and their biases": (Layers, peft.LNTuningConfig(target_modules=["norm"])),
    "a whole layer beside": (Layers, peft.LoHaConfig(r=2, target_modules=["conv2"], modules_to_save=["linear"])),
    "biases beside": (lambda: biased("bert"), peft.BOFTConfig(boft_block_size=4, target_modules=["query"], bias="all")),
    "QA-LoRA": (small_model, peft.LoraConfig(r=4, target_modules=["q_proj"], use_qalora=True, qalora_group_size=8)),
    "PiSSA": (small_model, peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights="pissa")),
    "bias tuning": (lambda: biased("bert"), peft.BeftConfig(target_modules=["query", "value"])),
}  # fmt: skip


@pytest.mark.parametrize("name", BUILT)
def test_the_captured_change_of_every_kind_of_layer(name, tmp_path):
    make, config = BUILT[name]
    run = check(make, config, tmp_path / "run", layered if make is Layers else logits)
    assert run.info.model.parameters == sum(p.numel() for p in make().parameters())


def test_a_base_in_sixteen_bits_hides_nothing_of_the_change(tmp_path):
    """Merging in bfloat16 would round most of it away."""
    base = small_model().bfloat16()
    model = peft.get_peft_model(copy.deepcopy(base), peft.LoHaConfig(r=2, target_modules=["q_proj"]))
    run = train(model, tmp_path / "run", logits)
    for module in run.modules:
        layer = model.get_submodule(f"base_model.model.{module}")
        np.testing.assert_allclose(run.delta(module), layer.get_delta_weight("default").detach().numpy(), atol=1e-6)


def test_a_training_that_goes_on_has_the_same_changes(tmp_path):
    for name in ("whole", "parts"):
        model = peft.get_peft_model(small_model(), config_of("BOFT"))
        steps, every = steps_of(model, logits, 4), {"every": 1, "total": 4, "say": False}
        for resumed, until in [(0, 4)] if name == "whole" else [(0, 2), (2, 4)]:
            with capture(model, tmp_path / name, resumed=resumed, **every) as recorder:
                for _ in range(until - resumed):
                    recorder.step(loss=next(steps))
    one, two = (Run.load(tmp_path / name) for name in ("whole", "parts"))
    for module in one.modules:
        np.testing.assert_array_equal(one.delta(module, 4), two.delta(module, 4))


def test_a_summary_of_what_is_computed(tmp_path):
    exact = train(peft.get_peft_model(small_model(), config_of("LOHA")), tmp_path / "exact", logits)
    short = train(peft.get_peft_model(small_model(), config_of("LOHA")), tmp_path / "short", logits, budget=25_000)
    module = exact.modules[0]
    assert short.is_sketched(module)
    assert short.sketch(module).norm == pytest.approx(exact.norm(module), rel=1e-4)


def test_an_adapter_that_is_merged_meanwhile_ends_the_capture(tmp_path):
    model = peft.get_peft_model(small_model(), config_of("HRA"))
    with capture(model, tmp_path / "run", every=1, total=3, say=False) as recorder:
        for loss in steps_of(model, logits, 2):
            recorder.step(loss=loss)
        model.merge_adapter()
        recorder.step()
    assert recorder.run.status == "incomplete" and "merged adapters" in recorder.run.info.why
    with pytest.raises(InputError, match="is merged into W"), capture(model, tmp_path / "again", say=False):
        pass


@pytest.mark.parametrize("config, says", [
    (peft.LoraConfig(r=2, target_modules=["grouped"]), "cannot be merged into W.*groups"),
    (peft.OFTConfig(r=0, oft_block_size=4, target_modules=["conv2"]), "trains another thing"),
])  # fmt: skip
def test_convolutions_that_peft_does_not_merge_truly(config, says, tmp_path):
    with (
        pytest.raises(InputError, match=says),
        capture(peft.get_peft_model(Layers(), config), tmp_path / "run", say=False),
    ):
        pass


def test_over_a_quantised_weight_it_is_refused(tmp_path):
    model = peft.get_peft_model(small_model(), config_of("HRA"))
    layer = next(module for module in model.modules() if isinstance(module, BaseTunerLayer))
    layer.get_base_layer().weight = nn.Parameter(torch.zeros(512, 1, dtype=torch.uint8), requires_grad=False)
    with pytest.raises(InputError, match="over a quantised weight"), capture(model, tmp_path / "run", say=False):
        pass


@pytest.mark.parametrize("kind", sorted(UNMERGEABLE | OF_INPUT))
def test_what_has_no_delta_is_named(kind, tmp_path):
    if kind == "XLORA":  # a gate over adapters that are there
        peft.get_peft_model(small_model(), config_of("LORA")).save_pretrained(tmp_path / "one")
        small_model().save_pretrained(tmp_path / "base")
        config = peft.XLoraConfig(task_type="CAUSAL_LM", hidden_size=32, adapters={"0": str(tmp_path / "one")})
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "base", use_cache=False)
        model.config.use_cache = False
        model = peft.get_peft_model(model, config)
    else:
        model = peft.get_peft_model(small_model(), config_of(kind))
    with pytest.raises(InputError, match=f"(?i){kind if kind not in UNMERGEABLE else 'cannot be merged'}") as refusal:
        train(model, tmp_path / "run", logits)
    assert "\n" not in str(refusal.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["BOFT", "HRA", "IA3", "LOHA", "OFT", "ROAD"])
def test_an_adapter_that_did_nothing_changed_nothing(kind, tmp_path):
    model = peft.get_peft_model(small_model(), config_of(kind))
    with capture(model, tmp_path / "run", every=1, total=1, say=False) as recorder:
        recorder.step(loss=1.0)
    assert not recorder.run.norms.to_numpy().any()
    assert "fault" in {finding.level for finding in diagnose(recorder.run)}
