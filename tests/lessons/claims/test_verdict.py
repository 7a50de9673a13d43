"""Intervals on known numbers, and verdicts that follow from them."""

import math

import numpy as np
import pytest
from scipy import stats

from lessons.claims.verdict import DEPENDS, FAILS, HOLDS, OPEN, Effect, Says, answer, computed, interval, verdict


def test_the_interval_is_students():
    values = [2.1, 3.4, 2.9, 3.0, 2.2]
    effect = interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (effect.mean, effect.seeds) == (pytest.approx(np.mean(values)), 5)
    assert (effect.low, effect.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_it_holds_the_truth_in_95_of_100_repeats():
    rng = np.random.default_rng(0)
    found = [interval(list(rng.normal(7, 3, 5))) for _ in range(2000)]
    assert 0.935 < np.mean([effect.low <= 7 <= effect.high for effect in found]) < 0.965


def test_one_seed_says_nothing_about_its_spread_and_equal_values_are_exact():
    assert (interval([3.0]).low, interval([3.0]).high) == (-math.inf, math.inf)
    assert interval([0.0, 0.0, 0.0]) == Effect(0, 0, 0, 3)
    assert computed(48) == Effect(48, 48, 48, 0)


@pytest.mark.parametrize(
    ("low", "high", "says", "expected"),
    [
        (1, 9, Says(), "yes"),
        (-1, 9, Says(matters=2), "undecided"),  # it may be large
        (-1, 1, Says(matters=2), "no"),  # it may be there, but is too small to matter
        (0.5, 1, Says(matters=2), "no"),
        (-9, -1, Says(), "no"),
        (0, 0, Says(), "no"),
        (91, 95, Says(target=90), "yes"),
        (85, 95, Says(target=90), "undecided"),
        (-1, 1, Says(more=False, matters=2), "yes"),
        (-1, 3, Says(more=False, matters=2), "undecided"),
        (3, 5, Says(more=False, matters=2), "no"),
        (0, 0, Says(more=False), "yes"),  # exactly the same
        (1, 1, Says(more=False), "no"),
        (0.9, 1.1, Says(more=False, target=1, matters=0.35), "yes"),
        (-math.inf, math.inf, Says(), "undecided"),
    ],
)
def test_each_condition_is_answered(low, high, says, expected):
    assert answer(Effect((low + high) / 2, low, high, 5), says) == expected


def test_the_verdict_follows_from_the_conditions():
    assert verdict({"a": "yes", "b": "yes"}) == (HOLDS, "")
    assert verdict({"a": "no"}) == (FAILS, "")
    assert verdict({"a": "yes", "b": "no", "c": "undecided"}) == (DEPENDS, "yes: a; no: b; undecided: c")
    assert verdict({"a": "yes", "b": "undecided"})[0] == DEPENDS
    assert verdict({"a": "no", "b": "undecided"}) == (OPEN, "no: a; undecided: b")
    assert verdict({"a": "undecided"}) == (OPEN, "")
