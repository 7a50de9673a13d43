"""Whatever is wrong with a file: a right result or one clear sentence, within bounds of time and memory.

Files gone wrong by accident, and every field of every file made hostile. GLASSTUNE_FUZZ=10000 tries as many of each;
the suite tries some hundreds. A failure names its case.
"""

import contextlib
import io
import json
import os
import random
import shutil
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import TrainerState

from engine.data import encode_all, load
from engine.data.__main__ import main as report_main
from engine.inspect.__main__ import main as inspect_main
from engine.measure import norm, spectrum_table
from engine.models import load_model, load_tokenizer
from engine.planning.memory import training_memory
from engine.run.tensors import Tensors
from engine.training.request import Request
from engine.training.rerun import arguments_of
from glasstune import InputError, LoRA, Run, capture, finetune
from tests.children import try_each
from tests.engine.small import save_adapter, save_base
from tests.fuzz import fields
from tests.fuzz.mutate import mutate_file

COUNT = int(os.environ.get("GLASSTUNE_FUZZ", "60"))


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """What is made wrong: small, so that thousands can be tried."""
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
    save_adapter(root / "adapter", root / "model", rank_pattern={"q_proj": 4}, alpha_pattern={".*v_proj": 8})
    save_adapter(root / "output" / "checkpoint-2", root / "model")
    log = [{"step": 1, "loss": 2.0, "grad_norm": 1.0, "learning_rate": 1e-3}, {"step": 2, "eval_loss": 1.5}]
    TrainerState(global_step=2, log_history=log).save_to_json(
        str(root / "output" / "checkpoint-2" / "trainer_state.json")
    )
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


# --- what is done with each ------------------------------------------------------------------------------


def read_run(path, _file, _root):
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


def again(path, _file, _root):
    """What would be trained again, and not the training."""
    Request(**arguments_of(Run.load(path)), out=path / "again")


def read_any(path, _file, root):
    run = Run.open(path, root / "model")
    repr(run), run.metrics, run.skill_losses
    for module in run.modules:
        run.delta(module)


def compare(path, file, root):
    if file.suffix == ".safetensors":
        tensors = Tensors(path)
        for name in tensors.entries:
            tensors.read(name)
    run = Run.from_checkpoints(root / "model", path, progress=False)
    for module in run.modules[:3]:
        run.delta(module)


def load_config(path, file, _root):
    if file.name == "config.json":
        training_memory(path, "lora", batch=1, length=16)
        load_model(path)


def learn_from(_path, file, _root):
    encode_all(load_tokenizer(), load(file).train, 64)


def command(path, file, _root):
    """Through the commands themselves: the status says what it was, and nothing steers the terminal."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = (
            report_main([str(file)]) if file.suffix == ".jsonl" and "data" in str(path) else inspect_main([str(path)])
        )
    said = out.getvalue() + err.getvalue()
    assert status in (0, 1, 2) and "Traceback" not in said
    assert not any(steers in said for steers in ("\x1b", "\x9b", "\u202e", "\0", "\u2028"))
    assert status != 2 or (err.getvalue().startswith("error: ") and err.getvalue().count("\n") == 1), err.getvalue()


# --- how it is made wrong --------------------------------------------------------------------------------


def by_accident(folder, seed):
    rng = random.Random(f"{folder.name} {seed}")
    file = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    mutate_file(file, rng)
    return file


def in_a_field(folder, case):
    fields.apply(folder, case)
    return folder / case[0]


def one_case(root, name, uses, wrong, case) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / name
        shutil.copytree(root / name, copy)
        file = wrong(copy, case)
        try:
            with np.errstate(all="ignore"):
                for use in uses:
                    use(copy, file, root)
            return "right"
        except InputError as error:
            assert str(error) and "\n" not in str(error)
            return "one sentence"


USES = {
    "run": (read_run, command, again), "sketched": (read_run, command), "adapter": (read_any, command),
    "output": (read_any, command), "model": (compare,), "data": (learn_from,),
}  # fmt: skip


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", USES)
def test_files_gone_wrong_by_accident(name, originals):
    ends = try_each(partial(one_case, originals, name, USES[name], by_accident), range(COUNT))
    print(f"\n{name}: {COUNT} by accident, {dict(ends)}")


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", list(USES))
def test_every_field_of_every_file_may_hold_anything(name, originals):
    """Of each field at least one value, another on each; with GLASSTUNE_FUZZ as many as it says."""
    every = fields.cases(originals / name)
    rng = random.Random(name)
    rng.shuffle(every)
    first = {case[:3]: case for case in every}
    chosen = [*first.values(), *every][: max(COUNT, len(first))]
    ends = try_each(partial(one_case, originals, name, USES[name], in_a_field), chosen)
    print(f"\n{name}: {len(first)} fields, {len(chosen)} of {len(every)} cases, {dict(ends)}")


@pytest.mark.timeout(7200)
def test_configs_of_models(originals):
    every = [case for case in fields.cases(originals / "model") if case[0] == "config.json"]
    chosen = random.Random(0).sample(every, min(len(every), COUNT // 4))
    ends = try_each(partial(one_case, originals, "model", (load_config,), in_a_field), chosen)
    print(f"\nconfig.json: {len(chosen)} of {len(every)} cases, {dict(ends)}")
