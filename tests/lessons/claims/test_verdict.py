"""Verdicts: they follow from intervals, the same way for yes and no, and are wrong as seldom as they say."""

import math

import numpy as np
import pytest
from scipy import stats

from lessons.claims.intervals import Effect, exact_effect, mean_effect, share_effect
from lessons.claims.verdict import (
    CENSORED,
    DEPENDS,
    EXACT,
    FAILS,
    HOLDS,
    NO_ROOM,
    OPEN,
    UNTRIED,
    Says,
    answers,
    chances,
    holm,
    verdict,
)

MORE, LESS, SAME = Says("more", 2), Says("less", 2), Says("same", 2)


def between(low, high, **settings):
    """An effect of which the interval is this one, from four degrees of freedom."""
    se = (high - low) / 2 / stats.t.ppf(0.975, 4)
    return Effect((low + high) / 2, low, high, se, 4, 5, 0, **settings)


@pytest.mark.parametrize(
    ("low", "high", "says", "expected"),
    [
        (2.1, 9, MORE, "yes"),
        (1.9, 9, MORE, "undecided"),  # it may be too small to matter
        (-9, 1.9, MORE, "no"),
        (-9, -2.1, LESS, "yes"),
        (-9, -1.9, LESS, "undecided"),
        (-1.9, 9, LESS, "no"),
        (-1.9, 1.9, SAME, "yes"),
        (-1.9, 2.5, SAME, "undecided"),
        (2.1, 9, SAME, "no"),
        (-9, -2.1, SAME, "no"),
        (52, 60, Says("more", 2, target=50), "undecided" if 52 <= 52 else "yes"),
        (52.1, 60, Says("more", 2, target=50), "yes"),
    ],
)
def test_an_answer_is_where_the_interval_lies(low, high, says, expected):
    assert answers([(between(low, high), says)]) == [expected]


def test_yes_and_no_are_symmetric():
    rng = np.random.default_rng(0)
    flip = {"yes": "no", "no": "yes", "undecided": "undecided"}
    for low, width in rng.normal(size=(50, 2)) * 5:
        one = between(low, low + abs(width))
        (yes, no), (other_yes, other_no) = chances(one, Says("more", 0)), chances(one, Says("less", 0))
        assert (yes, no) == (pytest.approx(other_no), pytest.approx(other_yes))
        assert answers([(one, Says("more", 0))]) == [flip[answers([(one, Says("less", 0))])[0]]]


def test_one_seed_never_decides():
    for says in (MORE, LESS, SAME):
        assert answers([(mean_effect([9.0]), says)]) == ["undecided"]


def test_no_room_to_differ_is_no_finding():
    assert answers([(between(-1, 1, arms=(99, 99.5)), SAME), (between(-1, 1, arms=(0.5, 1)), MORE)]) == [
        "ceiling", "floor",
    ]  # fmt: skip
    assert answers([(between(20, 40, arms=(99, 69)), MORE)]) == ["yes"]  # one of them had room
    assert answers([(between(-1, 1, arms=(99, 99.5)), Says("same", 2, top=0))]) == ["yes"]  # not scores


def test_what_is_censored_missing_or_exact_says_so():
    family = [(between(5, 9).limited("censored"), MORE), (None, MORE), (exact_effect(3), MORE), (exact_effect(1), MORE)]
    assert answers(family) == ["censored", "missing", "yes", "no"]


def test_shares_are_answered_by_the_binomial():
    some = Says("more", 1)  # more than one per cent
    assert answers([(share_effect(6, 60), some)]) == ["yes"]
    assert answers([(share_effect(0, 60), some)]) == ["undecided"]  # as likely as not to be missed
    assert answers([(share_effect(0, 600), some)]) == ["no"]
    with pytest.raises(ValueError, match="more or less"):
        chances(share_effect(1, 2), SAME)


def test_holm_is_holms():
    assert holm([0.01, 0.04, 0.03]) == [True, False, False]  # 0.01 < 0.05/3, then 0.03 > 0.05/2
    assert holm([0.01, 0.02, 0.03]) == [True, True, True]
    assert holm([0.02, 0.001]) == [True, True] and holm([]) == []


@pytest.mark.parametrize(("says", "true_effect"), [(MORE, 2.0), (LESS, -2.0), (SAME, 2.0)])
def test_on_the_margin_a_decision_is_as_rare_as_promised(says, true_effect):
    """The hardest case: the effect is the margin itself, so that neither yes nor no is right."""
    rng = np.random.default_rng(0)
    said = [answers([(mean_effect(rng.normal(true_effect, 3, 5)), says)])[0] for _ in range(1500)]
    assert np.mean([answer != "undecided" for answer in said]) < 0.065


def test_in_a_family_a_single_wrong_answer_is_as_rare():
    rng, wrong = np.random.default_rng(1), 0
    for _ in range(300):
        family = [(mean_effect(rng.normal(2, 3, 5)), MORE) for _ in range(10)]
        wrong += any(answer != "undecided" for answer in answers(family))
    assert wrong / 300 < 0.08  # without the correction about 0.4


def test_a_large_effect_is_found():
    rng = np.random.default_rng(2)
    for true_effect, says, expected in ((9, MORE, "yes"), (-9, MORE, "no"), (0, SAME, "yes"), (-9, LESS, "yes")):
        spread = 0.5 if says is SAME else 2
        said = [answers([(mean_effect(rng.normal(true_effect, spread, 5)), says)])[0] for _ in range(100)]
        assert said.count(expected) > 90


def test_the_verdict_follows_from_the_conditions():
    assert verdict({"a": "yes", "b": "yes"}) == (HOLDS, "")
    assert verdict({"a": "yes"}, exact=True) == (EXACT, "")
    assert verdict({"a": "no"}) == (FAILS, "") == verdict({"a": "no"}, exact=True)
    assert verdict({"a": "yes", "b": "no", "c": "undecided"}) == (DEPENDS, "yes: a; no: b; undecided: c")
    assert verdict({"a": "yes", "b": "undecided"}) == (OPEN, "yes: a; undecided: b")
    assert verdict({"a": "no", "b": "undecided"})[0] == OPEN
    assert verdict({"a": "ceiling", "b": "floor"})[0] == NO_ROOM
    assert verdict({"a": "censored"}) == (CENSORED, "")
    assert verdict({"a": "missing", "b": "missing"}) == (UNTRIED, "")


@pytest.mark.parametrize("gap", ["missing", "censored", "ceiling", "floor", "undecided"])
def test_a_gap_never_leaves_that_it_holds(gap):
    assert verdict({"a": "yes", "b": gap})[0] == OPEN == verdict({"a": "no", "b": gap})[0]


def test_endless_intervals_are_undecided():
    endless = Effect(3, -math.inf, math.inf, math.inf, 1, 1)
    assert [answers([(endless, says)]) for says in (MORE, LESS, SAME)] == [["undecided"]] * 3
