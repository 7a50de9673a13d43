"""What is a claim? A textbook's sentence, the trials that try it, and which numbers of theirs speak for it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.errors import InputError
from lessons.claims.trials import Result, Trial
from lessons.claims.verdict import Says

Values = Mapping[str, Sequence[float | None]]  # condition -> one number a seed; None where a seed has none


class Results:
    """The finished trials, looked up by trial: `results(trial)` gives one result a seed.

    seeds: those for which every trial that is asked for has finished.
    """

    def __init__(self, found: Mapping[Trial, Result], seeds: Iterable[int]) -> None:
        self.found, self.seeds = found, list(seeds)

    def __call__(self, trial: Trial) -> list[Result]:
        return [self.found[trial.with_seed(seed)] for seed in self.seeds]


@dataclass(frozen=True)
class Claim:
    """id: for the command line. sentence: as textbooks have it. effect: what the numbers are, unit included.

    trials: all that `values` looks up. says: what the sentence says of the effects. source: who says it.
    """

    id: str
    sentence: str
    effect: str
    unit: str
    says: Says
    trials: tuple[Trial, ...]
    values: Callable[[Results], Values] = field(repr=False)
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "trials", tuple(dict.fromkeys(self.trials)))
        if not self.trials:
            raise InputError(f"claim {self.id} has no trials")

    @property
    def seeded(self) -> bool:
        """False if nothing in it is random."""
        return any(trial.seeded for trial in self.trials)
