"""An observer degrades and does not kill: what fails while training runs ends the capture, and nothing else."""

import builtins
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.evaluate import Evaluation
from engine.recording import recorder, writer
from glasstune import CaptureCallback, InputError, Run, capture
from tests.engine.recording.test_capture import make, trainer_of

FULL = OSError(28, "No space left on device")


def fails(*args, **kwargs):
    raise FULL


class Broken:
    """A file of which no more can be written."""

    def __init__(self, file):
        self.file = file

    def __getattr__(self, name):
        return fails if name in ("write", "flush") else getattr(self.file, name)


class Later:
    """An evaluator that fails from its second question on, and leaves the model as it happened to be."""

    calls = 0

    def __call__(self, model):
        self.calls += 1
        if self.calls > 1:
            model.eval()
            raise RuntimeError("out of memory\nat length")
        return Evaluation({}, {}, [])


def delete(run: Path, name: str) -> None:
    shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()


# What goes wrong after the second step: (patch, what is done, what the sentence says).
WAYS = {
    "a capture cannot be opened": lambda patch, callback: patch.setattr(writer, "writing", fails),
    "a capture cannot be written": lambda patch, callback: patch.setattr(writer.Layout, "header", fails),
    "a capture cannot be put in place": lambda patch, callback: patch.setattr(Path, "replace", fails),
    "metrics cannot be written": lambda patch, callback: break_file(callback, "metrics.jsonl"),
    "norms cannot be written": lambda patch, callback: break_file(callback, "norms.jsonl"),
    "run.json cannot be written": lambda patch, callback: patch.setattr(recorder, "write_json", fails),
    "the captures are deleted": lambda patch, callback: delete(callback.recorder.folder, "captures"),
    "the metrics are deleted": lambda patch, callback: delete(callback.recorder.folder, "metrics.jsonl"),
    "the whole run is deleted": lambda patch, callback: shutil.rmtree(callback.recorder.folder),
    "an evaluator fails": lambda patch, callback: None,
}


def break_file(callback: CaptureCallback, name: str) -> None:
    callback.recorder._files[name] = Broken(callback.recorder._files[name])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, torch.Tensor]:
    model = make(attention_dropout=0.1)
    trainer_of(
        tmp_path_factory.mktemp("plain"), model, CaptureCallback(tmp_path_factory.mktemp("r") / "run", say=False)
    ).train()
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("way", WAYS)
def test_training_goes_on_to_the_same_weights(way, undisturbed, tmp_path, monkeypatch, capsys):
    model = make(attention_dropout=0.1)
    evaluator = Later() if way == "an evaluator fails" else None
    callback = CaptureCallback(tmp_path / "run", every=1, say=False, evaluator=evaluator, evaluate_at=4)
    trainer = trainer_of(tmp_path / "t", model, callback)
    step_end = callback.on_step_end

    def break_it(args, state, control, **rest):
        step_end(args, state, control, **rest)
        if state.global_step == 2:
            callback.recorder.settle()
            WAYS[way](monkeypatch, callback)

    callback.on_step_end = break_it
    trainer.train()
    monkeypatch.undo()
    assert trainer.state.global_step == 4
    assert all(torch.equal(p, undisturbed[name]) for name, p in model.named_parameters())
    said = capsys.readouterr().err
    assert said.count("capture has ended, and training goes on without it") == 1 and "Traceback" not in said
    if way == "the whole run is deleted":
        assert callback.run is None
        return
    run = Run.load(tmp_path / "run")
    if way in ("run.json cannot be written", "a capture cannot be put in place"):
        assert run.status == "running"  # what cannot be written cannot say so either
    else:
        assert run.status == "incomplete" and run.info.why.startswith("at step ") and "\n" not in run.info.why
        assert callback.run is not None and callback.run.status == "incomplete"
    assert not list(run.path.glob("captures/*.part"))
    for step in run.steps:
        assert all(np.isfinite(run.delta(module, step)).all() for module in run.modules)


def test_before_training_errors_are_raised(tmp_path, monkeypatch):
    def failing(model):
        raise RuntimeError("no such grade")

    with pytest.raises(RuntimeError, match="no such grade"):
        trainer_of(tmp_path / "t", make(), CaptureCallback(tmp_path / "a", say=False, evaluator=failing)).train()
    monkeypatch.setattr(writer, "writing", fails)
    with pytest.raises((InputError, OSError), match="No space left"), capture(make(), tmp_path / "b", say=False):
        pass


def test_who_must_have_the_run_is_told_by_an_error(tmp_path, monkeypatch):
    with (
        pytest.raises(InputError, match=r"No space left on device.*free some space"),
        capture(make(), tmp_path / "run", every=1, total=3, say=False, must_capture=True) as loop,
    ):
        loop.step(loss=1.0)
        monkeypatch.setattr(writer, "writing", fails)
        loop.step(loss=0.5)
        loop.step(loss=0.2)
    monkeypatch.undo()
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    assert info["status"] == "stopped" and builtins.len(Run.load(tmp_path / "run").metrics) >= 2
