"""The network is asked only where the user named something remote in this very call, and no pickle is ever opened."""

import io
import json
import pickle
import shutil
import socket
import tarfile

import pytest
import torch
from datasets import Dataset, DatasetDict
from huggingface_hub import constants

from engine.data import load
from engine.data.of_run import data_of
from engine.evaluate.sides import base_and_tuned, tokenizer_of
from engine.evaluate.weights import ChangedModel
from engine.models import load_model, load_tokenizer, load_tuned
from engine.offline import offline
from engine.planning.memory import training_memory
from engine.training.rerun import rerun
from glasstune import InputError, Run
from tests.engine.small import save_base

ROWS = [{"prompt": f"question {n}", "completion": f"answer {n}"} for n in range(4)]


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No socket goes out and no pickle is opened, even where the attempt would be swallowed."""
    tried: list[str] = []

    def refuse(what):
        def refused(*args, **kwargs):
            tried.append(f"{what}{args[:2]}")
            raise OSError(f"a test tried {what}")

        return refused

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("datasets.config.HF_UPDATE_DOWNLOAD_COUNTS", True)
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse(name))
    monkeypatch.setattr(socket, "getaddrinfo", refuse("getaddrinfo"))
    monkeypatch.setattr(torch, "load", refuse("torch.load"))
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse(f"pickle.{name}"))
    yield tried
    assert not tried


@pytest.fixture
def model(tmp_path):
    return save_base(tmp_path / "model")


def with_config(folder, name="config.json", **changed):
    config = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(config | changed))


def test_the_guard_sees_what_is_remote(alone):
    with pytest.raises(InputError, match="nor downloaded, and the Hub does not answer"):
        load_tokenizer("owner/not-there")
    assert alone, "what the user names is asked for"
    alone.clear()
    with offline(), pytest.raises(InputError, match="neither a folder here nor downloaded"):
        load_model("owner/not-there")


@pytest.mark.parametrize("load_it", [load_tokenizer, load_model, load])
def test_a_hub_that_does_not_answer_is_asked_once(load_it, alone):
    """Its libraries would try again for most of a minute."""
    with pytest.raises(InputError, match="owner/not-there"):
        load_it("owner/not-there")
    assert len(alone) == 1, alone
    alone.clear()


def test_a_model_of_pickles_is_refused_before_it_is_opened(model, tmp_path):
    weights = model / "model.safetensors"
    shutil.move(weights, model / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"holds only pytorch_model.bin: a pickle can run any code"):
        load_model(model)
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": "pytorch_model.bin"}}))
    with pytest.raises(InputError, match="which is no safetensors file"):
        load_model(model)


@pytest.mark.parametrize("config", [
    {"attn_implementation": "kernels-community/flash-attn2"}, {"_attn_implementation": "somebody/kernel@main"},
    {"text_config": {"experts_implementation": "somebody/kernel"}}, {"transformers_weights": "../other.safetensors"},
    {"auto_map": {"AutoModelForCausalLM": "somebody/repository--code.Model"}},
])  # fmt: skip
def test_a_config_that_leads_elsewhere_is_refused(config, model):
    with_config(model, **config)
    with pytest.raises(InputError, match=r"from elsewhere|leads elsewhere"):
        load_model(model)


def test_an_adapter_beside_a_model_does_not_choose_the_base(model):
    (model / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "somebody/base"}))
    with pytest.raises(InputError, match="holds an adapter besides a model"):
        load_model(model)


@pytest.fixture
def stranger(lora_run, tmp_path):
    """A Run whose files name what is elsewhere."""
    folder = shutil.copytree(lora_run.path, tmp_path / "run")

    def named(**model):
        about = json.loads((folder / "run.json").read_text())
        about["model"] |= model
        about["data"]["source"] = "somebody/data"
        (folder / "run.json").write_text(json.dumps(about))
        return Run.load(folder)

    return named


def test_whatever_a_run_names_is_not_fetched(stranger, tmp_path):
    run = stranger(source="somebody/model")
    for name in ("tokenizer_config.json", "tokenizer.json"):
        (run.path / "adapter" / name).unlink()
    for act in (
        lambda: load_tuned(run), lambda: tokenizer_of(run), lambda: ChangedModel(run),
        lambda: training_memory(run.base, "lora"), lambda: base_and_tuned(run).__enter__(),
        lambda: data_of(run), lambda: rerun(run, tmp_path / "again", progress=False),
    ):  # fmt: skip
        with pytest.raises(InputError, match=r"here|offline|Hub"):
            act()


@pytest.mark.parametrize("wrong, said", [
    ("adapter_model.bin", "a pickle can run any code"), ("XLORA", "leads elsewhere"), ("nothing", "no checkpoint"),
    ("config", "cannot be read"),
])  # fmt: skip
def test_an_adapter_is_looked_at_before_it_is_loaded(wrong, said, stranger):
    folder = stranger().path / "adapter"
    weights = folder / "adapter_model.safetensors"
    if wrong == "adapter_model.bin":
        shutil.move(weights, folder / wrong)
    elif wrong == "XLORA":
        with_config(folder, "adapter_config.json", peft_type="XLORA", adapters={"0": "somebody/adapter"})
    elif wrong == "nothing":
        weights.unlink()
    else:
        (folder / "adapter_config.json").unlink()
    with pytest.raises(InputError, match=said):
        load_tuned(Run.load(folder.parent))


def test_what_is_here_is_loaded_without_a_call(model, lora_run, tmp_path):
    load_model(model)
    load_tuned(lora_run)
    tokenizer_of(lora_run)
    assert not constants.HF_HUB_OFFLINE, "and then the network is as it was"
    Dataset.from_list(ROWS).to_parquet(tmp_path / "rows.parquet")
    assert len(load(tmp_path / "rows.parquet").train) == 4
    (tmp_path / "folder").mkdir()
    shutil.move(tmp_path / "rows.parquet", tmp_path / "folder" / "train.parquet")
    assert len(load(tmp_path / "folder").train) == 4
    DatasetDict(train=Dataset.from_list(ROWS)).save_to_disk(tmp_path / "saved")
    assert len(load(tmp_path / "saved").train) == 4


@pytest.mark.parametrize("end", ["pth", "pt", "npy", "json"])
def test_no_pickle_in_an_archive_is_opened(end, tmp_path):
    (tmp_path / "data").mkdir()
    with tarfile.open(tmp_path / "data" / "train.tar", "w") as archive:
        for number in range(3):
            content = b"{}" if end == "json" else bytes(64)
            about = tarfile.TarInfo(f"{number}.{end}")
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    with pytest.raises(InputError, match="would be read as webdataset"):
        load(tmp_path / "data")


def test_nor_one_that_pandas_would_read(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.pkl").write_bytes(b"\x80\x04N.")
    (tmp_path / "data" / "README.md").write_text("---\nconfigs:\n- config_name: a\n  data_files: train.pkl\n---\n")
    with pytest.raises(InputError):
        load(tmp_path / "data")


@pytest.mark.parametrize("named", ["../secret.jsonl", "{folder}/secret.jsonl", "https://example.org/a.jsonl"])
def test_a_data_folder_names_nothing_outside_itself(named, tmp_path):
    (tmp_path / "secret.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (tmp_path / "data").mkdir()
    named = named.format(folder=tmp_path)
    (tmp_path / "data" / "README.md").write_text(f"---\nconfigs:\n- config_name: a\n  data_files: {named}\n---\n")
    with pytest.raises(InputError):
        load(tmp_path / "data")


@pytest.mark.parametrize("inside", ["", "train"])
def test_nor_does_a_saved_data_set(inside, tmp_path):
    Dataset.from_list(ROWS).save_to_disk(tmp_path / "secret")
    data = Dataset.from_list(ROWS)
    (DatasetDict(train=data) if inside else data).save_to_disk(tmp_path / "data")
    state = tmp_path / "data" / inside / "state.json"
    up = "../../secret" if inside else "../secret"
    with_config(state.parent, "state.json", _data_files=[{"filename": f"{up}/data-00000-of-00001.arrow"}])
    with pytest.raises(InputError, match="lies outside it"):
        load(tmp_path / "data")
