"""Real fine-tuning, and its capture. What is used most can be imported from here; it is loaded when first used."""

import logging
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.capture.callback import CaptureCallback, capture
    from engine.errors import InputError
    from engine.finetune import finetune
    from engine.methods import Full, LoRA, QLoRA
    from engine.run import Run

# PEFT loads bitsandbytes, which looks for an optional kernel package and says at every start that there is none.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

_HOME = {
    "CaptureCallback": "engine.capture.callback",
    "Full": "engine.methods",
    "InputError": "engine.errors",
    "LoRA": "engine.methods",
    "QLoRA": "engine.methods",
    "Run": "engine.run",
    "capture": "engine.capture.callback",
    "finetune": "engine.finetune",
}
__all__ = ["CaptureCallback", "Full", "InputError", "LoRA", "QLoRA", "Run", "capture", "finetune"]


class _Engine(ModuleType):
    """`finetune` and `capture` are functions here and files below: importing the file must not hide the function."""

    def __getattr__(self, name: str) -> Any:
        """Reading a Run must not load torch, so each name is fetched from its file when asked for."""
        if name not in _HOME:
            raise AttributeError(f"module 'engine' has no attribute {name!r}")
        value = getattr(import_module(_HOME[name]), name)
        setattr(self, name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Engine
