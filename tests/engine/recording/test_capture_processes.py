"""Two processes train, with DDP or with FSDP2's shards: the first writes one Run, equal to a single process's."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from glasstune import Run

WORKER = Path(__file__).with_name("ddp_worker.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(WORKER), str(folder)]
    root = Path(__file__).parents[3]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def worker():
    spec = importlib.util.spec_from_file_location("ddp_worker", WORKER)
    assert spec is not None and spec.loader is not None
    worker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    return worker


@pytest.fixture(scope="module")
def alone(worker, tmp_path_factory) -> Run:
    out = tmp_path_factory.mktemp("alone") / "run"
    worker.train(worker.make(), out, 0, 1)
    return Run.load(out)


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_processes_write_the_run_of_one(kind, folder, alone):
    run = Run.load(folder / kind)
    assert run.steps == alone.steps == [0, 1, 2, 3] and run.status == "finished"
    assert run.info.modules == alone.info.modules and run.info.model == alone.info.model
    assert len(run.metrics) == 3 and run.metrics.index.is_unique
    for module in run.info.modules:
        assert np.abs(run.delta(module)).max() > 1e-5
        for step in run.steps:
            np.testing.assert_allclose(run.delta(module, step), alone.delta(module, step), atol=2e-6)


def test_the_trainer_in_two_processes_writes_the_run_of_one(folder, worker, tmp_path):
    worker.train_with_trainer(tmp_path, 1)
    run, alone = Run.load(folder / "trainer" / "run"), Run.load(tmp_path / "run")
    assert run.steps == alone.steps == [0, 1, 2, 3] and run.info.modules == alone.info.modules
    assert list(run.metrics.index) == [1, 2, 3]
    for module in run.info.modules:
        np.testing.assert_allclose(run.delta(module), alone.delta(module), atol=2e-6)


def test_summaries_of_shards_are_those_of_the_whole(folder, alone):
    run = Run.load(folder / "fsdp-sketched")
    sketched = [module for module in run.modules if run.is_sketched(module)]
    assert sketched and run.steps == alone.steps
    np.testing.assert_allclose(run.norms.to_numpy(), alone.norms[run.norms.columns].to_numpy(), atol=1e-5)
    for module in sketched:
        assert run.sketch(module).norm == alone.norms.loc[3, module] or np.isclose(
            run.sketch(module).norm, alone.norms.loc[3, module], rtol=1e-4
        )
