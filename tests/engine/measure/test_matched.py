"""Runs are compared where they learned equally much; lines cross where they were measured to, or nowhere."""

import pandas as pd
import pytest

from engine.measure.matched import crossing, learning_path, matched
from glasstune import InputError, Run


@pytest.fixture
def path_of(lora_run, monkeypatch):
    def given(learned, kept, steps=None):
        index = pd.Index(steps or range(len(learned)), name="step")
        table = pd.DataFrame({"spanish": learned, "sum": kept, "sort": kept}, index=index)
        monkeypatch.setattr(Run, "skills", property(lambda _: table))
        return lora_run

    return given


def test_the_path_is_the_runs(lora_run):
    path = learning_path(lora_run)
    assert list(path.learned) == list(lora_run.skills.spanish)
    assert path.kept.iloc[-1] == pytest.approx(lora_run.skills.iloc[-1].drop("spanish").mean())


def test_matched_is_between_the_two_evaluations(path_of):
    run = path_of([0.0, 0.4, 0.8, 0.9], [1.0, 0.9, 0.5, 0.4], [0, 10, 20, 30])
    assert matched(run, 0.6) == pytest.approx((15.0, 0.7))
    assert matched(run, 0.4) == pytest.approx((10.0, 0.9))
    assert matched(run, 0.0) == pytest.approx((0.0, 1.0))
    assert matched(run, 0.95) is None, "beyond what was measured nothing is said"
    assert matched(path_of([0.0, 0.8, 0.2, 0.9], [1.0, 0.6, 0.6, 0.1]), 0.8) == pytest.approx((1.0, 0.6)), "the first"


def test_a_run_without_old_skills_cannot_be_matched(lora_run, monkeypatch):
    monkeypatch.setattr(Run, "skills", property(lambda _: pd.DataFrame({"spanish": [0.0]})))
    with pytest.raises(InputError, match="old skills"):
        matched(lora_run, 0.5)


def test_lines_cross_where_they_were_measured_to():
    counts = [2, 8, 32]
    assert crossing(counts, [0.0, 0.4, 0.8], [0.2, 0.2, 0.2]) == pytest.approx(4.0), "halfway on a logarithmic axis"
    assert crossing([0, 4], [0.0, 0.4], [0.1, 0.1]) == pytest.approx(1.0)
    assert crossing(counts, [0.5, 0.4, 0.8], [0.2, 0.2, 0.2]) == 2.0
    assert crossing(counts, [0.5, 0.1, 0.8], [0.2, 0.2, 0.2]) > 8.0, "it must stay above from there on"
    assert crossing(counts, [0.0, 0.1, 0.2], [0.2, 0.2, 0.2]) is None
