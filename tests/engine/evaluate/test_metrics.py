"""Metrics: against scikit-learn, SQuAD's own definition and hand counts; one that does not apply says why."""

import math

import numpy as np
import pytest
from sklearn.metrics import f1_score

from engine.evaluate.metrics import METRICS, get_metric, json_with, matching, score, token_f1, wilson
from engine.measure.shares import newcombe, weighted
from glasstune import InputError

CLASSES = (["yes", "no", "Yes ", "maybe", "no", "yes"], ["yes", "yes", "yes", "no", "no", "no"])


@pytest.mark.parametrize(
    "said, right, f1",
    [
        ("the cat sat", "A cat sat.", 1.0),
        ("cat", "the black cat", 2 * 1 * 0.5 / 1.5),
        ("cat cat", "cat dog", 0.5),
        ("dog", "cat", 0.0),
        ("", "cat", 0.0),
        ("the", "a", 1.0),  # nothing but articles on both sides
        ("Chargers' 24-10", "chargers 2410", 1.0),
    ],
)
def test_token_f1_is_squads(said, right, f1):
    assert math.isclose(token_f1(said, right), f1) and math.isclose(token_f1(right, said), f1)


def test_exact_and_exact_words():
    found = score(["Paris ", "the paris!", "Rome"], ["Paris"] * 3, ["exact", "exact_words"])
    assert found["exact"].value == 1 / 3 and found["exact_words"].value == 2 / 3
    assert (found["exact"].low, found["exact"].high) == wilson(1, 3)


def test_classes_are_scikit_learns_own_numbers():
    found = score(*CLASSES, ["accuracy", "precision", "recall", "f1"])
    said, right = ["yes", "no", "yes", "maybe", "no", "yes"], CLASSES[1]
    assert found["accuracy"].value == sum(s == r for s, r in zip(said, right, strict=True)) / 6
    assert found["f1"].value == f1_score(right, said, labels=["no", "yes"], average="macro")
    assert found["precision"].value == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["recall"].value == pytest.approx((2 / 3 + 1 / 3) / 2)


@pytest.mark.parametrize("name", ["accuracy", "precision", "recall", "f1"])
@pytest.mark.parametrize("right", [["a", "b", "c", "d"], ["a", "a"], ["a"]])
def test_classes_do_not_apply_to_free_answers(name, right):
    with pytest.raises(InputError, match=f"metric '{name}' does not apply: .* use exact or token_f1"):
        score(right, right, [name])


def test_required_formats():
    said = ['{"a": 1, "b": 2}', ' {"a": 1} ', '{"a": NaN, "b": 1}', "[1]", 'x {"a": 1, "b": 2}', "[" * 100_000, ""]
    found = score(said, [""] * 7, ["json", json_with("a", "b"), matching(r"\{.*\}"), matching("")])
    assert [round(s.value * 7) for s in found.values()] == [2, 1, 3, 1]
    assert list(found) == ["json", "json (a, b)", r"format /\{.*\}/", "format //"]


def test_a_function_of_ones_own():
    def longer(answer, reference):
        return len(answer) > len(reference)

    assert score(["ab", "c"], ["a", "d"], [longer])["longer"].value == 0.5
    assert get_metric("engine.evaluate.metrics:token_f1").each is token_f1
    with pytest.raises(InputError, match="'longer' gives no number for answer 2: TypeError"):
        score(["a", None], ["a", "b"], [longer])


@pytest.mark.parametrize(
    "metric, said",
    [
        ("bleu", "no metric called 'bleu'; there are exact"),
        ("no.such:thing", "no function 'no.such:thing'"),
        (":", "no function"),
    ],
)
def test_unknown_metrics(metric, said):
    with pytest.raises(InputError, match=said):
        score(["a"], ["a"], [metric])


def test_nothing_to_grade_and_uneven_lists():
    with pytest.raises(InputError, match="nothing to grade"):
        score([], [])
    with pytest.raises(InputError, match="2 answers but 1 right ones"):
        score(["a", "b"], ["a"])
    with pytest.raises(InputError, match="no regular expression"):
        matching("(")


@pytest.mark.parametrize("metric", [name for name, metric in METRICS.items() if metric.name != "json"])
def test_right_answers_score_one_and_wrong_ones_none(metric):
    right = ["yes", "no"] * 3
    assert score(right, right, [metric])[metric].value == 1
    assert score(["perhaps"] * 6, right, [metric])[metric].value == 0


def test_wilson_solves_the_equation_it_comes_from():
    """Its ends are the shares p for which the observed one lies exactly z standard errors away."""
    for successes, n in ((0, 10), (3, 10), (5, 10), (10, 10), (40.5, 100), (1, 1)):
        observed = successes / n
        for end in wilson(successes, n):
            assert (observed - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / n, abs=1e-12)
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # a textbook value
    assert wilson(0, 0) == (0, 1)


def test_a_difference_of_shares_is_newcombes():
    assert newcombe(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=1e-4)  # his own example, method 10
    low, high = newcombe(48, 80, 56, 70)
    assert (-high, -low) == pytest.approx(newcombe(56, 70, 48, 80))
    assert newcombe(0, 0, 0, 0) == pytest.approx((-(0.5**0.5), 0.5**0.5)), "nothing is known"


def test_a_weighted_sum_of_shares_is_as_wide_as_chance_makes_it():
    """Of ten thousand drawings from known shares, about 95 in 100 have the true sum in their interval."""
    assert weighted((1, 30, 100)) == pytest.approx(wilson(30, 100))
    rng, n, true = np.random.default_rng(0), 60, {2: 0.7, -1: 0.4, -0.9: 0.9}
    drawn = [(weight, rng.binomial(n, share, 10_000)) for weight, share in true.items()]
    middle = sum(weight * share for weight, share in true.items())
    held = 0
    for each in zip(*(successes for _, successes in drawn), strict=True):
        low, high = weighted(*((weight, one, n) for (weight, _), one in zip(drawn, each, strict=True)))
        held += low <= middle <= high
    assert 0.94 < held / 10_000 < 0.965
