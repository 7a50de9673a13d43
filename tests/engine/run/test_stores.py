"""Every store answers the same questions, and a Run asks no others: so a new one needs nothing but these."""

import json

import numpy as np
import pytest

from engine.errors import InputError
from engine.run.delta import Factors
from engine.run.info import Module, RunInfo
from engine.run.run import Run
from engine.run.store import Movement, Store
from engine.run.stores.state import records_of

A, B = np.float32([[1, 2, 2]]), np.float32([[2], [0]])  # norms 3 and 2


class Invented(Store):
    """Two steps of one LoRA matrix and one that is kept whole."""

    def __init__(self, path):
        self.path = path
        thin = Module(kind="lora", shape=(2, 3), r=1, scaling=0.5, base_parameter="y.weight")
        self.info = RunInfo(modules={"y": thin, "x": Module(kind="delta", shape=(2, 2), parameter="x.weight")})

    def steps(self):
        return [0, 4]

    def records(self):
        return [{"step": 4, "event": "train", "loss": 1.5}]

    def factors(self, step, module, adapter=None):
        return _factors(step)

    def delta(self, step, module):
        return _factors(step).product() if module == "y" else np.full((2, 2), step, np.float32)

    def moved(self, step, module):
        return Movement(2.0 * step, 1.0) if module == "x" else None

    def weight(self, module):
        return np.ones(self.info.modules[module].shape, np.float32)


def _factors(step):
    return Factors(B * step, A, 0.5)


def test_a_run_is_whatever_a_store_says(tmp_path):
    run = Run(Invented(tmp_path / "mine"))
    assert (run.name, run.steps, run.modules, run.status) == ("mine", [0, 4], ["y", "x"], "running")
    assert run.metrics.loss.to_dict() == {4: 1.5} and run.answers.empty and run.skills.empty
    np.testing.assert_array_equal(run.delta("y"), [[4, 8, 8], [0, 0, 0]])
    assert run.norms.loc[4].to_dict() == pytest.approx({"y": 0.5 * 4 * 2 * 3, "x": 8.0})
    assert run.moved("x", 4) == (8.0, 1.0) and run.weight("x").shape == (2, 2)


def test_the_run_asks_only_for_what_there_is(tmp_path):
    run = Run(Invented(tmp_path))
    for ask, said in (
        (lambda: run.delta("z"), "captured no module 'z'"),
        (lambda: run.delta("y", 3), "captured no step 3; the nearest is 4"),
        (lambda: run.factors("x"), "kept whole"),
        (lambda: run.sketch("y"), "kept y exactly"),
    ):
        with pytest.raises(InputError, match=said):
            ask()


def test_of_a_trainers_log_what_is_no_record_is_left_out():
    log = [
        {"step": 1, "loss": 2.0, "epoch": 0.5},
        "a custom callback's", None, 3, [1], {"loss": 1.0}, {"step": "two", "loss": 1.0}, {"step": True, "loss": 1.0},
        {"step": 2, "loss": 0.0, "inside": {"a": 1}},
        {"step": 2, "eval_loss": 1.0, "eval_french_loss": 0.5, "eval_runtime": 3.0},
        {"step": 3, "eval_loss": "high"}, {"step": 3, "eval_runtime": 3.0},
    ]  # fmt: skip
    assert records_of(json.loads(json.dumps({"log_history": log}))) == [
        {"step": 1, "loss": 2.0, "epoch": 0.5, "event": "train"},
        {"step": 2, "loss": 0.0, "event": "train"},
        {"step": 2, "event": "eval", "exact": {}, "loss": {"held out": 1.0, "french": 0.5}},
    ]
