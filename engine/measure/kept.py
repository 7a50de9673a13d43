"""What is kept of the base, step by step, and how sure is that? Every measure of forgetting with its 95 % interval.

Of general probes (`engine.evaluate.probes`): a share of right answers has Wilson's interval; a mean over probes is
drawn again a thousand times from the same probes (bootstrap, Efron 1979). What began somewhere is shown as its change,
each probe beside itself: probes differ far more from each other than one does from step to step. Of a run that was
graded on the curriculum: the share of all its old questions that are right, and the rise of their loss. Of one or two
items there is no such interval, and none is given.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from engine.errors import InputError
from engine.measure import forgetting
from engine.measure.shares import wilson
from engine.run.run import Run

_DRAWS = 1000
_LEAST = 3  # probes or skills: drawn again from one or two of them, the mean has an interval of hardly any width


class Measure(NamedTuple):
    """title: with its unit, and which way is better. scale: of what the Run holds. change: minus the first evaluation.
    share: of right answers."""

    title: str
    scale: float = 1.0
    change: bool = False
    share: bool = False


MEASURES = {
    "instructions": Measure("instructions followed (%)\nup: better kept", 100, share=True),
    "few_shot": Measure("few-shot patterns right (%)\nup: better kept", 100, share=True),
    "facts": Measure("right fact of four, probability:\nchange (points), up: better kept", 100, change=True),
    "agreement": Measure("tokens as the base would say (%)\nup: better kept", 100),
    "text": Measure("general text: rise of loss\n(nats a token), down: better kept", change=True),
    "kl": Measure("KL from the base's answers\n(nats a token), down: better kept"),
    "task_kl": Measure("KL from the base, on the task\n(nats a token): how far it went"),
    "exact": Measure("old skills, right (%)\nup: better kept", 100, share=True),
    "loss": Measure("old skills: rise of loss\n(nats a token), down: better kept", change=True),
}


def kept(run: Run) -> dict[str, pd.DataFrame]:
    """Measure -> its mean, low and high by evaluated step (the index), in the unit that `MEASURES` says.

    Raises InputError for a run that was graded on nothing but its task.
    """
    probed = {name: _table(items, MEASURES[name]) for name, items in _items(run).items() if name in MEASURES}
    found = {name: probed[name] for name in MEASURES if name in probed}
    if found:
        return found
    old = run.skills.drop(columns=[run.task] if run.task else [], errors="ignore").dropna(axis=1)
    if old.empty:
        raise InputError(
            f"run {run.name} was not graded on what it could do before; fine-tune with skills=20 to see it"
        )
    return _of_curriculum(run, old)


def _items(run: Run) -> dict[str, tuple[pd.DataFrame, np.ndarray]]:
    """probe -> (step x item values, weights of the items), of the items that every evaluation has."""
    found = {}
    for name, rows in run.measured.groupby("probe"):
        values = rows.pivot(index="step", columns="item", values="value").dropna(axis=1)
        weights = rows.groupby("item")["weight"].first()[values.columns].to_numpy(float)
        values, weights = values.loc[:, weights > 0], weights[weights > 0]
        if not values.empty:
            found[str(name)] = (values, weights)
    return found


def _table(items: tuple[pd.DataFrame, np.ndarray], measure: Measure) -> pd.DataFrame:
    values, weights = items
    count = values.shape[1]
    if measure.share:
        shares = values.mean(axis=1)
        ends = [wilson(share * count, count) for share in shares]
        table = np.column_stack([shares, ends])
    else:
        array = values.to_numpy()
        array = array - array[0] if measure.change else array
        table = np.column_stack([array @ weights / weights.sum(), *_again(array, weights)])
    return pd.DataFrame(measure.scale * table, index=values.index, columns=["mean", "low", "high"])


def _again(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The ends, (2, steps), of what the weighted mean of each step would be with other items; NaN of too few."""
    count = values.shape[1]
    if count < _LEAST:
        return np.full((2, len(values)), np.nan)
    drawn = np.random.default_rng(0).integers(0, count, (_DRAWS, count))
    heavy = weights[drawn]
    means = np.einsum("sdi,di->sd", values[:, drawn], heavy) / heavy.sum(axis=1)
    return np.quantile(means, (0.025, 0.975), axis=1)


def _of_curriculum(run: Run, old: pd.DataFrame) -> dict[str, pd.DataFrame]:
    counts = run.graded[old.columns] if set(old.columns) <= set(run.graded.columns) else None
    rows = []
    for step, scores in old.iterrows():
        asked = np.ones(len(scores)) if counts is None else counts.loc[step].to_numpy(float)
        right, total = float(scores.to_numpy() @ asked), float(asked.sum())
        low, high = wilson(right, int(total)) if counts is not None else (np.nan, np.nan)
        rows.append((100 * right / total, 100 * low, 100 * high))
    rise = forgetting(run)[old.columns]
    low, high = _again(rise.to_numpy(), np.ones(rise.shape[1]))
    columns = ["mean", "low", "high"]
    return {
        "exact": pd.DataFrame(rows, index=old.index, columns=columns),
        "loss": pd.DataFrame(np.column_stack([rise.mean(axis=1), low, high]), index=rise.index, columns=columns),
    }
