"""Intervals over seeds and questions: Student's where only seeds are random, and right as often as they say."""

import numpy as np
import pytest
from scipy import stats

from lessons.claims.intervals import Draws, compared, effect, exact_effect, mean_effect, share_effect, unseen


def test_of_seeds_alone_it_is_students():
    values = [2.1, 3.4, 2.9, 3.0, 2.2]
    found, expected = mean_effect(values), stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.mean, found.seeds, found.questions) == (pytest.approx(np.mean(values)), 5, 0)
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_one_seed_says_nothing_about_its_spread():
    assert (mean_effect([3.0]).low, mean_effect([3.0]).high) == (-np.inf, np.inf)
    assert exact_effect(48).limit == "exact"


def scores(rng, of_seeds, of_questions, noise, effect_is, seeds=5, questions=60):
    """(seeds, questions): every seed and every question differs, and each cell besides."""
    return (
        effect_is
        + of_seeds * rng.normal(size=(seeds, 1))
        + of_questions * rng.normal(size=(1, questions))
        + noise * rng.normal(size=(seeds, questions))
    )


@pytest.mark.parametrize(("of_seeds", "of_questions", "noise"), [(3, 0, 3), (0, 10, 3), (2, 15, 10), (0, 0, 10)])
def test_it_holds_the_truth_about_as_often_as_it_says(of_seeds, of_questions, noise):
    """Where seeds and questions differ by themselves, at least 93 of 100; without any such differences it is too wide,
    which errs on the side of saying less."""
    rng = np.random.default_rng(0)
    held = []
    for _ in range(200):
        found = scores(rng, of_seeds, of_questions, noise, 7.0)
        this = effect(lambda draws, found=found: draws.mean(found))
        held.append(this.low <= 7 <= this.high)
    assert np.mean(held) >= 0.92


def test_seeds_alone_would_say_too_much():
    """The reason for it all: with questions that differ, an interval over seeds misses the truth most of the time."""
    rng, held = np.random.default_rng(1), []
    for _ in range(200):
        found = mean_effect(scores(rng, 0, 20, 2, 7.0).mean(axis=1))
        held.append(found.low <= 7 <= found.high)
    assert np.mean(held) < 0.5


def test_the_same_questions_are_drawn_together():
    draws, right = Draws(50), np.random.default_rng(0).random((3, 40)) < 0.5
    assert np.allclose(draws.mean(right) - draws.mean(right), 0)
    assert draws.mean(right).shape == (50, 3) and np.allclose(draws.mean(right)[0], right.mean(axis=1))
    with pytest.raises(ValueError, match="40 questions here and 7 there"):
        draws.mean(right[:, :7])


def test_two_arms_are_compared_question_by_question():
    rng = np.random.default_rng(0)
    right = rng.random((5, 400)) < 0.5
    better = right | (rng.random((5, 400)) < 0.2)
    found = compared({"old": better}, {"old": right})
    assert found.mean == pytest.approx(100 * (better.mean() - right.mean()))
    assert found.low > 5 and found.arms == pytest.approx((100 * better.mean(), 100 * right.mean()))
    assert (found.seeds, found.questions) == (5, 400)


def test_what_never_differed_may_differ_on_other_questions():
    right = np.ones((5, 150), bool)
    found = compared({"old": right}, {"old": right})
    expected = 100 * (1 - 0.025 ** (1 / 150))  # Clopper and Pearson's for 0 of 150
    assert (found.mean, found.high) == (0, pytest.approx(expected)) and unseen(150) == pytest.approx(expected)


def test_a_level_that_was_not_reached_is_censored():
    assert mean_effect([1.0, np.nan, 2.0]).limit == "censored"
    found = effect(lambda draws: np.full((draws.count, 3), np.nan))
    assert found.limit == "censored" and np.isnan(found.mean)


def test_a_share_has_clopper_and_pearsons_interval():
    found, ends = share_effect(3, 40), stats.binomtest(3, 40).proportion_ci(0.95, "exact")
    assert (found.low, found.high) == (pytest.approx(100 * ends.low), pytest.approx(100 * ends.high))
    assert found.tries == 40
