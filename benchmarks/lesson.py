"""How long does a newcomer wait? The LoRA lesson as it is typed, without the film."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure

TITLE = "python -m lessons.lora --auto --no-film"
REPEATS = 3


def measure() -> list[Figure]:
    """Seconds from the command to the first picture's file, and to the lesson's end."""
    first, whole = zip(*(_walk() for _ in range(REPEATS)), strict=True)
    return [
        Figure("until the first picture", "s", list(first), goal="at most 20"),
        Figure("until the end", "s", list(whole), goal="at most 60"),
    ]


def _walk() -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-u", "-m", "lessons.lora", "--auto", "--no-film", "--out", folder]
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        first = 0.0
        while process.poll() is None:
            if not first and any(Path(folder).glob("*/pictures/*.png")):
                first = time.perf_counter() - began
            time.sleep(0.02)
        whole = time.perf_counter() - began
    if process.returncode or not first:
        raise RuntimeError(f"the lesson ended with {process.returncode} after {whole:.0f} s")
    return first, whole
