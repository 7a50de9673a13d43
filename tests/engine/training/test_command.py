"""The command line knows what Python knows, because both come from one list; and it answers before anything heavy."""

import inspect
import subprocess
import sys
from argparse import ArgumentParser
from dataclasses import fields

import pytest

from engine.commands.finetune import COMMAND, told
from engine.recording.options import CaptureOptions
from engine.training.methods import METHODS, QLoRA
from engine.training.request import Request
from glasstune import InputError, LoRA, capture, finetune


def parser() -> ArgumentParser:
    made = ArgumentParser()
    COMMAND.options(made)
    return made


def read(arguments: list[str]) -> dict:
    return told(parser().parse_args(arguments))


def test_every_keyword_is_an_option_and_every_option_a_keyword():
    shown = {action.dest for action in parser()._actions} - {"help", "dry_run"}
    python = set(inspect.signature(finetune).parameters) | {
        about.name for kind in METHODS.values() for about in fields(kind)
    }
    assert shown == python
    assert {"evaluate_at", "answers", "skills", "budget", "modules", "dtype", "trainer", "target_modules"} <= shown


def test_the_signature_is_what_an_editor_shows():
    found = inspect.signature(finetune)
    assert list(found.parameters)[:3] == ["model", "data", "method"]
    assert found.parameters["steps"].annotation == int | None and found.parameters["batch_size"].default == 32
    assert not any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in found.parameters.values())
    assert all(f"{about.name}: " in finetune.__doc__ for about in fields(Request))
    same = {"every", "modules", "budget", "overwrite"}
    assert {name: found.parameters[name].default for name in same} == {
        name: getattr(CaptureOptions, name) for name in same
    }
    assert found.parameters["evaluate_at"].default == "auto"  # a callback does not know how long a step takes
    assert "must_capture" in inspect.signature(capture).parameters


def test_help_loads_nothing_heavy():
    code = """
import sys
from engine.finetune import main
try:
    main(["--help"])
except SystemExit:
    pass
heavy = {"torch", "transformers", "peft", "pandas", "datasets", "scipy", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.returncode == 0 and "--evaluate-at" in said.stdout, said.stderr


def test_what_is_typed_is_what_python_would_be_told():
    typed = [
        "--out",
        "x",
        "--data",
        "pirate",
        "--method",
        "qlora",
        "--r",
        "4",
        "--target-modules",
        "q_proj",
        "v_proj",
        "--no-double-quant",
        "--steps",
        "7",
        "--every",
        '{"0":1,"5":2}',
        "--modules",
        "*.q_proj",
        "--budget",
        "none",
        "--skills",
        "3",
        "--evaluate-at",
        "2",
        "--no-answers",
        "--checkpoint",
        "none",
        "--dtype",
        "bfloat16-autocast",
        "--gradient-checkpointing",
        "--trainer",
        "lr_scheduler_type=cosine",
        "--trainer",
        "adam_beta2=0.95",
        "--no-mask-prompts",
        "--overwrite",
    ]
    assert read(typed) == {
        "out": "x", "data": "pirate", "steps": 7, "every": {0: 1, 5: 2}, "modules": ["*.q_proj"], "budget": None,
        "skills": 3, "evaluate_at": 2, "answers": False, "checkpoint": None, "dtype": "bfloat16-autocast",
        "gradient_checkpointing": True, "trainer": {"lr_scheduler_type": "cosine", "adam_beta2": 0.95},
        "mask_prompts": False, "overwrite": True,
        "method": QLoRA(r=4, target_modules=["q_proj", "v_proj"], double_quant=False),
    }  # fmt: skip
    plain = read(["--out", "x", "--target-modules", "all-linear", "--every", "5", "--dry-run"])
    assert plain == {"out": "x", "every": 5, "method": LoRA()}
    with pytest.raises(InputError, match="--quant-type is for qlora; lora fine-tuning has none"):
        read(["--out", "x", "--quant-type", "fp4"])
