"""What is kept has an interval only where there is one: of enough probes, or of the questions that were counted."""

from pathlib import Path

import numpy as np
import pytest

from engine.measure.kept import kept
from engine.run.info import RunInfo
from engine.run.run import Run
from engine.run.store import Store


class Graded(Store):
    """A run that was graded on so many old skills and asked so many probes of text, before and after."""

    path = Path("fake")
    info = RunInfo()

    def __init__(self, skills=0, probes=0):
        rng = np.random.default_rng(0)
        names = [f"skill {number}" for number in range(skills)]
        self._records = []
        for step in (0, 10):
            one = {"event": "eval", "step": step}
            one["exact"], one["loss"] = ({name: rng.random() for name in names} for _ in range(2))
            if probes:
                one["measured"] = {"text": {"values": rng.random(probes).tolist(), "weights": [1.0] * probes}}
            self._records.append(one)

    def records(self):
        return self._records


@pytest.mark.parametrize("skills, known", [(1, False), (2, False), (3, True), (8, True)])
def test_one_or_two_skills_have_no_interval(skills, known):
    table = kept(Run(Graded(skills)))["loss"].loc[10]
    assert np.isfinite(table["mean"]) and bool(np.isfinite([table.low, table.high]).all()) == known
    assert not known or table.low < table["mean"] < table.high


@pytest.mark.parametrize("probes, known", [(1, False), (2, False), (5, True)])
def test_one_or_two_probes_have_none_either(probes, known):
    table = kept(Run(Graded(probes=probes)))["text"].loc[10]
    assert bool(np.isfinite([table.low, table.high]).all()) == known
