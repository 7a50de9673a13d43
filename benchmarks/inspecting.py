"""How long does one wait for `glasstune inspect ADAPTER`? The whole command as a process of its own, from the shell."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from benchmarks.figures import Figure
from engine.run.delta import PEFT_PREFIX
from engine.run.run import Run

TITLE = "Inspecting an adapter: the command's start, its answer, its end"
TIMES = 7
ADAPTER = '{"peft_type": "LORA", "r": 8, "lora_alpha": 16, "base_model_name_or_path": "embedded"}'


def measure() -> Iterator[Figure]:
    """A rank-8 adapter of a model of 128 x 128 matrices, written here; its base is the embedded one."""
    with tempfile.TemporaryDirectory() as folder:
        place = _adapter(Path(folder))
        yield Figure("glasstune inspect ADAPTER", "s", [_seconds(place) for _ in range(TIMES)], "less than 1")
        began = time.perf_counter()
        Run.open(place).norms.sum()
        yield Figure("of that, reading the adapter and its norms", "s", [time.perf_counter() - began])


def _adapter(folder: Path) -> Path:
    random, tensors = np.random.default_rng(0), dict[str, np.ndarray]()
    for layer in range(5):
        for name in ("q_proj", "o_proj"):
            module = f"{PEFT_PREFIX}model.layers.{layer}.self_attn.{name}"
            tensors[f"{module}.lora_A.weight"] = random.standard_normal((8, 128), np.float32)
            tensors[f"{module}.lora_B.weight"] = random.standard_normal((128, 8), np.float32) / 100
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(ADAPTER)
    return folder


def _seconds(adapter: Path) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "glasstune", "inspect", adapter], check=True, capture_output=True)
    return time.perf_counter() - began
