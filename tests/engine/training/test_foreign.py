"""Forgetting on a model that is not ours: general probes by default, in `finetune` and in anybody's Trainer."""

import shutil
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

from engine.data import encode_all, load
from engine.evaluate import PROBE, Evaluator
from engine.evaluate.probes import general, probes_of
from engine.measure.kept import kept
from engine.measure.matched import learning_path
from engine.models import load_model, load_tokenizer
from engine.run.base import EMBEDDED_FOLDER
from engine.run.format import BASE_ANSWERS
from engine.training.prepare import make_evaluator
from engine.training.rerun import arguments_of
from glasstune import CaptureCallback, InputError, LoRA, Run, finetune

SHORT = {"steps": 4, "batch_size": 4, "skills": 3, "evaluate_at": 2, "progress": False, "checkpoint": 1, "every": 4}
SHARES = {f"{PROBE}facts", f"{PROBE}few-shot", f"{PROBE}instructions"}
MEASURED = {"text", "facts", "few_shot", "instructions", "agreement", "kl", "task_kl"}


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """The embedded model under another name: nobody knows what it was taught."""
    return shutil.copytree(EMBEDDED_FOLDER, tmp_path_factory.mktemp("foreign") / "model")


@pytest.fixture(scope="module")
def run(foreign, tmp_path_factory):
    return finetune(foreign, "spanish", LoRA(r=2), out=tmp_path_factory.mktemp("run") / "run", **SHORT)


def test_a_model_that_is_not_ours_is_asked_general_probes(run, foreign):
    assert set(run.skills) == {"spanish", *SHARES} and set(run.measured["probe"]) == MEASURED
    assert run.info.evaluated.probes == "general" and (run.path / BASE_ANSWERS).is_file()
    assert learning_path(run).kept.iloc[0] == pytest.approx(run.skills.iloc[0][list(SHARES)].mean())
    first, last = (run.measured[run.measured.step == step].set_index("probe") for step in (0, 4))
    assert (first.loc["kl", "value"] <= 1e-6).all() and (first.loc["agreement", "value"] == 1).all()
    assert (last.loc["kl", "value"] > 0).all()
    asked = run.answers[run.answers["skill"] == f"{PROBE}instructions"]
    assert set(asked["prompt"]) == {prompt for prompt, _ in general().asked[:3]}
    assert arguments_of(run)["probes"] == "general"


def test_resumed_it_compares_with_the_same_base(run, foreign, tmp_path, monkeypatch):
    """Killed after two steps: what is measured afterwards is what an undisturbed training measures."""

    class Stopped(Exception):
        pass

    step = CaptureCallback.on_step_end

    def stop(self, args, state, control, **kwargs):
        step(self, args, state, control, **kwargs)
        if state.global_step == 3:
            raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(CaptureCallback, "on_step_end", stop)
        with pytest.raises(Stopped):
            finetune(foreign, "spanish", LoRA(r=2), out=tmp_path / "run", **SHORT)
    again = finetune(foreign, "spanish", LoRA(r=2), out=tmp_path / "run", resume=True, **SHORT)
    assert again.info.resumed
    assert again.measured.equals(run.measured) and again.skills.equals(run.skills)


def test_nothing_is_probed_where_nothing_is_wanted_and_a_users_own_file_is_where_it_is(foreign, tmp_path):
    none = finetune(foreign, "spanish", LoRA(r=2), out=tmp_path / "none", **{**SHORT, "skills": 0, "steps": 1})
    assert set(none.skills) == {"spanish"} and none.measured.empty
    with pytest.raises(InputError, match="not graded on what it could do before"):
        kept(none)
    file = tmp_path / "mine.jsonl"
    file.write_text('{"ask": "What is the capital of France?"}\n')
    mine = finetune(foreign, "spanish", LoRA(r=2), out=tmp_path / "mine", probes=file, **{**SHORT, "steps": 1})
    assert set(mine.measured["probe"]) == {"kl", "agreement", "task_kl"}
    with pytest.raises(InputError, match="no file of probes"):
        finetune(foreign, "spanish", LoRA(r=2), out=tmp_path / "x", probes=tmp_path / "gone.jsonl", **SHORT)
    assert not (tmp_path / "x").exists()


def test_shares_have_wilsons_interval_and_means_one_that_is_drawn_over_the_probes(run):
    tables = kept(run)
    assert list(tables) == ["instructions", "few_shot", "facts", "agreement", "text", "kl", "task_kl"]
    right = run.skills[f"{PROBE}few-shot"]
    assert np.allclose(tables["few_shot"]["mean"], 100 * right)
    n, z, p = 3, 1.959964, right.iloc[0]
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert tables["few_shot"].low.iloc[0] == pytest.approx(
        100 * max(0, (p + z * z / (2 * n) - half) / (1 + z * z / n)), abs=1e-4
    )
    items = run.measured[run.measured.probe == "text"].pivot(index="step", columns="item", values="value")
    tokens = run.measured[run.measured.probe == "text"].groupby("item").weight.first()
    rise = (items.loc[4] - items.loc[0]) @ tokens / tokens.sum()
    text = tables["text"].loc[4]
    assert text["mean"] == pytest.approx(rise) and text.low <= rise <= text.high
    assert (tables["text"].loc[0] == 0).all()  # of a change, the beginning is sure
    each = items.loc[4] - items.loc[0]
    assert each.min() <= text.low and text.high <= each.max()


def test_of_a_run_of_ours_the_old_skills_are_shown(lora_run):
    tables = kept(lora_run)
    old = lora_run.skills.drop(columns="spanish").dropna(axis=1)
    counts = lora_run.graded[old.columns].iloc[0]
    assert tables["exact"]["mean"].iloc[-1] == pytest.approx(100 * (old.iloc[-1] * counts).sum() / counts.sum())
    assert tables["loss"]["mean"].iloc[0] == 0 and (tables["exact"].low <= tables["exact"].high).all()


# --- anybody's Trainer --------------------------------------------------------------------------------


def train(foreign, out, callback, steps=4, **more):
    model, tokenizer = load_model(foreign), load_tokenizer(foreign)
    rows = [{"input_ids": row.ids, "labels": row.labels} for row in encode_all(tokenizer, load("spanish").train[:16])]
    arguments = TrainingArguments(
        str(out), max_steps=steps, per_device_train_batch_size=2, report_to=[], save_strategy="no", logging_steps=1,
        disable_tqdm=True, dataloader_pin_memory=False, use_cpu=True, seed=5, learning_rate=1e-3,
    )  # fmt: skip
    trainer = Trainer(
        model, arguments, train_dataset=rows, callbacks=[callback], data_collator=DataCollatorForSeq2Seq(tokenizer),
        **{"processing_class": tokenizer, **more},
    )  # fmt: skip
    trainer.train()
    return model


def test_a_trainer_with_a_tokenizer_is_probed_and_the_cost_is_said(foreign, tmp_path, capsys):
    callback = CaptureCallback(tmp_path / "run", probes=2, evaluation_share=1.0, evaluate_at=2)
    with_probes = train(foreign, tmp_path / "a", callback)
    said = capsys.readouterr().err
    assert "the base answered what shows forgetting" in said and "at most 100% of the time" in said
    run = callback.run
    assert set(run.skills) == SHARES and set(run.measured["step"]) >= {0, 4}
    without = train(foreign, tmp_path / "b", CaptureCallback(tmp_path / "none", probes=0))
    assert Run.load(tmp_path / "none").measured.empty
    assert all(torch.equal(a, b) for a, b in zip(with_probes.parameters(), without.parameters(), strict=True))


def test_it_is_bounded(foreign, tmp_path):
    """With next to no share of the time, only the first and the last evaluation are left."""
    callback = CaptureCallback(tmp_path / "run", probes=2, evaluation_share=1e-9, evaluate_at=4, say=False)
    train(foreign, tmp_path / "a", callback)
    assert list(dict.fromkeys(callback.run.measured["step"])) == [0, 4]


def test_finetune_keeps_evaluation_below_a_third_by_default_and_can_be_repeated(foreign, tmp_path, monkeypatch):
    """By a clock on which a step takes 21 seconds and an evaluation 10: of five that are due there is time for four."""
    clock, evaluate, step = [0.0], Evaluator.__call__, CaptureCallback.on_step_end

    def slow(seconds, function):
        def called(*args, **kwargs):
            clock[0] += seconds
            return function(*args, **kwargs)

        return called

    monkeypatch.setattr(
        "engine.recording.recorder.time", SimpleNamespace(**{**vars(time), "perf_counter": lambda: clock[0]})
    )
    monkeypatch.setattr(Evaluator, "__call__", slow(10, evaluate))
    monkeypatch.setattr(CaptureCallback, "on_step_end", slow(21, step))
    told = {name: value for name, value in SHORT.items() if name != "evaluate_at"}
    run = finetune(foreign, "spanish", LoRA(r=2), out=tmp_path / "run", **told)
    assert list(run.skills.index) == [0, 1, 2, 4] and 40 / (4 * 21 + 40) < 1 / 3
    again = arguments_of(run)["evaluate_at"]
    assert [step for step in range(5) if again(step)] == [0, 1, 2, 4]


def test_what_cannot_be_probed_is_trained_all_the_same(foreign, tmp_path, capsys):
    train(foreign, tmp_path / "a", CaptureCallback(tmp_path / "no-tokenizer"), steps=1, processing_class=None)
    assert Run.load(tmp_path / "no-tokenizer").measured.empty
    tokenizer = load_tokenizer(foreign)
    tokenizer.chat_template = "{{ raise_exception('no chat here') }}"
    train(foreign, tmp_path / "b", CaptureCallback(tmp_path / "no-chat"), steps=1, processing_class=tokenizer)
    assert "forgetting is not probed: " in capsys.readouterr().err
    assert Run.load(tmp_path / "no-chat").status == "finished"


def test_an_evaluator_of_ones_own_stays(foreign, tmp_path):
    tokenizer, task = load_tokenizer(foreign), load("spanish")
    own = make_evaluator(tokenizer, task, 2, most=2, old="general")
    callback = CaptureCallback(tmp_path / "run", evaluator=own, evaluate_at=1, say=False)
    train(foreign, tmp_path / "a", callback, steps=1)
    assert set(callback.run.skills) == {"spanish", *SHARES}
    assert probes_of("general") == general()
