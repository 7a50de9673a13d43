"""The page's modules, asked from Python: one call is one run of ask.mjs in Node."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from engine.run.base import EMBEDDED_FOLDER

RUNNER = Path(__file__).with_name("ask.mjs")


def ask(
    question: str, folder: Path, tensors: dict[str, np.ndarray] | None = None, **about: Any
) -> tuple[Any, dict[str, np.ndarray]]:
    """What ask.mjs says to `question`: its JSON and its tensors, which go through safetensors files in `folder`."""
    node = shutil.which("node")
    assert node, "the run page's modules are tested in Node 20 or newer; `make setup` installs it"
    given, made = folder / "given.safetensors", folder / "made.safetensors"
    made.unlink(missing_ok=True)
    save_file({name: np.asarray(value, order="C") for name, value in (tensors or {}).items()}, given)
    about |= {"base": str(EMBEDDED_FOLDER), "given": str(given), "made": str(made)}
    said = subprocess.run([node, RUNNER, question], input=json.dumps(about), capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert not said.stderr, said.stderr
    return json.loads(said.stdout), load_file(made) if made.exists() else {}


def ask_page(question: str, **about: Any) -> Any:
    """What page.mjs says to `question`: its JSON."""
    node = shutil.which("node")
    assert node, "the run page's modules are tested in Node 20 or newer; `make setup` installs it"
    runner = RUNNER.with_name("page.mjs")
    said = subprocess.run([node, runner, question], input=json.dumps(about), capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert not said.stderr, said.stderr
    return json.loads(said.stdout)
