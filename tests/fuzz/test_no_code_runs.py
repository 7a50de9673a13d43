"""Nothing that a stranger hands over is run: no pickle is opened, no remote code is asked for, no link is followed out."""

import ast
import json
import pickle
import shutil
import sys
from pathlib import Path

import pytest
import torch

from engine.inspect.__main__ import main as inspect_main
from engine.models import load_model, load_tokenizer, load_tuned
from engine.run.tensors import Tensors
from engine.training.finetune import finetune as train
from glasstune import InputError, LoRA, Run, finetune
from tests.engine.small import save_adapter, save_base
from visualize import plots

ROOT = Path(__file__).parents[2]
SOURCES = [
    path for folder in ("engine", "visualize", "animations", "lessons") for path in (ROOT / folder).rglob("*.py")
]
OPENS_PICKLES = {"pickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_opens_a_pickle_or_trusts_remote_code(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            opened = {name.split(".")[0] for name in names} & OPENS_PICKLES
            counts = isinstance(node, ast.ImportFrom) and {alias.name for alias in node.names} == {"cpu_count"}
            ours = counts or "claims" in path.parts or path.parts[-2:] == ("inspect", "many.py")
            assert not opened - {"joblib"} and (not opened or ours), "joblib only runs our own functions"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("torch.load", "pd.read_pickle", "pandas.read_pickle", "eval"), called
            lets = [word for word in node.keywords if word.arg in ("trust_remote_code", "allow_pickle")]
            assert called != "np.load" or lets, "np.load without allow_pickle=False"
            assert all(isinstance(word.value, ast.Constant) and word.value.value is False for word in lets), called


@pytest.fixture
def no_pickle(monkeypatch):
    def refuse(*args, **kwargs):
        pytest.fail("a pickle was opened")

    monkeypatch.setattr(torch, "load", refuse)
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)


def test_no_pickle_is_opened_on_the_whole_way(no_pickle, tmp_path, capsys):
    options = {"steps": 4, "skills": 1, "batch_size": 2, "progress": False, "checkpoint": 1}
    run = finetune("embedded", "spanish", LoRA(r=2), out=tmp_path / "run", **options)
    plots.plot_delta(run)
    load_tuned(run)
    assert inspect_main([str(run.path)]) == 0
    half = tmp_path / "half"

    class Stop(Exception):
        pass

    def stop(*args, **kwargs):
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["engine.training.finetune"], "_save", stop)
        with pytest.raises(Stop):
            train("embedded", "spanish", LoRA(r=2), out=half, **options)
    assert any((half / "checkpoints").rglob("*.safetensors"))
    info = json.loads((half / "run.json").read_text())
    (half / "run.json").write_text(json.dumps({**info, "status": "running"}))
    assert train("embedded", "spanish", LoRA(r=2), out=half, resume=True, **options).status == "finished"


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "adapter_model.bin", "model.pt"])
def test_a_pickle_that_would_run_code_is_refused_unopened(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match="a pickle can run any code"):
        Tensors(folder)
    assert not (tmp_path / "exploded").exists()


def test_code_that_comes_with_a_model_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = save_base(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(
        "from pathlib import Path\nPath('exploded').touch()\nclass Config: pass\nclass Model: pass\n"
    )
    for load in (load_model, load_tokenizer):
        with pytest.raises(InputError):
            load(folder)
    assert not (tmp_path / "exploded").exists()


def test_no_path_in_a_run_or_checkpoint_leads_outside(tmp_path):
    run = finetune("embedded", "spanish", LoRA(r=2), out=tmp_path / "run", steps=2, skills=0, batch_size=2, save=False,
                   progress=False)  # fmt: skip
    capture = next((run.path / "captures").glob("*2.safetensors"))
    shutil.move(capture, tmp_path / "elsewhere")
    capture.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="leads out of its folder"):
        Run.load(run.path).factors(run.modules[0])
    shutil.move(run.path / "metrics.jsonl", tmp_path / "metrics")
    (run.path / "metrics.jsonl").symlink_to(tmp_path / "metrics")
    with pytest.raises(InputError, match="leads out of its folder"):
        _ = Run.load(run.path).metrics
    folder = tmp_path / "sharded"
    folder.mkdir()
    for name in ("../elsewhere", "/etc/passwd", "a/../../elsewhere", 7):
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": name}}))
        with pytest.raises(InputError, match="no file of its own folder"):
            Tensors(folder)


def test_folders_and_files_may_be_called_anything(tmp_path):
    folder = tmp_path / "mon été 🏖 (copy) שלום"
    folder.mkdir()
    (folder / "дата set.jsonl").write_text(
        "".join(json.dumps({"prompt": f"скажи {n}", "completion": "да 👍"}) + "\n" for n in range(4)), encoding="utf-8"
    )
    run = finetune("embedded", folder / "дата set.jsonl", LoRA(r=2), out=folder / "lauf №1", steps=2, skills=0,
                   batch_size=2, progress=False)  # fmt: skip
    assert Run.load(run.path).name == "lauf №1" and "дата set" in run._repr_html_()
    save_base(folder / "basis ü")
    save_adapter(folder / "ad apter", folder / "basis ü")
    assert Run.from_adapter(folder / "ad apter").modules
    figure = plots.plot_loss(run).get_figure()
    figure.savefig(folder / "bild é.png")
