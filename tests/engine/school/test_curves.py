"""A curve of forgetting: it starts at the base, and its last point is the model that training made."""

import pytest

from engine.evaluate.forgetting import curriculum_knowledge
from engine.run.base import EMBEDDED_FOLDER
from engine.school.curves import came_back, forgetting_curve


@pytest.mark.parametrize("method", ["full", "lora"])
def test_it_starts_at_the_base_and_goes_away_from_it(method):
    old = curriculum_knowledge(1)
    start, end = forgetting_curve(
        EMBEDDED_FOLDER, "spanish", method, steps=(0, 4), old=old, learning_rate=5e-3, batch_size=8
    )
    assert (start.step, end.step) == (0, 4)
    assert start.kl == pytest.approx(0, abs=1e-6) and end.kl > 0.001
    assert end.new_loss < start.new_loss
    assert start.exact > 0.8 and start.choice > 0.8


def test_two_curves_of_one_seed_are_the_same():
    old = curriculum_knowledge(1)
    one, again = (
        forgetting_curve(EMBEDDED_FOLDER, "spanish", "lora", steps=(2,), old=old, batch_size=8, seed=3)
        for _ in range(2)
    )
    assert one == again


@pytest.mark.parametrize("exact, back", [([0.9, 0.5, 0.2], 0.0), ([0.9, 0.4, 0.7, 0.3, 0.5], 0.3), ([0.6], 0.0)])
def test_what_comes_back_is_the_largest_rise_on_the_way(exact, back):
    assert came_back(exact) == pytest.approx(back)
