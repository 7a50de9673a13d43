"""Both models' curves side by side: what is told of them follows from them, either way."""

import pytest

from lessons.claims.llm.forgetting import MEASURES, METHODS, Curve, markdown, of_embedded


def curves(**values):
    """The same of both methods; measures that are not named fall (those in %) or rise."""
    plain = {name: (90.0, 60.0, 40.0) if unit == "%" else (1.0, 1.5, 2.0) for name, (_, unit, _) in MEASURES.items()}
    return {method: {name: Curve((0, 5, 10), found) for name, found in (plain | values).items()} for method in METHODS}


def test_what_came_back_is_the_largest_later_rise():
    assert Curve((0, 1, 2, 3), (97, 50, 72, 43)).came_back == 22
    assert Curve((0, 1, 2), (97, 50, 50)).came_back == 0


def test_measures_that_go_the_same_way_are_told_from_those_that_do_not():
    alike = markdown(curves(), curves(), "Real")
    assert "They do not" not in alike and "Nowhere did more than 10 points" in alike
    other = markdown(curves(), curves(choice=(70.0, 70.0, 70.2), exact=(90.0, 20.0, 45.0)), "Real")
    assert "They do not: old: the right one among four." in other
    assert "came back untaught (Real, full: 25 points; Real, lora: 25 points)" in other
    assert "| old: answers to the letter (%) | 90 to 40 (0) | 90 to 40 (0) | 90 to 45 (25) | 90 to 45 (25) |" in other


def test_the_embedded_models_curves_are_its_cards():
    found = of_embedded()
    for method in METHODS:
        assert found[method]["new"].values[0] < 5 and found[method]["new"].values[-1] > 80
        assert found[method]["kl"].values[0] == pytest.approx(0, abs=1e-6) and found[method]["exact"].values[0] > 90
