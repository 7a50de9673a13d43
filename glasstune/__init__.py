"""Fine-tuning you can see through: what is used most, loaded when it is first asked for.

from glasstune import LoRA, finetune, plots
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from glasstune.siblings import check

if TYPE_CHECKING:  # what an editor completes, and a type checker knows
    from engine.errors import InputError as InputError
    from engine.preflight.check import preflight as preflight
    from engine.recording.callback import CaptureCallback as CaptureCallback
    from engine.recording.callback import capture as capture
    from engine.run.run import Run as Run
    from engine.training.finetune import finetune as finetune
    from engine.training.methods import Full as Full
    from engine.training.methods import LoRA as LoRA
    from engine.training.methods import QLoRA as QLoRA
    from visualize import plots as plots

_HOME = {
    "CaptureCallback": "engine.recording.callback",
    "Full": "engine.training.methods",
    "InputError": "engine.errors",
    "LoRA": "engine.training.methods",
    "QLoRA": "engine.training.methods",
    "Run": "engine.run.run",
    "capture": "engine.recording.callback",
    "finetune": "engine.training.finetune",
    "preflight": "engine.preflight.check",
}
__all__ = ["CaptureCallback", "Full", "InputError", "LoRA", "QLoRA", "Run", "capture", "finetune", "plots", "preflight"]


def __getattr__(name: str) -> Any:
    """Reading a Run must not load torch, so each name is fetched from its file when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'glasstune' has no attribute {name!r}")
    check()
    return import_module("visualize.plots") if name == "plots" else getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
