"""Fine-tuning you can see through: what is used most, loaded when it is first asked for.

from glasstune import LoRA, finetune, plots
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.errors import InputError
    from engine.recording.callback import CaptureCallback, capture
    from engine.run.run import Run
    from engine.training.finetune import finetune
    from engine.training.methods import Full, LoRA, QLoRA
    from visualize import plots

_HOME = {
    "CaptureCallback": "engine.recording.callback",
    "Full": "engine.training.methods",
    "InputError": "engine.errors",
    "LoRA": "engine.training.methods",
    "QLoRA": "engine.training.methods",
    "Run": "engine.run.run",
    "capture": "engine.recording.callback",
    "finetune": "engine.training.finetune",
}
__all__ = ["CaptureCallback", "Full", "InputError", "LoRA", "QLoRA", "Run", "capture", "finetune", "plots"]


def __getattr__(name: str) -> Any:
    """Reading a Run must not load torch, so each name is fetched from its file when it is asked for."""
    if name == "plots":
        return import_module("visualize.plots")
    if name not in _HOME:
        raise AttributeError(f"module 'glasstune' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
