"""The ground under a training: known where mathematics knows it, and the model's own losses everywhere else."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from engine.evaluate import encode_last_answer, score_answers
from engine.evaluate.landscape import Landscape, change, grid, measure_landscape, plane, project
from engine.run.info import Model, Module, RunInfo
from glasstune import InputError

QUESTIONS = [
    [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    for asked, answer in (("What is the capital of France?", "Paris"), ("What is the opposite of hot?", "cold"))
]
NORM, MATRIX = "model.norm.weight", "model.layers.0.self_attn.q_proj.weight"


class Walk:
    """What `measure_landscape` reads of a Run, with changes that a test chooses: share -> of `target`, at each step."""

    def __init__(self, name, base, target, steps=(0, 1, 2)):
        self.name, self.path, self.target, self.steps = name, Path(name), target, list(steps)
        shapes = {key: tuple(base.get_parameter(key).shape) for key in (NORM, MATRIX)}
        modules = {key: Module(kind="delta", parameter=key, shape=shape) for key, shape in shapes.items()}
        self.info, self.base = RunInfo(model=Model(source="embedded"), modules=modules), "embedded"

    def delta(self, key, step=None):
        share = np.float32((self.steps[-1] if step is None else step) / self.steps[-1])
        return share * self.target.get(key, np.zeros(self.info.modules[key].shape, np.float32))


@pytest.fixture
def walks(base):
    """One run that takes the last norm to zero, so that every token is equally likely; one that moves a matrix."""
    norm = base.get_parameter(NORM).detach().numpy()
    moved = np.random.default_rng(0).normal(0, 0.1, base.get_parameter(MATRIX).shape).astype(np.float32)
    return Walk("mute", base, {NORM: -norm}), Walk("moved", base, {MATRIX: moved})


def loss(model, tokenizer):
    losses, _, counts = score_answers(model, [encode_last_answer(tokenizer, q) for q in QUESTIONS], 0)
    return sum(losses) / sum(counts)


def test_the_losses_are_the_models_own(walks, base, tokenizer):
    mute, moved = walks
    ground = measure_landscape(walks, {"facts": QUESTIONS}, points=5)
    values = ground.losses["facts"]
    assert values.shape == (len(ground.y), len(ground.x))
    row, column = np.abs(ground.y).argmin(), np.abs(ground.x).argmin()
    assert ground.x[column] == ground.y[row] == 0, "the start is on the grid"
    assert values[row, column] == pytest.approx(loss(base, tokenizer), rel=1e-4)
    assert ground.ends["mute"]["facts"] == pytest.approx(math.log(base.config.vocab_size), rel=1e-4)
    row, column = len(ground.y) - 1, len(ground.x) - 1  # any other place, its weights set by hand
    for key, walk, far in ((NORM, mute, ground.x[column]), (MATRIX, moved, ground.y[row])):
        change = walk.delta(key)
        base.get_parameter(key).data += base.get_parameter(key).new_tensor(change / np.linalg.norm(change) * far)
    assert values[row, column] == pytest.approx(loss(base, tokenizer), rel=1e-3)


def test_a_path_is_where_its_weights_were(walks):
    mute, moved = walks
    directions = plane(change(mute), change(moved))
    np.testing.assert_allclose(directions @ directions.T, np.eye(2), atol=1e-5)
    for walk, axis in ((mute, "x"), (moved, "y")):
        path = project(walk, directions)
        length = np.linalg.norm(change(walk))
        np.testing.assert_allclose(path[axis], [0, length / 2, length], rtol=1e-4, atol=1e-5)
        assert path.outside.max() < 1e-4, "the ends of these two lie on the plane"
    elsewhere = plane(change(mute), np.roll(change(moved), 1))
    assert project(moved, elsewhere).outside.iloc[-1] > 0.9


def test_the_grid_holds_every_path_and_is_spaced_alike(walks):
    directions = plane(change(walks[0]), change(walks[1]))
    paths = [project(walk, directions) for walk in walks]
    x, y = grid(paths, 9)
    np.testing.assert_allclose(np.concatenate([np.diff(x), np.diff(y)]), x[1] - x[0])
    for path in paths:
        assert x[0] < path.x.min() and path.x.max() < x[-1] and y[0] < path.y.min() and path.y.max() < y[-1]


def test_it_comes_back_from_json(walks):
    ground = measure_landscape(walks, {"facts": QUESTIONS}, points=3)
    again = Landscape.from_json(json.loads(json.dumps(ground.to_json())))
    np.testing.assert_array_equal(again.losses["facts"], ground.losses["facts"])
    np.testing.assert_array_equal(again.paths["moved"], ground.paths["moved"])
    assert (
        again.on_plane("facts", "mute", 0)
        == ground.losses["facts"][np.abs(ground.y).argmin(), np.abs(ground.x).argmin()]
    )


@pytest.mark.parametrize("second", [[], ["itself"], ["still"], ["other"]])
def test_what_spans_no_plane_is_refused(second, walks, base):
    mute, _ = walks
    other = Walk("other", base, {})
    other.info.modules.pop(MATRIX)
    found = {"itself": mute, "still": Walk("still", base, {}), "other": other}
    with pytest.raises(InputError, match="plane"):
        measure_landscape([mute, *(found[name] for name in second)], {"facts": QUESTIONS}, points=3)
