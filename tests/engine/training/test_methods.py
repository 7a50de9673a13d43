"""Methods: a small protocol that one's own satisfies, as the document shows it, and PEFT's own configs."""

import re
from argparse import ArgumentParser
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from peft import IA3Config, LoraConfig

from engine.commands.finetune import options
from engine.finetune import main
from engine.training import methods
from engine.training.methods import FromConfig, Method, get_method, method_of
from engine.training.rerun import arguments_of
from glasstune import Full, InputError, LoRA, QLoRA, Run, finetune
from tests.engine.small import BRIEF

SHORT = {**BRIEF, "steps": 2, "batch_size": 4, "every": 1}
DOCUMENT = Path(__file__).parents[3] / "docs" / "contributing.md"


def test_lora_is_no_full_fine_tuning_and_all_are_frozen_methods():
    assert not isinstance(LoRA(), Full) and not issubclass(QLoRA, Full)
    for method in (Full(), LoRA(), QLoRA()):
        assert isinstance(method, Method) and method_of(method.describe()) == method
        with pytest.raises(FrozenInstanceError):
            method.r = 3


def test_the_documents_recipe_for_a_method_works_as_it_stands(tmp_path, monkeypatch, capsys):
    section = DOCUMENT.read_text(encoding="utf-8").split("## A method")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    monkeypatch.setattr(methods, "METHODS", dict(methods.METHODS))
    names = dict(vars(methods))
    exec(code, names)
    run = finetune("embedded", "spanish", names["OnlyNorms"](), out=tmp_path / "run", **SHORT)
    assert run.method == "norms" and all("norm" in name for name in run.info.modules)
    assert len(run.info.modules) == 2 * 5 + 1 and (run.path / "model").is_dir()
    assert any(np.abs(run.delta(name)).max() > 0 for name in run.info.modules)
    assert arguments_of(run)["method"] == names["OnlyNorms"]()

    arguments = ["--method", "norms", "--last-only", "--steps", "1", "--skills", "0", "--no-answers", "--no-progress"]
    assert main([*arguments, "--out", str(tmp_path / "last")]) == 0, capsys.readouterr().err
    last = Run.load(tmp_path / "last")
    assert last.info.method.to_json() == {"name": "norms", "last_only": True} and len(last.info.modules) == 2
    parser = ArgumentParser()
    options(parser)
    assert "--last-only" in parser.format_help()


def test_a_peft_config_is_a_method(tmp_path):
    config = LoraConfig(r=2, lora_alpha=6, target_modules=["q_proj", "v_proj"], use_dora=True)
    run = finetune("embedded", "spanish", config, out=tmp_path / "run", dtype="bfloat16", save=True, **SHORT)
    assert run.method == "lora" and {about.kind for about in run.info.modules.values()} == {"dora"}
    assert {name.rpartition(".")[2] for name in run.modules} == {"q_proj", "v_proj"} and (run.path / "adapter").is_dir()
    assert run.info.method.options["r"] == 2 and run.info.method.options["config"]["use_dora"] is True
    again = arguments_of(run)["method"]
    assert isinstance(again, FromConfig) and again.describe() == run.info.method.to_json()
    assert config.base_model_name_or_path is None, "the user's own object is left as it was"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("told, said", [
    ({"rank_pattern": {"(([a-z_.0-9]+)+)+!": 8}}, "could take for ever"), ({"alpha_pattern": {"(a|a)*!": 8}}, "for ever"),
    ({"target_modules": "(([a-z]+)+)+!"}, "for ever"), ({"rank_pattern": {"(": 8}}, "no regular expression"),
    ({"rank_pattern": {"q_proj": 20_000_000}}, "r is 20000000; it can be at most"), ({"rank_pattern": {"q_proj": "x"}}, "understood"),
    ({"rank_pattern": ["q_proj"]}, "understood"), ({"lora_alpha": "x"}, "understood"), ({"alpha_pattern": {"q_proj": None}}, "understood"), ({"rank_pattern": {"q_proj": None}}, "understood"), ({"lora_alpha": float("nan")}, "at most"), ({"rank_pattern": {"q_proj": -1}}, "at least 1"), ({"r": 10**9}, "at most"),
])  # fmt: skip
def test_a_config_out_of_a_run_is_bounded(told, said):
    with pytest.raises(InputError, match=said):
        method_of({"name": "lora", "config": {"r": 8, "target_modules": ["q_proj"], **told}})


def test_a_rank_of_some_layers_is_no_wider_than_the_model():
    for told in ({"r": 2, "rank_pattern": {"q_proj": 500_000}}, {"r": 500_000}):
        with pytest.raises(InputError, match="no matrix of this model is wider than"):
            FromConfig(LoraConfig(target_modules=["q_proj"], **told)).prepare("embedded")


@pytest.mark.parametrize(
    "method, said",
    [
        (IA3Config(), "method is PEFT's IA3Config, which cannot be captured yet"),
        (LoRA, r"give one made of it: LoRA\(...\)"),
        (7, "method is 7; give full, lora, qlora"),
        ("lorra", "no method called 'lorra'"),
    ],
)
def test_what_is_no_method_is_named(method, said):
    with pytest.raises(InputError, match=said):
        get_method(method)
