"""Prompt methods change no weight: what is captured is how far the vectors moved that stand before the text."""

import copy

import numpy as np
import peft
import pytest
import torch
from peft import get_peft_model_state_dict
from transformers import Trainer, TrainingArguments

from engine.inspect.diagnose import diagnose
from glasstune import CaptureCallback, InputError, Run, capture
from tests.engine.peft_methods import PROMPTS, TOKENS, config_of, steps_of
from tests.engine.small import small_model

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
VECTORS = sorted(PROMPTS - {"ADAPTION_PROMPT"})  # the others' are in every layer's attention


def answer(model):
    task = (
        {"task_ids": torch.zeros(4, dtype=torch.long)} if model.active_peft_config.peft_type.startswith("MULTI") else {}
    )
    return model(input_ids=TOKENS, **task).logits


def build(kind, **options):
    torch.manual_seed(0)
    return peft.get_peft_model(small_model(), config_of(kind, **options))


def saved(model):
    return get_peft_model_state_dict(copy.deepcopy(model))["prompt_embeddings"].detach().clone().numpy()


MORE = {
    "PREFIX_TUNING": {"prefix_projection": True, "encoder_hidden_size": 16},
    "P_TUNING": {"encoder_reparameterization_type": "LSTM"},
}


@pytest.mark.parametrize("kind, options", [(kind, {}) for kind in VECTORS] + [*MORE.items()])
def test_a_captured_prompt_is_what_peft_saves_at_every_step(kind, options, tmp_path):
    model, plain = build(kind, **options), build(kind, **options)
    wanted = [saved(model)]
    with capture(model, tmp_path / "run", every=1, total=3, say=False) as recorder:
        for loss in steps_of(model, answer):
            recorder.step(loss=loss)
            wanted.append(saved(model))
    for _ in steps_of(plain, answer):
        pass
    for one, other in zip(plain.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(one, other), "capturing changes the training"
    run = Run.load(tmp_path / "run")
    np.testing.assert_allclose(run.weight("prompt"), wanted[0], atol=1e-7)
    for step in run.steps:
        np.testing.assert_allclose(run.delta("prompt", step), wanted[step] - wanted[0], atol=1e-6)
        assert run.norms.loc[step, "prompt"] == pytest.approx(np.linalg.norm(wanted[step] - wanted[0]), abs=1e-5)
    assert np.abs(run.delta("prompt")).max() > 1e-3
    assert run.method == kind.lower() and run.info.model.parameters == small_model().num_parameters()
    assert set(run.info.modules) - {"prompt", "prompt_encoder.default.prefix_task_cols",
                                    "prompt_encoder.default.prefix_task_rows"} == set()  # fmt: skip
    assert {finding.level for finding in diagnose(run)} == {"fine"}


def test_adaption_prompts_are_captured_in_the_layers_where_they_act(tmp_path):
    model = build("ADAPTION_PROMPT")
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    with capture(model, tmp_path / "run", every=1, total=3, say=False) as recorder:
        for loss in steps_of(model, answer):
            recorder.step(loss=loss)
    run, after = recorder.run, dict(model.named_parameters())
    assert run.method == "adaption_prompt" and run.info.model.parameters == small_model().num_parameters()
    assert sorted(run.info.modules) == [f"model.layers.1.self_attn.adaption_{part}" for part in ("gate", "prompt")]
    for module in run.info.modules:
        name = next(name for name in before if name.endswith(module.rpartition(".")[2]))
        np.testing.assert_allclose(run.delta(module), (after[name] - before[name]).detach().numpy(), atol=1e-7)


@pytest.mark.parametrize("kind", sorted(PROMPTS))
def test_a_prompt_that_was_not_trained_is_a_fault(kind, tmp_path):
    model = build(kind)
    with capture(model, tmp_path / "run", every=1, total=1, say=False) as recorder:
        recorder.step(loss=1.0)
    assert not recorder.run.norms.to_numpy().any()
    assert "the prompt is as it began" in diagnose(recorder.run)[0].what


def test_in_a_trainer(tmp_path):
    model = build("PROMPT_TUNING")
    start = saved(model)
    rows = [{"input_ids": row.tolist(), "labels": row.tolist()} for row in TOKENS]
    settings = TrainingArguments(str(tmp_path / "out"), max_steps=4, learning_rate=0.1, report_to=[], use_cpu=True,
                                 save_strategy="no", disable_tqdm=True)  # fmt: skip
    Trainer(
        model, settings, train_dataset=rows, callbacks=[CaptureCallback(tmp_path / "run", every=2, say=False)]
    ).train()
    run = Run.load(tmp_path / "run")
    assert run.steps == [0, 2, 4]
    np.testing.assert_allclose(run.delta("prompt"), saved(model) - start, atol=1e-6)


def test_a_head_that_is_trained_beside_the_prompt_is_captured_too(tmp_path):
    torch.manual_seed(0)
    model = peft.get_peft_model(small_model("bert"), peft.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=3))
    with capture(model, tmp_path / "run", every=1, total=3, say=False) as recorder:
        for loss in steps_of(model, lambda model: model(input_ids=TOKENS).logits):
            recorder.step(loss=loss)
    assert sorted(recorder.run.info.modules) == ["classifier", "classifier.bias", "prompt"]
    assert (recorder.run.norms.iloc[-1] > 0).all()


def test_one_that_is_sharded_is_refused_by_a_sentence(tmp_path):
    model = build("PROMPT_TUNING")
    next(model.prompt_encoder.parameters()).ds_id = 1
    with pytest.raises(InputError, match="sharded over processes"), capture(model, tmp_path / "run", say=False):
        pass
