"""What is one trial? Settings and a seed in, numbers out; claims share the trials that they have in common.

A trial is a frozen dataclass whose fields are all that its result follows from, and `run()`. Two claims that need the
same training name the same trial, and it is run once.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

Result = dict[str, Any]


@dataclass(frozen=True)
class Trial(ABC):
    """seed: everything random in it: the order of the data, LoRA's A, what is drawn."""

    seed: int = 0
    kinds: ClassVar[dict[str, type["Trial"]]] = {}
    seeded: ClassVar[bool] = True  # False: nothing in it is random, and once is enough

    def __init_subclass__(cls) -> None:
        Trial.kinds[cls.__name__] = cls

    @abstractmethod
    def run(self) -> Result:
        """Do it; what comes back can be written as JSON."""

    def with_seed(self, seed: int) -> Self:
        return replace(self, seed=seed if self.seeded else 0)
