"""What is a claim? A sentence as its source says it, how it is tried, and which numbers speak for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from lessons.claims.intervals import Effect
from lessons.claims.trials import Result, Trial
from lessons.claims.verdict import Says

SEEDS = 5  # judged by
CHOOSING = (100, 101)  # seeds by which settings are chosen: others than those that are judged by


class NotYet(Exception):
    """These trials have to finish before more can be read."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        super().__init__(f"{len(trials)} trials have not finished")
        self.trials = list(trials)


class Results:
    """The finished trials, looked up by trial: `results(trial)` gives one result a seed.

    Whoever reads need not say beforehand what will be asked for: what has not finished raises `NotYet`, and is asked
    for again when it has. So one reading may depend on another, as a judgement does on a choice.
    """

    def __init__(self, get: Callable[[Trial], Result | None], seeds: int = SEEDS) -> None:
        self.get, self.seeds = get, range(seeds)
        self.used: dict[Trial, None] = {}

    def need(self, trials: Sequence[Trial]) -> list[Result]:
        """All of these, with the seeds that they name. Raises NotYet, with all that are missing, if any is."""
        self.used |= dict.fromkeys(trials)
        found = [self.get(trial) for trial in trials]
        if missing := [trial for trial, result in zip(trials, found, strict=True) if result is None]:
            raise NotYet(list(dict.fromkeys(missing)))
        return [result for result in found if result is not None]

    def __call__(self, trial: Trial) -> list[Result]:
        """The same trial with every seed that is judged by (once, if no seed matters)."""
        return self.need([trial.with_seed(seed) for seed in (self.seeds if trial.seeded else (0,))])

    def each(self, *trials: Trial) -> list[list[Result]]:
        """The same of several trials, which may then all run at once."""
        self.need([t.with_seed(seed) for t in trials for seed in (self.seeds if t.seeded else (0,))])
        return [self(trial) for trial in trials]


Reader = Callable[[Results], Effect]


def over(read: Callable[..., Effect], *axes: Mapping[str, object]) -> dict[str, Reader]:
    """A condition for every combination: `read(results, value, ...)` under the names, joined, of its values."""

    def bound(values: tuple[object, ...]) -> Reader:
        return lambda r: read(r, *values)

    every = product(*(axis.items() for axis in axes))
    return {", ".join(name for name, _ in one): bound(tuple(value for _, value in one)) for one in every}


@dataclass(frozen=True)
class Claim:
    """A claim, and its card.

    id: for the command line. sentence: what is tried. source: who says it; quote: as they say it, if not in these
    words. effect: what the numbers are; unit: theirs. says: what the sentence says of them, and the margin with its
    reason. conditions: name -> what is read from the trials. design: how it is tried. wrong: what could make the
    verdict wrong. student: what it means for one. exact: arithmetic, where nothing is random.
    """

    id: str
    sentence: str
    effect: str
    unit: str
    says: Says
    conditions: Mapping[str, Reader] = field(repr=False)
    design: str
    wrong: str
    student: str
    source: str = ""
    quote: str = ""
    exact: bool = False
