"""Do loss and answers tell the same story? Two evaluations at a time: did both rise, or did they part?

Loss is a mean over tokens, of how likely the right ones are; an answer is right or wrong, by its least likely token.
So a model can become surer of what it knew already, and lose what it barely knew: its loss falls, and so does its
score. Here every pair of evaluations is looked at, of one run or of several, and what is found is counted.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from engine.errors import InputError
from engine.run.apart import told_apart
from engine.run.run import Run


def evaluations(runs: Run | Sequence[Run] | Mapping[str, Run], skills: Sequence[str] | None = None) -> pd.DataFrame:
    """Every evaluation of every skill that has answers and a loss, a row each.

    Columns: skill, run, step, loss (nats a token), exact.

    runs: one, several, or several by the label that stands under `run`; by default their names, told apart. skills:
    default all that were graded, the task among them. Raises InputError for a run without evaluations, or for a skill
    that none of them graded.
    """
    if not isinstance(runs, Mapping):
        several = [runs] if isinstance(runs, Run) else runs
        runs = dict(zip(told_apart(several), several, strict=True))
    rows = []
    for label, run in runs.items():
        if run.skills.empty:
            raise InputError(f"run {run.name} was not graded; fine-tune with held-out data to know its answers")
        for step, scores in run.skills.iterrows():
            losses = run.skill_losses.loc[step]
            both = scores.dropna().index.intersection(losses.dropna().index, sort=False)
            rows += [(skill, label, step, losses[skill], scores[skill]) for skill in both]
    frame = pd.DataFrame(rows, columns=["skill", "run", "step", "loss", "exact"])
    unknown = [skill for skill in skills or () if skill not in set(frame.skill)]
    if unknown:
        raise InputError(f"no skill called {unknown[0]!r} was graded; there are {', '.join(frame.skill.unique())}")
    return frame[frame.skill.isin(skills)].reset_index(drop=True) if skills else frame


def pairs(table: pd.DataFrame, *, least_exact: float = 0.0, least_loss: float = 0.0) -> pd.DataFrame:
    """Every two evaluations of one skill that differ in both numbers, a row each, the one with the lower loss first.

    table: as `evaluations` gives it. Columns: skill; low_run, low_step, low_loss, low_exact, of the lower loss;
    high_run, ... of the higher; agrees: the lower loss has the better answers, too. least_exact, least_loss: smaller
    differences than these count as none (ties are left out).
    """
    found = []
    for skill, group in table.groupby("skill", sort=False):
        rows = list(group[["run", "step", "loss", "exact"]].itertuples(index=False))
        for at, first in enumerate(rows):
            for second in rows[at + 1 :]:
                low, high = sorted((first, second), key=lambda row: row.loss)
                gained = low.exact - high.exact
                if abs(gained) > least_exact and high.loss - low.loss > least_loss:
                    found.append((skill, *low, *high, gained > 0))
    names = [f"{side}_{name}" for side in ("low", "high") for name in ("run", "step", "loss", "exact")]
    return pd.DataFrame(found, columns=["skill", *names, "agrees"])


def disagreements(table: pd.DataFrame, *, least_exact: float = 0.0, least_loss: float = 0.0) -> pd.DataFrame:
    """Where is the loss lower and the score worse? The pairs that do not agree, the largest loss of score first.

    table, least_exact, least_loss and columns as for `pairs`; besides: lost, how much lower the score is, 0 to 1, and
    in_time: it is one run, and the lower loss came later. Empty if there are none.
    """
    every = pairs(table, least_exact=least_exact, least_loss=least_loss)
    found = every[~every.agrees.astype(bool)].drop(columns="agrees")
    found = found.assign(
        lost=found.high_exact - found.low_exact,
        in_time=(found.low_run == found.high_run) & (found.low_step > found.high_step),
    )
    return found.sort_values("lost", ascending=False, kind="stable", ignore_index=True)
