"""What a capture is told wrongly is said at the call; what ends without a word leaves neither a running Run nor a lock."""

import copy
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from peft import LoHaConfig, LoraConfig, get_peft_model
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments

from engine.evaluate import Evaluation
from engine.models import load_model
from engine.recording.lock import is_held, lock, unlock
from engine.run.info import RunInfo
from glasstune import CaptureCallback, InputError, LoRA, Run, capture, finetune
from tests.engine.recording.test_capture import make
from tests.engine.recording.test_capture import trainer_of as language_trainer
from tests.engine.small import BRIEF


def loop(folder, **options):
    return capture(nn.Linear(8, 4), folder, every=1, total=3, say=False, **options)


@pytest.mark.parametrize("values, said", [
    ({"step": 3}, r"step\(step=...\): steps are counted by themselves"), ({"event": "eval"}, "counted by themselves"),
    ({"loss": None}, r"step\(loss=None\): that is no number"), ({"loss": "low"}, "that is no number"),
    ({"loss": 10**400}, "that is no number"), ({"loss": torch.ones(3)}, r"a tensor of shape \(3,\); give one number"),
    ({"loss": [1.0]}, "that is no number"), ({"loss": torch.ones(1, dtype=torch.complex64)}, "give one number"),
])  # fmt: skip
def test_what_a_step_cannot_say_is_said_at_the_call(values, said, tmp_path):
    with loop(tmp_path / "run") as recorder:
        recorder.step(loss=1.0)
        with pytest.raises(InputError, match=said):
            recorder.step(**values)
        recorder.step(loss=torch.tensor([0.5]), learning_rate=np.float32(0.25))
    assert recorder.run.metrics.loss.to_dict() == {1: 1.0, 2: 0.5}, "the step that could not be written was none"
    assert recorder.run.status == "finished"


@pytest.mark.parametrize("where", ["the command", "the base", "the info", "a metric", "the folder"])
def test_a_name_that_is_no_utf_8_ends_no_capture(where, tmp_path, monkeypatch):
    """An old disk has such names. No file can hold them: their escape is written, and it can be read again."""
    named, escape = os.fsdecode(b"b\xff"), "b\\udcff"
    out, told, values = tmp_path / "run", {}, {"loss": 1.0}
    if where == "the command":
        monkeypatch.setattr(sys, "argv", ["train.py", named])
    elif where == "the folder":
        out = tmp_path / named
    elif where == "the base":
        told["source"] = named
    elif where == "the info":
        told["info"] = {"data": {"name": named}}
    else:
        values[named] = 0.5
    with loop(out, **told) as recorder:
        recorder.step(**values)
    run = Run.load(out)
    assert (run.status, run.info.why, run.steps) == ("finished", None, [0, 1])
    assert run.info.raw["command"].count(escape) == (where == "the command")
    assert (run.info.model.source == escape) == (where == "the base")
    assert (run.task == escape) == (where == "the info") and (escape in run.metrics) == (where == "a metric")


@pytest.mark.parametrize("options, said", [
    ({"overwrite": "no"}, "overwrite is 'no'; it must be True or False"), ({"total": 3.0}, "total is 3.0; it must be a whole"),
    ({"evaluation_share": "x"}, "must be a number"), ({"modules": 7}, "give patterns of names"), ({"probes": "all"}, "whole"),
    ({"say": 1}, "True or False"), ({"must_capture": None}, "True or False"), ({"evaluation_share": 2.0}, "at most 1"),
])  # fmt: skip
def test_an_option_of_the_wrong_kind_is_said_at_the_call_and_deletes_nothing(options, said, tmp_path):
    if options.keys() <= {"overwrite", "total", "evaluation_share", "modules"}:
        with loop(tmp_path / "run") as recorder:
            recorder.step(loss=1.0)
        with pytest.raises(InputError, match=said):
            capture(nn.Linear(8, 4), tmp_path / "run", **options)
        assert Run.load(tmp_path / "run").steps == [0, 1]
    if "total" not in options:
        with pytest.raises(InputError, match=said):
            CaptureCallback(tmp_path / "run", **options)


class Names(TrainerCallback):
    """Of somebody else, called before: it logs what it likes."""

    def on_log(self, args, state, control, logs=None, **kwargs):
        logs.update(dict.fromkeys(NAMES, 7.5))


NAMES = ("step", "event", "norms", "answer", "exact", "measured", "graded", "skill")


def test_whatever_a_logged_value_is_called_the_run_opens(tmp_path):
    with loop(tmp_path / "run") as recorder:
        recorder.step(loss=1.0, **dict.fromkeys(NAMES[2:], 7.5))
    assert recorder.run.metrics[list(NAMES[2:])].to_numpy().tolist() == [[7.5] * 6]
    capture = CaptureCallback(tmp_path / "trained", every=1, say=False)
    trainer_of(tmp_path / "out", Names(), capture, logging_steps=1).train()
    assert capture.run.metrics.index.tolist() == [1, 2, 3, 4] and set(capture.run.metrics.logs_step) == {7.5}


class Closed:
    def write(self, text):
        raise OSError(5, "Input/output error")

    flush = write


def test_an_error_stream_that_is_gone_ends_no_training(tmp_path, monkeypatch):
    model, done = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2).requires_grad_(False)), []
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    monkeypatch.setattr(sys, "stderr", Closed())
    with capture(model, tmp_path / "run", every=1, total=3) as recorder:
        for step in range(3):
            model(torch.ones(8)).sum().backward()
            model[1].requires_grad_(True)  # of which there is something to say
            optimizer.step()
            if step == 1:
                (tmp_path / "run" / "metrics.jsonl").unlink()  # from here on nothing can be written
            recorder.step(loss=1.0)
            done.append(step)
    assert done == [0, 1, 2] and recorder.run.modules == ["0", "1"] and "deleted" in recorder.run.info.why


@pytest.mark.parametrize("info", [
    *({name: "mine"} for name in ("format", "version", "modules", "capture", "id", "status", "why", "found")),
    {"data": {"name": 7}}, {"method": "lora"}, {"method": {"name": "lora", "target_modules": {"a": 1}}}, {"model": [1]},
    {"mine": object()}, {"mine": {1, 2}}, {3: "mine"}, ["mine"], {"seed": b"x"},
])  # fmt: skip
def test_an_info_that_nobody_could_read_is_refused_before_anything_is_written(info, tmp_path):
    with pytest.raises(InputError, match="info"), loop(tmp_path / "run", info=info):
        pass
    assert not (tmp_path / "run").exists()


def test_an_info_of_ones_own_is_kept(tmp_path):
    with loop(tmp_path / "run", info={"data": {"name": "mine"}, "why_i_did_it": ["because"]}) as recorder:
        recorder.step(loss=1.0)
    assert recorder.run.task == "mine" and recorder.run.info.raw["why_i_did_it"] == ["because"]
    assert "raw" in RunInfo.__struct_fields__


def test_a_training_may_change_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    with capture(nn.Linear(8, 4), "loop", every=1, say=False) as recorder:
        os.chdir("elsewhere")
        recorder.step(loss=1.0)
    assert recorder.run.steps == [0, 1] and Run.load(tmp_path / "loop").metrics.loss.tolist() == [1.0]

    class Wanders(LoRA):
        def prepare(self, *args, **kwargs):
            os.chdir(tmp_path / "elsewhere")
            return super().prepare(*args, **kwargs)

    os.chdir(tmp_path)
    run = finetune("embedded", "spanish", Wanders(r=2), out="tuned", steps=2, skills=0, batch_size=2, progress=False)
    assert (tmp_path / "tuned" / "adapter").is_dir() and run.steps == [0, 1, 2]
    assert not any((tmp_path / "elsewhere").iterdir())


class Fails(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 2:
            raise RuntimeError("out of memory, say")


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x, labels):
        return {"loss": nn.functional.cross_entropy(self.linear(x), labels)}


def trainer_of(folder, *callbacks, **more):
    rows = [{"x": torch.randn(4), "labels": torch.tensor(n % 2)} for n in range(8)]
    options = {
        "max_steps": 4,
        "per_device_train_batch_size": 2,
        "report_to": [],
        "save_strategy": "no",
        "use_cpu": True,
        **more,
    }
    return Trainer(Classifier(), TrainingArguments(str(folder), disable_tqdm=True, **options), train_dataset=rows,
                   callbacks=list(callbacks))  # fmt: skip


def test_a_training_that_fails_leaves_neither_a_running_run_nor_a_lock(tmp_path):
    trainer = trainer_of(tmp_path / "out", CaptureCallback(tmp_path / "run", every=1, say=False), Fails())
    with pytest.raises(RuntimeError, match="out of memory, say"):
        trainer.train()
    run = Run.load(tmp_path / "run")
    assert run.status == "stopped" and run.steps == [0, 1, 2]
    assert not (tmp_path / "run" / "run.lock").exists()
    again = trainer_of(tmp_path / "out", CaptureCallback(tmp_path / "run", every=1, say=False, overwrite=True))
    again.train()
    assert Run.load(tmp_path / "run").status == "finished"


def test_a_callback_that_was_added_later_closes_its_run_too(tmp_path):
    """In its own train() it can only watch the steps; a later train() is watched whole, as of one given at once."""
    trainer = trainer_of(tmp_path / "out")
    trainer.add_callback(CaptureCallback(tmp_path / "run", every=1, say=False))
    loss = trainer.compute_loss

    def fails(*args, **kwargs):
        if trainer.state.global_step == 2:
            raise RuntimeError("out of memory, say")
        return loss(*args, **kwargs)

    trainer.compute_loss = fails
    with pytest.raises(RuntimeError, match="out of memory, say"):
        trainer.train()
    run = Run.load(tmp_path / "run")
    assert run.status == "stopped" and run.steps == [0, 1, 2]
    assert not (tmp_path / "run" / "run.lock").exists()


LEAVES = """
import sys, torch
from engine.recording.callback import capture
block = capture(torch.nn.Linear(8, 4), sys.argv[1], every=1, say=False)
recorder = block.__enter__()
recorder.step(loss=1.0)
raise SystemExit("an error nobody caught")
"""


def test_a_program_that_ends_in_mid_capture_closes_it(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LEAVES, str(tmp_path / "run")], capture_output=True, text=True
    )
    assert done.returncode == 1 and "an error nobody caught" in done.stderr
    run = Run.load(tmp_path / "run")
    assert run.status == "stopped" and run.metrics.loss.tolist() == [1.0]


def test_a_run_that_was_killed_before_it_had_a_name_can_be_begun_again(tmp_path):
    options = {**BRIEF, "out": tmp_path / "run", "steps": 2, "batch_size": 2}
    (tmp_path / "run" / "captures").mkdir(parents=True)
    for name in ("run.lock", "metrics.jsonl", "answers.jsonl", "norms.jsonl"):
        (tmp_path / "run" / name).touch()
    (tmp_path / "run" / "run.json.part").write_text('{"format"')
    held = lock(tmp_path / "run")
    with pytest.raises(InputError, match="being written by another process"):
        finetune("embedded", "spanish", LoRA(r=2), **options)
    unlock(tmp_path / "run", held)
    (tmp_path / "run" / "metrics.jsonl").write_text("mine")
    for resume in (False, True):
        with pytest.raises(InputError, match="already holds other files"):
            finetune("embedded", "spanish", LoRA(r=2), resume=resume, **options)
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == "mine"
    (tmp_path / "run" / "metrics.jsonl").write_text("")
    assert finetune("embedded", "spanish", LoRA(r=2), resume=True, **options).status == "finished"
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"


class Diverges(nn.Module):
    """Its loss is no number from its third forward pass on."""

    def __init__(self):
        super().__init__()
        self.weight, self.asked = nn.Parameter(torch.ones(3)), 0

    def forward(self, x, labels):
        self.asked += 1
        return {"loss": self.weight.sum() * (float("nan") if self.asked > 2 else 1.0)}


class Words(TrainerCallback):
    """Another callback's values in the logs, which are no numbers."""

    def on_log(self, args, state, control, logs, **kwargs):
        logs |= {"phase": "warm-up", "several": [1, 2]}


def test_a_loss_that_is_no_number_is_seen_as_it_is_under_the_trainers_own_defaults(tmp_path):
    """transformers logs the mean of the losses before in its place, unless it is told not to."""
    rows = [{"x": torch.randn(4), "labels": torch.tensor(0)} for _ in range(16)]
    capture = CaptureCallback(tmp_path / "run", every=1, say=False, stop_if_diverged=True)
    arguments = TrainingArguments(
        str(tmp_path / "out"), max_steps=6, per_device_train_batch_size=2, report_to=[], save_strategy="no",
        use_cpu=True, disable_tqdm=True, logging_steps=1, learning_rate=0.0,
    )  # fmt: skip
    assert arguments.logging_nan_inf_filter, "the default"
    Trainer(Diverges(), arguments, train_dataset=rows, callbacks=[Words(), capture]).train()
    run = capture.run
    assert run.status == "stopped" and run.metrics.loss.loc[[1, 2]].tolist() == [3.0, 3.0]
    assert list(run.metrics.index) == [1, 2, 3] and np.isnan(run.metrics.loss.loc[3])
    assert arguments.logging_nan_inf_filter, "it is the user's"


@pytest.mark.parametrize("users", [True, False])
@pytest.mark.parametrize("search", [True, False])
def test_the_trainers_filter_is_the_users_after_an_error_too(users, search, tmp_path):
    """Within a step that then has no end, alone or begun again with a smaller batch; and before there was a step."""
    options = {"auto_find_batch_size": search, "logging_nan_inf_filter": users, "per_device_train_batch_size": 4}
    captures = [CaptureCallback(tmp_path / name, every=1, say=False) for name in ("one", "two")]
    trainer = trainer_of(tmp_path / "out", *captures, **options)
    loss, seen = trainer.compute_loss, []

    def large(*args, **kwargs):
        seen.append(trainer.args.logging_nan_inf_filter)
        if len(seen) == 2:
            raise RuntimeError("CUDA out of memory.")
        return loss(*args, **kwargs)

    trainer.compute_loss = large
    if search:
        trainer.train()
    else:
        with pytest.raises(RuntimeError, match="out of memory"):
            trainer.train()
    assert len(seen) == (6 if search else 2) and not any(seen), "off in every step"
    assert trainer.args.logging_nan_inf_filter is users
    trainer = trainer_of(tmp_path / "out", captures[0], logging_nan_inf_filter=users)
    with pytest.raises(InputError):  # the folder holds a run: it fails as it begins
        trainer.train()
    assert trainer.args.logging_nan_inf_filter is users


def test_what_follows_a_loss_that_is_no_number_is_logged_as_it_is(tmp_path):
    """The Trainer takes its mean from what the last one left: NaN - NaN."""
    trainer = trainer_of(tmp_path / "out", capture := CaptureCallback(tmp_path / "run", every=1, say=False))
    trainer.args.logging_steps, trainer.args.learning_rate = 1, 0.0
    loss = trainer.compute_loss

    def once(*args, **kwargs):
        return loss(*args, **kwargs) + (float("nan") if trainer.state.global_step == 1 else 0.0)

    trainer.compute_loss = once
    trainer.train()
    assert np.isnan(capture.run.metrics.loss).tolist() == [False, True, False, False]


def test_the_users_tokenizer_stays_as_it_was(tmp_path, tokenizer):
    plain = copy.deepcopy(tokenizer)
    plain.chat_template = None
    model = load_model("embedded")
    rows = [{"input_ids": [1, 5, 6, 2], "labels": [1, 5, 6, 2]}] * 4
    capture = CaptureCallback(tmp_path / "run", every=1, say=False, probes=1)
    arguments = TrainingArguments(
        str(tmp_path / "out"), max_steps=1, per_device_train_batch_size=2, report_to=[], save_strategy="no",
        use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    Trainer(model, arguments, train_dataset=rows, processing_class=plain, callbacks=[capture]).train()
    assert any("probe" in name for name in capture.run.skill_losses), "it was probed"
    assert plain.chat_template is None


def test_an_orthogonal_start_is_no_earlier_training(tmp_path):
    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", init_lora_weights="orthogonal")
    model = get_peft_model(load_model("embedded"), config)
    assert all(layer.lora_B["default"].weight.any() for layer in model.modules() if hasattr(layer, "lora_B"))
    with capture(model, tmp_path / "new", every=1) as new:
        new.step(loss=1.0)
    assert not new.run.info.notes


def test_an_adapter_that_was_trained_before_is_said_to_be(tmp_path, capsys):
    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    with capture(get_peft_model(load_model("embedded"), config), tmp_path / "new", every=1) as new:
        new.step(loss=1.0)
    model = get_peft_model(load_model("embedded"), config)
    name, layer = next((name, layer) for name, layer in model.named_modules() if hasattr(layer, "lora_B"))
    with torch.no_grad():
        layer.lora_B["default"].weight.fill_(0.5)
    capsys.readouterr()
    with capture(model, tmp_path / "again", every=1) as again:
        again.step(loss=1.0)
    assert not new.run.info.notes
    (note,) = Run.load(tmp_path / "again").info.notes
    assert (
        note.startswith(f"1 of {len(again.run.modules)} adapted modules change W already")
        and note in capsys.readouterr().err
    )
    module = name.removeprefix("base_model.model.")
    whole = layer.get_delta_weight("default").detach().numpy()
    np.testing.assert_allclose(again.run.delta(module, 0), whole, atol=1e-6)


def test_one_of_several_adapters_that_was_trained_before_is_seen(tmp_path):
    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    for trained, notes in (("first", 1), ("second", 1), (None, 0)):
        model = get_peft_model(load_model("embedded"), config, "first")
        model.add_adapter("second", config)
        model.base_model.set_adapter(["first", "second"])
        layer = next(layer for layer in model.modules() if hasattr(layer, "lora_B"))
        if trained:
            torch.nn.init.constant_(layer.lora_B[trained].weight, 0.5)
        with capture(model, tmp_path / f"{trained}", every=1, say=False) as recorder:
            recorder.step(loss=1.0)
        assert len(recorder.run.info.notes) == notes
        assert all(note.startswith(f"1 of {len(recorder.run.modules)} adapted") for note in recorder.run.info.notes)


def test_an_adapter_that_is_no_b_a_and_was_trained_before_is_seen_too(tmp_path):
    """Whatever its tensors are called: by the change that PEFT itself makes of them."""
    config = LoHaConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    for trained, notes in ((True, 1), (False, 0)):
        model = get_peft_model(load_model("embedded"), config)
        layer = next(layer for layer in model.modules() if hasattr(layer, "hada_w2_b"))
        if trained:
            torch.nn.init.constant_(layer.hada_w2_b["default"], 0.5)
        with capture(model, tmp_path / f"{trained}", every=1, say=False) as recorder:
            recorder.step(loss=1.0)
        assert len(recorder.run.info.notes) == notes
        assert all(note.startswith(f"1 of {len(recorder.run.modules)} adapted") for note in recorder.run.info.notes)


class Asks:
    """An evaluator that wants the model itself, and leaves it in another mode."""

    def __call__(self, model):
        model.eval()
        return Evaluation({"vocabulary": model.config.vocab_size / 10_000}, {}, [])


def test_an_evaluator_is_given_the_model_without_its_wrapper_and_changes_no_mode(tmp_path):
    model = nn.DataParallel(load_model("embedded"))  # as DDP: it has no config
    model.train()
    frozen = model.module.model.layers[0].eval()
    with capture(model, tmp_path / "run", every=1, say=False, evaluator=Asks(), evaluate_at=2, total=1) as recorder:
        recorder.step(loss=1.0)
        assert model.training and not frozen.training
    assert recorder.run.skills.vocabulary.tolist() == [0.1536, 0.1536]


def test_home_is_written_out_where_a_run_is_written_as_where_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    with loop("~/runs/mine") as recorder:
        recorder.step(loss=1.0)
    assert Run.load("~/runs/mine").path == tmp_path / "home" / "runs" / "mine" and not (tmp_path / "~").exists()


def test_ctrl_c_while_a_run_begins_leaves_none_that_seems_to_run(tmp_path, monkeypatch):
    def interrupted(*_):
        patch.undo()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("engine.recording.recorder.Recorder.settle", interrupted)
        with pytest.raises(KeyboardInterrupt), loop(tmp_path / "run"):
            pass
    assert Run.load(tmp_path / "run").status == "stopped"
    with loop(tmp_path / "run", overwrite=True) as recorder:  # whose lock is free
        recorder.step(loss=1.0)


class Slow:
    """An evaluator that somebody has no patience with: the last answers."""

    calls = 0

    def __call__(self, model):
        self.calls += 1
        if self.calls > 1:
            raise KeyboardInterrupt
        return Evaluation({}, {}, [])


# Where Ctrl-C falls, once: the object and what of it is interrupted.
ENDS = {
    "the last evaluation": None,
    "the last step": "engine.recording.recorder.Recorder.step",
    "what is still written": "engine.recording.writer.Writer.wait",
    "the files": "engine.recording.recorder.Recorder._keep_record",
    "its last word": "engine.recording.recorder.write_json",
    "the lock": "engine.recording.recorder.unlock",
    "the log": "engine.recording.callback.LoopRecorder._log",
}


@pytest.mark.parametrize("where", ENDS)
def test_ctrl_c_while_a_run_ends_leaves_one_that_was_stopped(where, tmp_path, monkeypatch):
    """And nobody holds it, and what was captured is there."""

    def interrupted(*_, **__):
        patch.undo()
        raise KeyboardInterrupt

    options = {} if ENDS[where] else {"evaluator": Slow(), "evaluate_at": 1}
    with (
        monkeypatch.context() as patch,
        pytest.raises(KeyboardInterrupt),
        loop(tmp_path / "run", **options) as recorder,
    ):
        for _ in range(2):
            recorder.step(loss=1.0)
        recorder._recorder.settle()
        if ENDS[where]:
            patch.setattr(ENDS[where], interrupted)
    run = Run.load(tmp_path / "run")
    assert (run.status, run.info.why, run.steps, len(run.metrics)) == ("stopped", None, [0, 1, 2], 2)
    assert not is_held(run.path) and not list(run.path.rglob("*.part")) and run.norms.notna().all(axis=None)
    recorder._recorder._at_exit()  # what would be done at the program's end changes nothing
    assert Run.load(tmp_path / "run").info.raw == run.info.raw
    with loop(tmp_path / "run", overwrite=True) as recorder:
        recorder.step(loss=1.0)
    assert recorder.run.status == "finished"


@pytest.mark.parametrize("added", [False, True])
def test_ctrl_c_as_a_trainers_run_ends_leaves_one_that_was_stopped(added, tmp_path, monkeypatch):
    def interrupted(*_):
        patch.undo()
        raise KeyboardInterrupt

    callback = CaptureCallback(tmp_path / "run", every=1, say=False)
    trainer = language_trainer(tmp_path / "t", make(), TrainerCallback() if added else callback, steps=2)
    if added:  # then its train() is not watched
        trainer.add_callback(callback)
    with monkeypatch.context() as patch:
        patch.setattr("engine.recording.recorder.Recorder._keep_record", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trainer.train()
    run = Run.load(tmp_path / "run")
    assert (run.status, run.steps, list(run.metrics.index)) == ("stopped", [0, 1, 2], [1, 2]) and not is_held(run.path)


def test_an_error_as_a_run_ends_is_told_where_it_must_be_whole(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with (
        monkeypatch.context() as patch,
        pytest.raises(OSError, match="No space left"),
        loop(tmp_path / "run", must_capture=True) as recorder,
    ):
        recorder.step(loss=1.0)
        patch.setattr("engine.recording.writer.Writer.wait", full)
    run = Run.load(tmp_path / "run")
    assert run.status == "stopped" and run.info.why == "at step 1: No space left on device" and not is_held(run.path)
