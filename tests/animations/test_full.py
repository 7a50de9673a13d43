"""Does the film of full fine-tuning say of a run only what was captured of it?"""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")

from animations import full
from engine.run.info import Model, RunInfo
from tests.animations.unmade import unmade
from visualize.mobjects.model import WholeModel

ADAM, SGD, UNKNOWN = {"trainer": None}, {"trainer": {"optim": "sgd"}}, {"learning_rate": 1e-4}


def of(settings, steps=(0, 1), task="spanish", moved=1):
    """A run of one matrix, which begins to move at the step `moved`."""
    info = SimpleNamespace(raw={"settings": settings}, modules={"q": None})
    return SimpleNamespace(
        info=info, steps=list(steps), task=task, delta=lambda _, step: np.full((2, 2), 0.5 * (step >= moved))
    )


@pytest.mark.parametrize("settings, adam", [
    (ADAM, True), ({"trainer": {"optim": "adamw_torch"}}, True), ({"trainer": {"optim": "paged_adamw_8bit"}}, True),
    (SGD, False), ({"trainer": {"optim": "adafactor"}}, False), (UNKNOWN, False), (None, False),
])  # fmt: skip
def test_what_an_optimizer_does_is_said_of_the_one_that_was_used(settings, adam, monkeypatch):
    assert full.is_adam(of(settings)) == adam
    scene = unmade(full.First, run=of(settings))
    monkeypatch.setattr(scene, "moves", lambda step: (0.1, 0.5, 0.5))
    monkeypatch.setattr(scene, "alike", lambda step: "Half of them move.")
    assert ("only its sign counts" in scene.why(1)) == adam
    assert "only its sign counts" not in scene.why(5)


@pytest.mark.parametrize("steps, title", [((0, 1, 2), "The first step"), ((0, 5, 10), "The first 5 steps")])
def test_the_first_step_is_one_that_was_captured(steps, title, monkeypatch):
    scene = unmade(full.First, run=of(ADAM, steps))
    monkeypatch.setattr("animations.studio.film.FilmScene.header", lambda self: self.title)
    assert scene.header() == title


@pytest.mark.parametrize("moved, title", [(2, "The first 2 steps"), (9, "The first step")])
def test_a_step_that_moved_nothing_is_not_the_first_and_none_is_said_to_move(moved, title, monkeypatch):
    run = of(ADAM, (0, 1, 2), moved=moved)
    scene = unmade(full.First, run=run, model=SimpleNamespace(tiles=["q"]))
    monkeypatch.setattr("animations.studio.film.FilmScene.header", lambda self: self.title)
    assert scene.header() == title
    some, none = "100 % of all weights move by 0.5, up or down.", "No weight has moved yet."
    assert scene.alike(scene.step) == scene.why(scene.step) == (some if moved == 2 else none)


def partly(run, *parts):
    """The run as if only these parameters had been trained, by a training that nobody named."""
    other = type(run).load(run.path)
    kept = {name: about for name, about in run.info.modules.items() if any(part in name for part in parts)}
    other.info = RunInfo(modules=kept, model=Model(parameters=run.info.model.parameters))
    return other


def test_of_part_of_a_model_no_more_is_said(full_run):
    part = unmade(full.Whole, run=(run := partly(full_run, "layers.1.self_attn.q_proj")))
    part.model = WholeModel(run, "dark")
    assert part.layers() == "1 layer. " and "was trained" in part.a_row(list(run.info.modules))
    assert part.how_many() == f"{128 * 128:,} of {run.info.model.parameters:,} weights"
    whole = unmade(full.Whole, run=full_run, model=WholeModel(full_run, "dark"))
    layers = {name.split(".")[2] for name in full_run.modules if ".layers." in name}
    assert whole.layers() == f"All {len(layers)} layers. "
    assert "attention, then" in whole.a_row([name for name in full_run.modules if ".layers.0." in name])


def test_what_is_stored_is_the_whole_model_whatever_was_trained(full_run):
    run = partly(full_run, "q_proj")
    scene = unmade(full.Copies, run=run, model=WholeModel(run, "dark"))
    size, title = scene.stored()
    assert size > 4 * run.info.model.parameters and title == "stored, at 4 bytes a weight"
    weights = 128 * 128 * len(run.info.modules)
    assert scene.trained() == f"trained: {weights:,} of {run.info.model.parameters:,} weights"


def test_what_has_no_name_is_not_called_none(full_run):
    named = unmade(full.Named, run=partly(full_run, "q_proj"))
    assert named.shown_as() == "What training changed in one matrix"
    assert "on Spanish" in unmade(full.Named, run=full_run).shown_as()


def test_the_scale_stands_beside_what_it_is_a_scale_of(full_run):
    """Beside a row of layers there is no free place, as there is beside the tokens' own."""
    for run in (full_run, partly(full_run, "self_attn"), partly(full_run, "layers")):
        model = WholeModel(run, "dark")
        scale = unmade(full.Training, run=run, model=model, limit=0.1, theme="dark").scale()
        assert scale.get_right()[0] < 7.11 and scale.get_top()[1] < 4, "in the frame"
        rows = [model.box(*modules) for modules in model.rows().values()]
        for box in rows:
            apart = scale.get_left()[0] >= box.get_right()[0] or scale.get_bottom()[1] >= box.get_top()[1]
            assert apart or scale.get_top()[1] <= box.get_bottom()[1]
