"""Whatever is wrong with a file: a right result or one clear sentence, within bounds of time and memory.

GLASSTUNE_FUZZ=10000 tries as many; the suite tries some hundreds. A failure names its seed.
"""

import json
import os
import random
import shutil
import tracemalloc
import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from engine.data import load
from engine.data.__main__ import main as report_main
from engine.inspect.__main__ import main as inspect_main
from engine.measure import norm, spectrum_table
from engine.models import load_model
from engine.planning.memory import training_memory
from engine.run.tensors import Tensors
from glasstune import InputError, LoRA, Run, capture, finetune
from tests.engine.small import save_adapter, save_base
from tests.fuzz.mutate import mutate_file

COUNT = int(os.environ.get("GLASSTUNE_FUZZ", "250"))
BOUND = 200_000_000  # bytes that reading any of these small files may take, at most


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """What is mutated: small, so that thousands can be tried."""
    root = tmp_path_factory.mktemp("originals")
    run = finetune("embedded", "spanish", LoRA(r=2, target_modules=["q_proj"]), out=root / "run", steps=2, skills=1,
                   batch_size=2, progress=False)  # fmt: skip
    shutil.rmtree(run.path / "adapter")
    model = nn.Sequential(nn.Linear(64, 48), nn.Linear(48, 8))
    with capture(model, root / "sketched", every=1, total=2, budget="30KB", say=False) as recorder:
        for _ in range(2):
            with torch.no_grad():
                model[0].weight += torch.randn(48, 1) @ torch.randn(1, 64)
            recorder.step(loss=1.0)
    assert Run.load(root / "sketched").is_sketched("0")
    save_base(root / "model")
    save_adapter(root / "adapter", root / "model")
    (root / "data").mkdir()
    records = [
        {"instruction": "Translate: dog", "input": "", "output": "perro"},
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]},
        {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]},
        {"prompt": "say é", "completion": "é"},
    ]
    for at, record in enumerate(records):
        lines = [json.dumps(record, ensure_ascii=False)] * 3
        (root / "data" / f"{at}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def try_all(name, originals, tmp_path, use, count=COUNT):
    """Mutate a copy, use it, and count what came of it."""
    ends = Counter()
    for seed in range(count):
        rng = random.Random(f"{name} {seed}")
        copy = tmp_path / "copy"
        shutil.copytree(originals / name, copy)
        file = rng.choice(sorted(path for path in copy.rglob("*") if path.is_file()))
        how = mutate_file(file, rng)
        tracemalloc.start()
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                use(copy, file)
            ends["right"] += 1
        except InputError as error:
            assert str(error) and "\n" not in str(error), f"seed {seed}, {how}: {error!r}"
            ends["one sentence"] += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}, {how}: {type(error).__name__}: {error}") from error
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            shutil.rmtree(copy)
        assert peak < BOUND, f"seed {seed}, {how}: {peak / 1e6:.0f} MB"
    print(f"\n{name}: {count} mutated, {dict(ends)}")


def read_run(path, _file):
    run = Run.load(path)
    repr(run), run._repr_html_(), run.metrics, run.skills, run.skill_losses, run.answers, run.what, run.status
    for step in run.steps[:3]:
        for module in run.modules:
            if run.is_sketched(module):
                assert run.sketch(module, step).approximation().shape == run.shape(module)
            else:
                assert run.delta(module, step).shape == run.shape(module)
            norm(run, module, step)
    spectrum_table(run) if run.steps else None


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["run", "sketched"])
def test_runs(name, originals, tmp_path):
    try_all(name, originals, tmp_path, read_run, COUNT // 2)


@pytest.mark.timeout(3600)
def test_adapters(originals, tmp_path):
    def use(path, _file):
        run = Run.from_adapter(path)
        repr(run)
        for module in run.modules:
            run.delta(module)

    try_all("adapter", originals, tmp_path, use)


@pytest.mark.timeout(3600)
def test_checkpoints(originals, tmp_path):
    def use(path, file):
        if file.suffix == ".safetensors":
            tensors = Tensors(path)
            for name in tensors.entries:
                tensors.read(name)
        run = Run.from_checkpoints(originals / "model", path, progress=False)
        for module in run.modules[:3]:
            run.delta(module)

    try_all("model", originals, tmp_path, use)


@pytest.mark.timeout(3600)
def test_configs(originals, tmp_path):
    def use(path, file):
        if file.name == "config.json":
            training_memory(path, "lora", batch=1, length=16)
            load_model(path)

    try_all("model", originals, tmp_path, use, COUNT // 4)


@pytest.mark.timeout(3600)
def test_data(originals, tmp_path):
    try_all("data", originals, tmp_path, lambda path, file: load(file))


@pytest.mark.timeout(3600)
def test_commands_print_no_traceback(originals, tmp_path, capsys):
    """A sample through the commands themselves: the status says what it was, and nothing steers the terminal."""
    for seed in range(max(20, COUNT // 20)):
        rng = random.Random(seed)
        name = rng.choice(("run", "adapter", "data"))
        copy = tmp_path / "copy"
        shutil.copytree(originals / name, copy)
        file = rng.choice(sorted(path for path in copy.rglob("*") if path.is_file()))
        how = mutate_file(file, rng)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            status = report_main([str(file)]) if name == "data" else inspect_main([str(copy)])
        said = capsys.readouterr()
        assert status in (0, 1, 2) and "Traceback" not in said.out + said.err, f"seed {seed}, {how}"
        assert "\x1b]" not in said.out + said.err and "\x1b[2J" not in said.out + said.err, f"seed {seed}, {how}"
        assert status != 2 or said.err.startswith("error: "), f"seed {seed}, {how}: {said.err}"
        shutil.rmtree(copy)
