"""How is a program started that would first load everything? In a fork of a process that has, with files to write into.

What `python -m NAME` does then, its output and its status are the same; some five seconds of imports are spared.
"""

import os
import runpy
import sys
import tempfile
from pathlib import Path
from subprocess import CompletedProcess

import torch

from tests.children import FORKS


def run_module(name: str, *arguments: object, seconds: float = 300) -> "CompletedProcess[str]":
    """As `subprocess.run([sys.executable, "-m", name, *arguments], capture_output=True, text=True)`, on one thread."""
    words = [name, *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder) / "out", Path(folder) / "err"]
        child = FORKS.Process(target=_run, args=(words, dict(os.environ), said))
        child.start()
        child.join(seconds)
        if child.is_alive():
            child.kill()
            child.join()
        return CompletedProcess(words, child.exitcode, *(path.read_text(encoding="utf-8") for path in said))


def _run(words: list[str], environment: dict[str, str], said: list[Path]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)
    for number, path in enumerate(said, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, "utf-8") for number in (1, 2))
    sys.argv = words
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)
