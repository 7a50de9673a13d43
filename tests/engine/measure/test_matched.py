"""Runs are compared where they learned equally much; lines cross where they were measured to, or nowhere."""

import math

import pandas as pd
import pytest

from engine.measure.matched import learning_path, matched, overtaken
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


def test_a_line_is_overtaken_by_more_than_chance():
    counts = [2, 8, 32]
    assert overtaken(counts, [0.0, 0.4, 0.8], 60, 0.2, 60) == (2, 8)
    assert overtaken(counts, [0.0, 0.25, 0.8], 60, 0.2, 60) == (2, 32), "with 8 chance cannot tell"
    assert overtaken(counts, [0.6, 0.4, 0.8], 60, 0.2, 60) == (0, 2), "from the first that was tried"
    assert overtaken(counts, [0.6, 0.0, 0.8], 60, 0.2, 60) == (8, 32), "it must stay above from there on"
    assert overtaken(counts, [0.0, 0.4, 13 / 60], 60, 0.2, 60) == (2, math.inf), "one question more decides nothing"
    assert overtaken(counts, [0.0, 0.1, 0.2], 60, 0.5, 60) == (32, math.inf), "it stays below"
    assert overtaken(counts, [0.0, 0.4, 0.6], 6, 0.2, 6) == (0, math.inf), "of so few questions nothing is clear"
