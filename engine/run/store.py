"""Where do a Run's numbers come from? A `Store`: a captured folder, an adapter, two checkpoints, a Trainer's output.

A `Run` (engine.run.run) checks what it is asked for and asks its store; a store (engine.run.stores) knows no Run.
"""

from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from engine.errors import InputError
from engine.run.delta import Factors
from engine.run.info import RunInfo
from engine.run.sketch import Sketch


class Movement(NamedTuple):
    """Frobenius norms of delta-W and of W, in the weights' unit. Not a number where a weight is none."""

    norm: float
    base_norm: float


class Store(Protocol):
    """What a Run asks. Steps and modules are ones that the store has; matrices are float32, (out, in).

    path: the folder or file, which tells the Run from others. info: the facts, as run.json has them.
    """

    path: Path
    info: RunInfo

    def steps(self) -> list[int]:
        """The steps whose weights are there, in order."""
        ...

    def records(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        ...

    def answers(self) -> list[dict[str, Any]]:
        """The lines of answers.jsonl."""
        return []

    def norms(self) -> dict[int, dict[str, float]] | None:
        """step -> module -> the norm of its change, as written down; None if they are to be computed."""
        return None

    def factors(self, step: int, module: str, adapter: str | None = None) -> Factors:
        """B, A and scaling of a module whose kind is "lora", or "dora" (there the direction only)."""
        raise InputError(f"the change of {module} in {self.path} is kept whole: it has a delta but no factors")

    def delta(self, step: int, module: str) -> np.ndarray:
        """The change of a module, of any kind."""
        ...

    def sketch(self, step: int, module: str) -> Sketch:
        """The summary of a module whose `sketch` is set."""
        raise InputError(f"{self.path} holds no sketch of {module}")

    def moved(self, step: int, module: str) -> Movement | None:
        """The norms of a change and of W, if they can be had without holding the matrix."""
        return None

    def rounding(self, step: int, module: str) -> float:
        """Up to which norm a change is what rounding leaves of two equal numbers; 0 where nothing is subtracted."""
        return 0.0

    def coded(self, step: int, module: str) -> str:
        """Where the change of a module may be what quantising one of two models lost: how that one is stored."""
        return ""

    def weight(self, module: str) -> np.ndarray:
        """W before any change. Raises InputError if it is not at hand."""
        ...
