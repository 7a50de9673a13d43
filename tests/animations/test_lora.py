"""Does the film of LoRA say what was measured, whatever run is given, and does it stay in the frame?"""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")

from animations import lora
from animations.studio.dial import Dial, Setting
from animations.studio.space import View
from tests.animations.unmade import unmade
from visualize.mobjects.matrix import units

NONE = float("nan")


def on_dial(old, asked):
    settings = [Setting(at, 0.5, share, {}) for at, share in zip((0.0, 1.0), old, strict=True)]
    return unmade(lora.Price, known=Dial(settings, {"new": 60, "old": asked}, {}))


@pytest.mark.parametrize("old, asked, said", [
    ((0.95, 0.3), 60, "Forgetting is on the dial"), ((0.95, 0.93), 60, "No clear forgetting"),
    ((1.0, 1.0), 60, "No clear forgetting"), ((0.3, 0.9), 60, "No clear forgetting"),
    ((0.0, 0.0), 60, "nothing to lose"), ((NONE, NONE), 0, "was not asked"),
])  # fmt: skip
def test_what_the_dial_costs_is_what_old_answers_did(old, asked, said):
    scene = on_dial(old, asked)
    assert said in scene.cost()
    assert ("forgetting is on the dial" in scene.cost_spoken()) == (said == "Forgetting is on the dial")


@pytest.mark.parametrize("before, after, said", [
    (0.0, 0.9, "before: learned"), (0.98, 0.99, "before: known."), (0.98, 0.5, "before: lost."), (0.1, 0.3, "not learned"),
    (0.5, 0.52, "before: perhaps learned."), (0.5, 0.9, "before: learned"), (0.6, 0.5, "not learned"),
])  # fmt: skip
def test_learned_is_what_was_not_known_before(before, after, said):
    table = pd.DataFrame({"mine": [before, after]}, index=[0, 9])
    run = SimpleNamespace(task="mine", skills=table, graded=pd.DataFrame({"mine": [100, 100]}, index=[0, 9]))
    assert said in unmade(lora.Training, run=run, last=9).outcome()


@pytest.mark.parametrize("rank", [1, 2, 8, 16, 32, 64, 128])
def test_every_layer_stands_in_the_frame_however_many(rank):
    gap = unmade(lora.Layers, rank=rank).gap()
    side = units(128 * (4 if rank <= 40 else 2 if rank <= 80 else 1)) / 2
    depths = gap * (np.arange(rank) - (rank - 1) / 2)
    corners = np.array([[x, y, z] for z in depths for y in (-side, side) for x in (-side, side)])
    for share in (-1, 0, 1):  # as it turns while one reads
        view = View(lora.SEEN.turn + 0.22 * share, lora.SEEN.tilt, lora.SEEN.distance, lora.SEEN.zoom)
        seen = view.project(corners) + np.array([-3.4, -0.2, 0])
        assert np.abs(seen[:, 0]).max() < 7.11 and np.abs(seen[:, 1]).max() < 4
        assert seen[:, 0].max() < 1.3, "the chart stands on the right"
