"""What is read from trainings, on trainings that are made up: where lines cross, which rate is best, what is chosen."""

import numpy as np
import pytest
from scipy import stats

from lessons.claims.choosing import by_keeping, by_learning, choose
from lessons.claims.claim import CHOOSING, NotYet, Results
from lessons.claims.compact import pack_bits, pack_nats, pack_shares
from lessons.claims.intervals import Draws
from lessons.claims.readings import (
    at_equal_learning,
    at_step,
    difference,
    kept,
    log_best,
    lost_when_learned,
    scores,
    when_learned,
)
from lessons.claims.themes.evaluation import against, even, luck, misranked
from lessons.claims.themes.tuning import shrinkage
from lessons.claims.themes.when import best_prompt
from lessons.claims.trials.prompting import Prompting
from lessons.claims.trials.training import Training

MANY = 100


def share(part, count=MANY):
    """That many of `count` questions, the first ones."""
    return pack_bits(at < part * count for at in range(count))


def run_of(new, exact, loss=(1.0,)):
    """A training whose grades are these shares."""
    losses = np.resize(loss, len(new))
    return {
        "steps": [10 * at for at in range(len(new))],
        "at": [
            {
                "new": share(a), "exact": share(b), "choice": pack_shares([b] * 20), "text": pack_nats([1 - b] * 5),
                "new_loss": pack_nats([c] * MANY), "kl": 1 - b,
            }
            for a, b, c in zip(new, exact, losses, strict=True)
        ],
    }  # fmt: skip


RUN = run_of([0.0, 0.6, 1.0], [0.9, 0.7, 0.5])


def test_measures_are_in_points_and_nats():
    assert scores(RUN["at"][1], "exact").mean() == pytest.approx(70)
    assert scores(RUN["at"][1], "choice").mean() == pytest.approx(70, abs=0.2)
    assert scores(RUN["at"][1], "text").mean() == pytest.approx(0.3)
    assert scores(RUN["at"][1], "kl").tolist() == pytest.approx([0.3])
    assert at_step([RUN], "exact", 20).mean() == pytest.approx(50)


def test_what_is_kept_is_read_where_the_new_task_is_learned():
    assert kept(RUN, "exact") == pytest.approx(60)  # half way between the two grades
    assert np.isnan(kept(run_of([0.0, 0.1, 0.79], [0.9, 0.7, 0.5]), "exact"))
    assert kept(run_of([0.9, 0.1, 0.79], [0.9, 0.7, 0.5]), "exact") == pytest.approx(90)
    drawn = when_learned(Draws(200), [RUN, RUN], "exact")
    assert drawn.shape == (200, 2) and drawn[0].tolist() == pytest.approx([60, 60]) and drawn.std() > 0


def test_methods_are_compared_at_equal_learning():
    other = run_of([0.0, 0.8, 1.0], [0.9, 0.4, 0.1])
    found = at_equal_learning([RUN] * 5, [other] * 5, "exact")
    assert found.mean == pytest.approx(20) and found.low < 20 < found.high and found.arms == pytest.approx((60, 40))
    never = run_of([0.0, 0.2], [0.9, 0.9])
    assert at_equal_learning([RUN] * 5, [RUN] * 4 + [never], "exact").limit == "censored"
    assert lost_when_learned([RUN] * 5, "exact").mean == pytest.approx(30)
    assert lost_when_learned([RUN] * 5, "text").mean == pytest.approx(0.3)  # more loss is more forgotten


def test_the_best_rate_is_the_lowest_point_of_a_parabola():
    rates = (1e-4, 2e-4, 4e-4, 8e-4)
    logs = np.log10(rates)
    losses = np.stack([np.full((3, 20), (log - np.log10(3e-4)) ** 2) for log in logs])  # (rates, seeds, questions)
    assert log_best(Draws(10), losses, rates)[0] == pytest.approx([np.log10(3e-4)] * 3)


def results(score):
    """Results of trainings whose old skills, when learned, are what `score` says of the rate; None: never learned."""
    asked = []

    def get(trial):
        asked.append(trial)
        found = score(trial.rate)
        return run_of([0.0, 0.1 if found is None else 1.0], [1.0, found or 0.0], loss=(1 - (found or 0),))

    return Results(get), asked


def test_a_sweep_goes_on_until_both_edges_are_worse():
    r, asked = results(lambda rate: max(0.0, 1 - abs(np.log2(rate / 8e-3)) / 10))
    found = choose(r, Training(), (1e-3, 2e-3), by_learning)
    assert found.inside and found.training.rate == pytest.approx(8e-3)
    assert max(found.scores) == pytest.approx(16e-3) and min(found.scores) == 1e-3
    assert {trial.side for trial in asked} == {"choose"} and {trial.seed for trial in asked} == set(CHOOSING)
    assert found.training.side == "judge"


def test_of_equals_the_gentlest_is_chosen_and_a_rate_that_never_learns_ends_the_sweep():
    r, _ = results(lambda rate: None if rate < 4e-4 else 0.8 if rate < 3e-3 else 0.5)
    found = choose(r, Training(), (1e-3, 2e-3, 4e-3), by_keeping)
    assert found.inside and found.training.rate == pytest.approx(5e-4)


def test_an_edge_that_is_as_good_as_the_best_is_no_worse_one():
    r, _ = results(lambda rate: 0.5 if rate < 2e-3 else 0.8 if rate < 9e-3 else 0.6)
    found = choose(r, Training(), (1e-3, 2e-3, 4e-3), by_keeping)
    assert found.inside and found.training.rate == pytest.approx(2e-3) and max(found.scores) == pytest.approx(16e-3)
    r, _ = results(lambda rate: min(0.8, 400 * rate))
    assert not choose(r, Training(), (1e-3, 2e-3, 4e-3), by_keeping).inside


def test_a_best_rate_at_the_edge_is_not_inside():
    r, _ = results(lambda rate: 1 / (1 + rate))
    assert not choose(r, Training(), (64.0, 128.0), by_learning).inside
    r, _ = results(lambda rate: None)
    assert not choose(r, Training(), (1e-3, 2e-3), by_keeping).inside


def test_a_prompt_is_chosen_by_other_questions():
    prompts = [Prompting(told=True), Prompting(examples=16)]
    r = Results(lambda trial: {"form": share(0.2 if trial.told else 0.7, 20)} if trial.side == "choose" else None)
    assert best_prompt(r, "form", prompts) == prompts[1]
    with pytest.raises(NotYet):
        r(prompts[1])


def test_answers_differ_by_more_than_luck():
    right = np.arange(100) < 50
    assert luck(right, right) == 1.0
    better = np.arange(100) < 60
    assert luck(better, right) == pytest.approx(2 * 0.5**10)
    for fewer, tosses in ((0, 1), (3, 6), (2, 9), (30, 100)):
        assert even(fewer, tosses) == pytest.approx(stats.binomtest(fewer, tosses).pvalue)
    one, other = run_of([0.6, 0.5], [1, 1], loss=(2.0, 1.0))["at"]
    assert against(one, other, 1)  # ten more are right, and the loss is higher
    assert not against(one, other, 100) and not against(one, {**other, "new_loss": pack_nats([3.0] * MANY)}, 1)


def test_decay_is_what_the_steps_multiply_to():
    weight = 1.0
    for _ in range(50):
        weight *= 1 - 0.1 * 0.2
    assert shrinkage(0.1, 0.2, 50) == pytest.approx(100 * (1 - weight))


def test_a_difference_keeps_its_arms():
    some, others = np.full((5, 100), 100.0), np.full((5, 100), 98.0)
    assert difference(some, others, "new").arms == (100, 98) and difference(some, others, "new_loss").arms == ()


def test_no_pair_that_is_clear_is_no_pair_that_is_misranked():
    same = {"new": RUN["at"][0]["new"], "new_loss": RUN["at"][0]["new_loss"]}
    assert np.isnan(misranked([same] * 3))
