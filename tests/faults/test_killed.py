"""A training that is killed at any instant loses nothing that was written, and goes on to the very same weights.

GLASSTUNE_KILLS=100 kills a hundred times; the suite does a few.
"""

import json
import os
import random
import signal
import sys
import time
import warnings
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

from engine.rerun import main
from engine.training.rerun import agreement, rerun, sentences
from glasstune import Full, InputError, LoRA, Run, finetune
from tests.children import FORKS

KILLS = int(os.environ.get("GLASSTUNE_KILLS", "4"))
OPTIONS: dict = {
    "steps": 12,
    "skills": 1,
    "batch_size": 8,
    "every": 2,
    "evaluate_at": 3,
    "progress": False,
    "checkpoint": 3,
}


def method_named(name: str) -> LoRA | Full:
    return LoRA(r=4, dropout=0.1) if name == "lora" else Full()


def train(out: Path, method: str) -> None:
    torch.set_num_threads(1)  # bytes are compared, so the child computes as the undisturbed run does
    warnings.simplefilter("ignore")
    finetune("embedded", "spanish", method_named(method), out=out, resume=True, **OPTIONS)


def start(out: Path, method: str) -> BaseProcess:
    process = FORKS.Process(target=train, args=(out, method))
    process.start()
    return process


def finish(out: Path, method: str) -> float:
    """Train to the end; the seconds it took."""
    began = time.perf_counter()
    process = start(out, method)
    process.join()
    assert process.exitcode == 0
    return time.perf_counter() - began


def check_opens(out: Path) -> None:
    """What is there is whole: every line a record, every capture a readable one, and no record without its step."""
    if not (out / "run.json").exists():
        return  # killed before there was a run
    run = Run.load(out)
    for step in run.steps:
        for module in run.modules:
            run.delta(module, step)
    assert run.metrics.index.is_unique and run.skills.index.is_unique
    if (out / "norms.jsonl").stat().st_size:
        assert set(run.norms.index) <= {*run.steps}, "norms are noted once their capture is in place"


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("method", ["lora", "full"])
def test_killed_at_random_instants_it_opens_and_goes_on_to_the_same_weights(method, tmp_path, capsys):
    whole = finetune("embedded", "spanish", method_named(method), out=tmp_path / "whole", **OPTIONS)
    finish(tmp_path / "first", method)  # starts the server
    takes = finish(tmp_path / "timed", method)
    rng, kills, written, runs = random.Random(7), 0, 0, 0
    while kills < KILLS // 2:
        out = tmp_path / f"killed-{runs}"
        runs += 1
        for _ in range(6):  # kills of one run, before it may finish
            process = start(out, method)
            process.join(timeout=rng.uniform(0.0, 1.0) * takes)
            process.kill()
            process.join()
            assert process.exitcode in (0, -signal.SIGKILL)
            killed = process.exitcode == -signal.SIGKILL
            kills, written = kills + killed, written + (killed and (out / "run.json").exists())
            check_opens(out)
            if kills >= KILLS // 2:
                break
        finish(out, method)
        found = agreement(whole, Run.load(out))
        assert not found.different, found
        assert not (out / "checkpoints").exists() and (out / ("adapter" if method == "lora" else "model")).is_dir()
        name = "adapter/adapter_model.safetensors" if method == "lora" else "model/model.safetensors"
        assert (out / name).read_bytes() == (whole.path / name).read_bytes()
    with capsys.disabled():
        print(f"\n{method}: killed {kills} times, {written} of them with a run begun; all {runs} runs as undisturbed")


def test_resuming_what_is_finished_gives_it_and_what_differs_is_named(tmp_path):
    options = {**OPTIONS, "steps": 4, "answers": False, "evaluate_at": 1, "out": tmp_path / "run"}
    run = finetune("embedded", "spanish", LoRA(r=2), **options, resume=True)
    before = (run.path / "metrics.jsonl").read_bytes()
    assert finetune("embedded", "spanish", LoRA(r=2), **options, resume=True).steps == run.steps
    for changed, says in (
        ({"learning_rate": 1.0}, "settings learning_rate was 0.002, now it is 1.0"),
        ({"method": LoRA(r=3)}, "method r was 2, now it is 3"),
        ({"data": "pirate"}, "data name was spanish, now it is pirate"),
    ):
        with pytest.raises(InputError, match=says):
            finetune(**{"model": "embedded", "data": "spanish", "method": LoRA(r=2), **options, **changed}, resume=True)
    with pytest.raises(InputError, match="already holds another run"):
        finetune("embedded", "spanish", LoRA(r=2), **options)
    assert (run.path / "metrics.jsonl").read_bytes() == before


def test_killed_between_the_last_capture_and_the_saved_result_it_is_not_finished(tmp_path, monkeypatch):
    options = {**OPTIONS, "steps": 4, "answers": False, "evaluate_at": 1, "out": tmp_path / "run", "resume": True}
    with monkeypatch.context() as patch:

        def killed(*args):
            raise KeyboardInterrupt

        patch.setattr(sys.modules["engine.training.finetune"], "_save", killed)
        with pytest.raises(KeyboardInterrupt):
            finetune("embedded", "spanish", LoRA(r=2), **options)
    assert Run.load(tmp_path / "run").status == "finished" and not (tmp_path / "run" / "adapter").exists()
    run = finetune("embedded", "spanish", LoRA(r=2), **options)
    assert (run.path / "adapter").is_dir() and not (run.path / "checkpoints").exists() and run.steps == [0, 2, 4]


def test_a_stopped_run_without_checkpoints_is_not_deleted(tmp_path):
    options = {**OPTIONS, "steps": 4, "answers": False, "evaluate_at": 1, "out": tmp_path / "run", "checkpoint": None}
    run = finetune("embedded", "spanish", LoRA(r=2), **options)
    (run.path / "run.json").write_text(json.dumps({**run.info.raw, "status": "stopped"}))
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="made without checkpoints"):
        finetune("embedded", "spanish", LoRA(r=2), **options, resume=True)
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_a_run_is_repeated_from_its_own_record(tmp_path, capsys):
    run = finetune("embedded", "spanish", LoRA(r=2, dropout=0.1), out=tmp_path / "run", steps=4, skills=1, batch_size=4,
                   mix=0.3, every={0: 1, 2: 2}, seed=3, progress=False)  # fmt: skip
    assert main([str(run.path)]) == 0
    assert "It agrees" in capsys.readouterr().out
    other = finetune("embedded", "spanish", LoRA(r=2), out=tmp_path / "other", steps=4, skills=1, batch_size=4,
                     every={0: 1, 2: 2}, seed=4, progress=False)  # fmt: skip
    found = agreement(run, other)
    assert "captures/step-000004.safetensors" in found.different and found.furthest[0] > 0
    assert any("apart" in line for line in sentences(found))


def test_a_run_of_data_from_python_asks_for_the_file(tmp_path, capsys):
    records = [{"prompt": f"say {word}", "completion": word} for word in ("a", "b", "c")]
    run = finetune(
        "embedded", records, LoRA(r=2), out=tmp_path / "run", steps=2, skills=0, batch_size=2, progress=False
    )
    assert main([str(run.path)]) == 2
    assert "was trained on data that came from Python" in capsys.readouterr().err
    with pytest.raises(InputError, match="has changed since"):
        rerun(run, tmp_path / "again", data="pirate")
