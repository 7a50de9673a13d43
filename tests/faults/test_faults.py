"""A full disk, a folder that cannot be written, two at once, a clock that jumps, a loss that is no number."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.inspect.__main__ import main as inspect_main
from glasstune import Full, InputError, LoRA, Run, capture, finetune
from tests.engine.small import BRIEF
from tests.programs import run_code
from visualize import plots

OPTIONS = {**BRIEF, "steps": 6, "batch_size": 2, "save": False}


def limited(out: Path, before: str = "") -> subprocess.CompletedProcess:
    """finetune in a process of its own, after the line `before`."""
    code = f"""
import resource, signal, sys
from engine.finetune import main
{before}
raise SystemExit(main(["--data", "spanish", "--method", "full", "--steps", "6", "--batch-size", "2", "--out", {str(out)!r}]))
"""
    return run_code(code)


def test_a_full_disk_is_one_sentence_and_what_was_written_stays(tmp_path):
    older = finetune("embedded", "spanish", LoRA(r=2), out=tmp_path / "older", **OPTIONS)
    kept = {path: path.read_bytes() for path in older.path.rglob("*") if path.is_file()}
    # No file may grow beyond 6 MB: the first capture of all weights, 5 MB, fits, Adam's two moments do not.
    done = limited(tmp_path / "new", "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
                   "resource.setrlimit(resource.RLIMIT_FSIZE, (6_000_000, 6_000_000))")  # fmt: skip
    assert done.returncode in (2, 3) and done.stderr.count("error: /") == 1 and "Traceback" not in done.stderr, (
        done.stderr
    )
    run = Run.load(tmp_path / "new")
    assert run.status == "stopped" and run.steps and not list(run.path.rglob("captures/*.part"))
    assert {path: path.read_bytes() for path in older.path.rglob("*") if path.is_file()} == kept


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(30, "Read-only file system")])
def test_a_disk_that_fails_while_capturing_is_named(error, tmp_path, monkeypatch, capsys):
    def fails(*args, **kwargs):
        raise error

    with capture(torch.nn.Linear(64, 64), tmp_path / "run", every=1, total=3, say=False) as recorder:
        recorder.step(loss=1.0)
        recorder._recorder.writer.wait()
        monkeypatch.setattr("engine.recording.writer.writing", fails)
        recorder.step(loss=0.5)
        recorder.step(loss=0.2)
    run = recorder.run
    assert capsys.readouterr().err.count("capture has ended, and training goes on without it: at step 3: ") == 1
    assert run.status == "incomplete" and error.strerror in run.info.why and "free some space" in run.info.why
    assert run.metrics.loss.tolist()[:2] == [1.0, 0.5] and run.steps == [0, 1]
    assert all(np.isfinite(run.delta(module, step)).all() for module in run.modules for step in run.steps)


def test_a_folder_that_cannot_be_written_is_named_before_training(tmp_path, monkeypatch):
    def train():
        finetune("embedded", "spanish", LoRA(r=2), out=tmp_path / "run", **OPTIONS)

    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        with pytest.raises(InputError, match="is not a folder that you may write to"):
            train()
    with monkeypatch.context() as patch:

        def fails(path, *args, **kwargs):
            raise OSError(30, "Read-only file system", str(path))

        patch.setattr(Path, "mkdir", fails)
        with pytest.raises(InputError, match=r"cannot be written.*Read-only file system"):
            train()
    assert not (tmp_path / "run").exists()


def test_two_processes_do_not_write_one_run(tmp_path):
    model = torch.nn.Linear(4, 4)
    with capture(model, tmp_path / "run", every=1, total=2, say=False) as recorder:
        recorder.step(loss=1.0)
        with pytest.raises(InputError, match="already holds another run"):
            finetune("embedded", "spanish", LoRA(r=2), out=tmp_path / "run", **OPTIONS)
        code = "import sys; from pathlib import Path; from engine.recording.lock import lock; lock(Path(sys.argv[1]))"
        done = subprocess.run([sys.executable, "-c", code, tmp_path / "run"], capture_output=True, text=True)
        assert done.returncode and "is being written by another process" in done.stderr
        recorder.step(loss=0.5)
    assert Run.load(tmp_path / "run").metrics.loss.tolist() == [1.0, 0.5]
    assert not (tmp_path / "run" / "run.lock").exists()


def test_a_clock_that_jumps_back_changes_no_record(tmp_path, monkeypatch):
    clock = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    run = finetune("embedded", "spanish", LoRA(r=2), out=tmp_path / "jumped", **OPTIONS)
    monkeypatch.undo()
    steady = finetune("embedded", "spanish", LoRA(r=2), out=tmp_path / "steady", **OPTIONS)
    assert (run.path / "metrics.jsonl").read_bytes() == (steady.path / "metrics.jsonl").read_bytes()
    assert all(seconds >= 0 for seconds in run.info.raw["seconds"].values())


@pytest.mark.parametrize("stop", [False, True])
def test_a_loss_that_explodes_is_kept_as_such_and_stops_if_asked(stop, tmp_path, capsys):
    run = finetune("embedded", "spanish", Full(), out=tmp_path / "run", learning_rate=1e30, warmup=0.0, max_grad_norm=1e30,
                   stop_if_diverged=stop, **OPTIONS)  # fmt: skip
    broken = ~np.isfinite(run.metrics.loss)
    assert broken.any() and run.status == ("stopped" if stop else "finished")
    assert len(run.metrics) == (int(np.flatnonzero(broken)[0]) + 1 if stop else 6)
    assert inspect_main([str(run.path)]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "NaN or infinity" in said or "the loss is no number" in said
    line = plots.plot_loss(run).lines[0]
    assert np.isnan(np.ma.filled(np.ma.masked_invalid(line.get_ydata()), np.nan)[broken.to_numpy()]).all()
    assert json.loads((run.path / "run.json").read_text())["status"] == run.status
