"""With what was a run made, so that it can be made again? Versions, host, and the command as it was typed."""

import os
import platform
import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "numpy")


def provenance() -> dict[str, Any]:
    """The fields of run.json that say where it comes from."""
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "host": {"machine": platform.machine(), "cpus": os.cpu_count(), "threads": torch.get_num_threads()},
        "command": command_typed(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def command_typed() -> str:
    """What one would type to start this program again: modules by their names, installed commands without their
    folders. "" in a notebook, where nothing was typed."""
    program, *arguments = sys.argv or [""]
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None:
        module = spec.name.removesuffix(".__main__")
        return "" if module == "ipykernel_launcher" else shlex.join(["python", "-m", module, *arguments])
    if program.endswith(".py"):
        return shlex.join(["python", program, *arguments])
    return shlex.join([Path(program).name, *arguments]) if program else ""
