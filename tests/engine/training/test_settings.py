"""What finetune is told: anything of the Trainer's, the precision, one model under two names, a run made anew."""

import json

import numpy as np
import pytest
import torch
from transformers import TrainingArguments

from engine.data import Conversations, load
from engine.run.base import EMBEDDED_FOLDER
from engine.training import trainer as trainers
from engine.training.arguments import OURS, training_arguments
from engine.training.prepare import prepare
from engine.training.request import Request
from engine.training.settings import Settings
from engine.training.trainer import _flat, _nested, make_trainer
from glasstune import CaptureCallback, Full, InputError, LoRA, Run, capture, finetune
from tests.engine.small import BRIEF

SHORT = {**BRIEF, "batch_size": 4, "every": 1, "save": False}


@pytest.mark.parametrize(
    "trainer, said",
    [
        ({"max_steps": 5}, r"trainer=\{'max_steps': 5\} contradicts what finetune sets itself; give steps="),
        ({"bf16": True}, "give dtype="),
        ({"eval_strategy": "steps"}, "give evaluate_at="),
        ({"lr_schedular_type": "cosine"}, r"is no argument of TrainingArguments; did you mean lr_scheduler_type\?"),
        ({"lr_scheduler_type": "cosinus"}, "TrainingArguments refuses this"),
        ({"lr_scheduler_type": "reduce_lr_on_plateau"}, "which finetune does not make"),
        ({"adam_beta1": {1}}, "cannot be recorded"),
    ],
)
def test_what_the_trainer_cannot_take_is_one_sentence(trainer, said, tmp_path):
    with pytest.raises(InputError, match=said) as caught:
        finetune("embedded", "spanish", "lora", out=tmp_path / "run", steps=1, trainer=trainer, **SHORT)
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_what_does_not_contradict_is_passed_on(tmp_path):
    given = {"seed": 3, "adam_beta2": 0.9, "optim": "sgd", "logging_steps": 2}
    arguments = training_arguments(Settings(seed=3, learning_rate=1.0, steps=1, trainer=given), str(tmp_path), None)
    assert all(getattr(arguments, name) == value for name, value in given.items())
    assert set(OURS.values()) <= set(Request.__dataclass_fields__)


def test_a_scheduler_and_an_optimizer_of_ones_own_checkpoints_too(tmp_path):
    run = finetune("embedded", "spanish", "lora", out=tmp_path / "run", steps=5, warmup=0.0, checkpoint=2, learning_rate=1e-2,
                   trainer={"lr_scheduler_type": "cosine", "optim": "sgd"}, **SHORT)  # fmt: skip
    cosine = [1e-2 * (1 + np.cos(np.pi * step / 5)) / 2 for step in range(5)]
    np.testing.assert_allclose(run.metrics.learning_rate, cosine, rtol=1e-6)


@pytest.mark.parametrize("optim", ["adamw_8bit", "adafactor", "sgd"])
def test_an_optimizer_of_any_kind_goes_on_from_its_checkpoint(optim, tmp_path, monkeypatch):
    """bitsandbytes' hides its state in a dictionary, and shares some of it; Adafactor counts steps in plain numbers."""
    told = {"steps": 4, "checkpoint": 2, "learning_rate": 1e-2, "trainer": {"optim": optim}, **SHORT}
    method = LoRA(r=16, target_modules=["gate_proj", "q_proj"])  # of which bitsandbytes keeps the larger in eight bits
    whole = finetune("embedded", "spanish", method, out=tmp_path / "whole", **told)
    step = CaptureCallback.on_step_end

    def stop(self, args, state, control, **kwargs):
        step(self, args, state, control, **kwargs)
        if state.global_step == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CaptureCallback, "on_step_end", stop)
        with pytest.raises(KeyboardInterrupt):
            finetune("embedded", "spanish", method, out=tmp_path / "run", **told)
    again = finetune("embedded", "spanish", method, out=tmp_path / "run", resume=True, **told)
    assert again.info.raw["resumed"] == [2] and again.metrics.loss.tolist() == whole.metrics.loss.tolist()
    for module in whole.modules:
        assert np.array_equal(again.delta(module), whole.delta(module))


def test_an_optimizers_state_is_what_it_was():
    shared = torch.arange(3.0)
    state = {0: {"step": 7, "hidden": {"one": shared, "two": shared.view(3, 1)}, "none": None}, 2: {"m": torch.ones(2)}}
    tensors, numbers = _flat(state)
    assert numbers == {"0.step": 7} and set(tensors) == {"0.hidden.one", "0.hidden.two", "2.m"}
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors.values()}) == 3, "a file takes no shared ones"
    again = _nested({**tensors, **numbers})
    assert again.keys() == {0, 2} and again[0]["step"] == 7 and torch.equal(again[0]["hidden"]["two"][:, 0], shared)
    with pytest.raises(InputError, match="keeps as 'projector', a list; give checkpoint=None"):
        _flat({0: {"projector": [shared]}})
    turned = torch.arange(6.0).view(2, 3).T
    twice = _flat({0: {"one": turned, "two": turned}})[0]
    assert all(torch.equal(tensor, turned) and tensor.is_contiguous() for tensor in twice.values()), "nor strides"


@pytest.mark.parametrize("rows, batch, accumulation, epochs, steps", [
    (100, 32, 1, 3, 12), (100, 32, 2, 3, 6), (100, 32, 3, 1, 2), (5, 8, 4, 2, 2), (96, 32, 1, 0.5, 2),
])  # fmt: skip
def test_the_steps_of_some_epochs_are_those_that_the_trainer_takes(rows, batch, accumulation, epochs, steps, tmp_path):
    data = [{"prompt": f"Ask {n}", "completion": "yes"} for n in range(rows)]
    told = {"epochs": epochs, "batch_size": batch, "accumulation": accumulation, "skills": 0}
    whole = Conversations("mine", load(data).train, load(data[:1]).train)
    prepared = prepare(Request("embedded", whole, LoRA(r=1), out=tmp_path / "run", **told))
    trainer = make_trainer(prepared.model(), prepared.rows, 0, prepared.settings, str(tmp_path), [])
    assert (
        prepared.steps == trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())[-1] == steps
    )


@pytest.mark.parametrize("dtype, weights", [("bfloat16", torch.bfloat16), ("bfloat16-autocast", torch.float32)])
def test_the_precision_is_the_one_asked_for(dtype, weights, tmp_path):
    told = Request("embedded", "spanish", Full(), out=tmp_path / "run", steps=1, dtype=dtype, **SHORT)
    assert {p.dtype for p in prepare(told).model().parameters()} == {weights}
    lora = prepare(Request("embedded", "spanish", "lora", out=tmp_path / "run", dtype=dtype, **SHORT)).model()
    assert {p.dtype for p in lora.parameters() if p.requires_grad} == {torch.float32}
    plain = finetune("embedded", "spanish", "lora", out=tmp_path / "plain", steps=1, **SHORT)
    run = finetune("embedded", "spanish", "lora", out=tmp_path / "run", steps=1, dtype=dtype, **SHORT)
    first, other = plain.metrics.loss.iloc[0], run.metrics.loss.iloc[0]
    assert first != other and first == pytest.approx(other, rel=0.02) and run.info.raw["settings"]["dtype"] == dtype


def test_gradient_checkpointing_changes_nothing_but_memory(tmp_path):
    runs = [
        finetune("embedded", "spanish", LoRA(r=2), out=tmp_path / str(on), steps=2, gradient_checkpointing=on, **SHORT)
        for on in (False, True)
    ]
    for module in runs[0].modules:
        np.testing.assert_allclose(runs[1].delta(module), runs[0].delta(module), atol=1e-6)
    settings = Settings(learning_rate=1.0, steps=1, gradient_checkpointing=True)
    assert training_arguments(settings, str(tmp_path), None).gradient_checkpointing is True
    assert isinstance(TrainingArguments(str(tmp_path)).gradient_checkpointing, bool)


def test_embedded_and_its_folder_are_one_model(tmp_path, base):
    by_name, by_path = (
        prepare(Request(name, "spanish", "lora", out=tmp_path / "run")) for name in ("embedded", EMBEDDED_FOLDER)
    )
    assert by_name.settings == by_path.settings and by_name.skills == by_path.skills == 20
    assert by_path.source == "embedded"
    with capture(base, tmp_path / "loop", say=False) as recorder:
        recorder.step()
    assert recorder.run is not None and recorder.run.info.model.source == "embedded"


def test_a_cell_run_twice_overwrites_what_is_ours_and_nothing_else(tmp_path):
    def cell(**options) -> Run:
        return finetune("embedded", "spanish", LoRA(r=2), out=tmp_path / "run", steps=1, **SHORT, **options)

    first = cell(overwrite=True).info.created
    with pytest.raises(InputError, match=r"already holds another run; .*overwrite=True"):
        cell()
    assert cell(overwrite=True).steps == [0, 1] and first
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    kept = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="no task and no file"):  # a mistake costs nothing
        finetune("embedded", "klingon", out=tmp_path / "run", overwrite=True)
    with pytest.raises(InputError, match="LoRA found nothing to adapt"):
        finetune("embedded", "spanish", LoRA(target_modules=["nope"]), out=tmp_path / "run", overwrite=True, **SHORT)
    with pytest.raises(InputError, match="resume or overwrite, not both"):
        cell(overwrite=True, resume=True)
    assert sorted(tmp_path.rglob("*")) == kept
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"is not deleted: notes.txt in it is not a run's"):
        cell(overwrite=True)
    (tmp_path / "run" / "notes.txt").unlink()
    (tmp_path / "run" / "run.json").write_text("{}")
    with pytest.raises(InputError, match="was not written by Glasstune"):
        cell(overwrite=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="already holds other files"):
        finetune("embedded", "spanish", out=tmp_path / "other", overwrite=True, steps=1, **SHORT)
    assert (tmp_path / "other" / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("wrong, said", [
    ({"steps": "10"}, "steps is '10'; it must be a whole number"), ({"learning_rate": "1e-3"}, "it must be a number"),
    ({"dtype": "int8"}, "dtype is 'int8'; there are float32"), ({"mask_prompts": "no"}, "it must be True or False"),
    ({"trainer": [1]}, "give a dictionary"), ({"stepz": 3}, r"no setting called 'stepz'; did you mean steps\?"),
])  # fmt: skip
def test_what_is_of_the_wrong_kind_is_one_sentence(wrong, said, tmp_path):
    with pytest.raises(InputError, match=said):
        finetune("embedded", "spanish", "lora", out=tmp_path / "run", **wrong)


@pytest.mark.parametrize("then, here", [(2, 1), (1, 1), (1, 2), (3, 0), (0, 1)])
def test_random_states_are_set_on_as_many_gpus_as_there_are(then, here, monkeypatch, capsys):
    state = json.loads(json.dumps(trainers._random_state() | {"cuda": [[1, 2, 3]] * then}))
    set_on = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: here > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: here)
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", set_on.extend)
    trainers._set_random_state(state)
    assert len(set_on) == min(then, here)
    assert (f"with {then} GPUs, and goes on with {here}" in capsys.readouterr().err) is (then != here)
