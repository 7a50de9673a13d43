"""How is a program started that would first load everything? In a fork of a process that has, with files to write into.

What `python -m NAME` does then, its output and its status are the same; some five seconds of imports are spared. A
notebook's kernel is such a program, too.
"""

import gc
import os
import runpy
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import torch

from tests.children import FORKS


def run_module(name: str, *arguments: object, seconds: float = 300) -> "CompletedProcess[str]":
    """As `subprocess.run([sys.executable, "-m", name, *arguments], capture_output=True, text=True)`, on one thread."""
    return _forked(_module, [name, *map(str, arguments)], seconds)


def run_code(code: str, seconds: float = 300) -> "CompletedProcess[str]":
    """As `subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)`, likewise."""
    return _forked(_code, ["-c", code], seconds)


def _forked(work: Callable[[list[str]], None], words: list[str], seconds: float) -> "CompletedProcess[str]":
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder) / "out", Path(folder) / "err"]
        child = FORKS.Process(target=_run, args=(work, words, dict(os.environ), said))
        child.start()
        child.join(seconds)
        if child.is_alive():
            child.kill()
            child.join()
        return CompletedProcess(words, child.exitcode, *(path.read_text(encoding="utf-8") for path in said))


def _module(words: list[str]) -> None:
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


def _code(words: list[str]) -> None:
    warnings.simplefilter("ignore")
    exec(compile(words[1], "<code>", "exec"), {"__name__": "__main__"})


def _run(work: Callable[[list[str]], None], words: list[str], environment: dict[str, str], said: list[Path]) -> None:
    gc.freeze()  # nothing of what was there before the fork is searched for garbage
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)
    for number, path in enumerate(said, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, "utf-8") for number in (1, 2))
    sys.argv = words
    work(words)


class ForkedKernel:
    """In place of `jupyter_client.launch_kernel`: what that gives, a `subprocess.Popen`, as far as it is used."""

    stdin = stdout = stderr = None

    def __init__(self, cmd: list[str], *, env: dict[str, str], cwd: "str | Path | None" = None, **_: Any) -> None:
        self._process = FORKS.Process(target=_kernel, args=(cmd, env, cwd))
        self._process.start()
        assert self._process.pid
        self.pid = self._process.pid
        while self.poll() is None and os.getpgid(self.pid) != self.pid:  # its group is signalled, not the server's
            time.sleep(0.01)

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        self._process.join(timeout)
        return self.poll()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _kernel(cmd: list[str], environment: dict[str, str], folder: "str | Path | None") -> None:
    os.setsid()
    os.chdir(folder or ".")
    for name in [name for name in sys.modules if name.partition(".")[0] == "lessons"]:
        del sys.modules[name]  # a lesson's session is made when it is imported, from the environment
    sys.path.insert(0, "")
    _run(_module, cmd[cmd.index("-m") + 1 :], environment, [Path(os.devnull)] * 2)
