"""The command that a run was made with can be typed again, wherever the program lies."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from engine.recording.origin import command_typed


@pytest.mark.parametrize(
    ("module", "argv", "typed"),
    [
        ("animations.runs", ["/home/me/project/animations/runs.py", "full"], "python -m animations.runs full"),
        ("engine.finetune.__main__", ["x/__main__.py", "--out", "a b"], "python -m engine.finetune --out 'a b'"),
        (None, ["/home/me/.venv/bin/glasstune", "finetune"], "glasstune finetune"),
        (None, ["train.py", "--lr", "1"], "python train.py --lr 1"),
        (None, [""], ""),
        ("ipykernel_launcher", ["/usr/lib/ipykernel_launcher.py", "-f", "/root/kernel.json"], ""),
    ],
)
def test_the_command_is_what_one_types(module, argv, typed, monkeypatch):
    spec = module and SimpleNamespace(name=module)
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__spec__=spec))
    monkeypatch.setattr(sys, "argv", argv)
    assert command_typed() == typed


def test_a_real_module_is_called_by_its_name(tmp_path):
    (tmp_path / "mine.py").write_text("from engine.recording.origin import command_typed\nprint(command_typed())\n")
    command = [sys.executable, "-m", "mine", "--one"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert said.strip() == "python -m mine --one"
