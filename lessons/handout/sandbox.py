"""How is code tried that somebody handed in? Its function is called in another process, and only values come back.

Time, memory and writing are limited, the folder is an empty one, the environment is bare, and what comes back is JSON:
a wrong answer cannot make itself right. It is a fence against mistakes, not a prison: where students are not to be
trusted, grade in a container without network.
"""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from engine.reading import parse_json
from lessons.handout.tryout import decode, encode

SECONDS, MEGABYTES = 20, 2048
_LONGEST = 200_000_000  # characters of an answer
_CHILD = Path(__file__).with_name("tryout.py")


class Sandbox:
    """A student's function in a process of its own. `call(...)` gives what it returns, and raises what it raised.

    code: defines the function `name`. lent: further names that are there, as `lent.lent` tells of them. seconds: of
    waiting, to begin with, and once more for all calls together; megabytes: of memory (numpy's own included).
    """

    def __init__(
        self, code: str, name: str, lent: Mapping[str, Any] | None = None, seconds: int = SECONDS,
        megabytes: int = MEGABYTES,
    ) -> None:  # fmt: skip
        self.seconds, self.left = seconds, float(seconds)
        self.folder = tempfile.TemporaryDirectory()
        bare = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(_CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, encoding="utf-8", cwd=self.folder.name,
            env={**bare, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        limits = {"seconds": seconds, "megabytes": megabytes}
        self.opening = {"code": code, "name": name, "lent": dict(lent or {}), **limits}
        self.began = False

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()
        self.folder.cleanup()

    def call(self, *values: Any) -> Any:
        """What the function returns for these values: numbers, text, arrays, and lists and dictionaries of them."""
        if not self.began:
            self._ask(self.opening)
            self.began, self.left = True, float(self.seconds)
        return decode(self._ask(encode(values)))

    def _ask(self, what: Any) -> Any:
        assert self.process.stdin
        asked = time.monotonic()
        try:
            self.process.stdin.write(json.dumps(what) + "\n")
            self.process.stdin.flush()
            said = parse_json(self.lines.get(timeout=max(0.0, self.left)))
            self.left -= time.monotonic() - asked
        except queue.Empty:
            self.left = 0.0
            raise TimeoutError(f"no answer within {self.seconds} s") from None
        except (OSError, ValueError):
            raise RuntimeError("it ended the process that it ran in, or used more time or memory than it may") from None
        if isinstance(said, dict) and isinstance(said.get("error"), list):
            kind, message = (str(part) for part in said["error"][:2])
            raise type(kind if kind.isidentifier() else "Error", (Exception,), {})(message)  # named as it was there
        return said["value"]

    def _read(self) -> None:
        assert self.process.stdout
        try:
            while line := self.process.stdout.readline(_LONGEST):
                self.lines.put(line)
        except (OSError, ValueError):
            pass
        self.lines.put("")  # it has ended
