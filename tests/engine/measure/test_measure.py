"""Measures: each one on matrices whose answer is known, and the same whichever way it is computed."""

from pathlib import Path

import numpy as np
import pytest

from engine import measure as m
from engine.measure.subspaces import (
    alike,
    amplification,
    chance_cosines,
    chance_overlap,
    intruder_dimensions,
    intruders_between,
    overlap_grid,
    subspace_overlap,
)
from engine.run.delta import Factors, factored_norm
from engine.run.info import Module, RunInfo
from engine.run.run import Run
from engine.run.store import Store
from glasstune import InputError

RANDOM = np.random.default_rng(0)


class OneMatrix(Store):
    """What a Run of one matrix is read from."""

    path = Path("fake")

    def __init__(self, delta=None, factors=None, weight=None):
        self._delta, self._factors, self._weight = delta, factors, weight
        kind = "delta" if factors is None else "lora"
        shape = self.delta(1, "x").shape
        self.info = RunInfo(modules={"x": Module(kind=kind, shape=shape, parameter="x", scaling=1.0)})

    def steps(self):
        return [1]

    def records(self):
        return []

    def factors(self, step, module, adapter=None):
        return self._factors

    def delta(self, step, module):
        return self._delta if self._factors is None else self._factors.product()

    def weight(self, module):
        return self._weight


class Fake(Run):
    """A Run of one matrix, x, of which a test says what it is."""

    def __init__(self, delta=None, factors=None, weight=None):
        super().__init__(OneMatrix(delta, factors, weight))
        self._factors = factors


def orthonormal(rows, columns, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((rows, columns)))[0].astype(np.float32)


def lora(out=24, into=40, r=4, scaling=2.0, seed=0):
    random = np.random.default_rng(seed)
    b, a = (random.standard_normal(shape).astype(np.float32) for shape in ((out, r), (r, into)))
    return Factors(b, a, scaling)


@pytest.mark.parametrize("scaling", [2.0, -3.0])
def test_two_runs_are_compared_alike_in_r_dimensions_and_whole(scaling):
    one, two = lora(seed=1), lora(r=6, scaling=scaling, seed=2)
    deltas = [each.product().astype(np.float64) for each in (one, two)]
    (u, _, vt), (other_u, _, other_vt) = (np.linalg.svd(each) for each in deltas)
    written, read = np.square(u[:, :4].T @ other_u[:, :6]).sum() / 4, np.square(vt[:4] @ other_vt[:6].T).sum() / 4
    cosine = np.vdot(*deltas) / np.prod([np.linalg.norm(each) for each in deltas])
    for first in (Fake(factors=one), Fake(delta=one.product())):
        for second in (Fake(factors=two), Fake(delta=two.product())):
            found = alike(first, second, "x")
            assert found.cosine == pytest.approx(cosine, abs=1e-6)
            assert found.read == (pytest.approx(read, abs=1e-5), 4, 6, 6 / 40)
            assert found.written == (pytest.approx(written, abs=1e-5), 4, 6, 6 / 24)


def test_factored_and_whole_agree():
    factors = lora()
    factored, whole = Fake(factors=factors), Fake(delta=factors.product())
    assert m.norm(factored, "x") == pytest.approx(m.norm(whole, "x"), rel=1e-5)
    np.testing.assert_allclose(m.singular_values(factored, "x"), m.singular_values(whole, "x")[:4], rtol=1e-4)
    u, s, vt = m.directions(factored, "x")
    np.testing.assert_allclose(u * s @ vt, factors.product(), atol=1e-4)


def test_a_rank_larger_than_the_matrix():
    factors = lora(out=3, into=40, r=8)
    assert len(m.singular_values(Fake(factors=factors), "x")) == 3
    np.testing.assert_allclose(
        m.singular_values(Fake(factors=factors), "x"), np.linalg.svd(factors.product())[1], rtol=1e-4
    )


@pytest.mark.parametrize("n", [1, 3, 8])
def test_ranks_of_n_equal_directions_are_n(n):
    values = np.linalg.svd(orthonormal(20, n) @ orthonormal(12, n, 1).T, compute_uv=False)
    assert m.effective_rank(values) == pytest.approx(n, rel=1e-3)
    assert m.stable_rank(values) == pytest.approx(n, rel=1e-5)
    assert m.numerical_rank(values, (20, 12)) == n
    assert m.energy_rank(values) == int(np.ceil(0.9 * n))


def test_ranks_keep_their_order():
    values = np.sort(RANDOM.random(30))[::-1]
    assert 1 <= m.stable_rank(values) <= m.effective_rank(values) <= 30
    assert m.energy_rank(values, 0.5) <= m.energy_rank(values, 0.9) <= m.energy_rank(values, 1.0) == 30


def test_zeros_have_rank_zero():
    zeros = np.zeros(5)
    assert (
        m.effective_rank(zeros) == m.stable_rank(zeros) == m.energy_rank(zeros) == m.numerical_rank(zeros, (5, 5)) == 0
    )


def test_relative_norm():
    run = Fake(delta=np.full((2, 2), 0.5, np.float32), weight=np.full((2, 2), 5.0, np.float32))
    assert m.relative_norm(run, "x") == pytest.approx(0.1)


def test_the_spectrum_table_is_the_single_measures(lora_run):
    table = m.spectrum_table(lora_run)
    assert list(table.index) == lora_run.modules
    name = lora_run.modules[0]
    values = m.singular_values(lora_run, name)
    assert table.loc[name, "norm"] == m.norm(lora_run, name)
    assert table.loc[name, "stable_rank"] == m.stable_rank(values) <= 4


@pytest.mark.parametrize("run", [Fake(delta=np.array([[np.nan, 1.0]])), Fake(factors=lora()._replace(scaling=1.0))])
def test_what_is_not_finite_is_said(run):
    if run._factors is not None:
        run._factors.A[0, 0] = np.inf
    with pytest.raises(InputError, match="holds NaN or infinity: training diverged"):
        m.singular_values(run, "x")
    assert not np.isfinite(m.norm(run, "x"))


# --- subspaces -----------------------------------------------------------------------------------------


def test_overlap_of_the_same_is_one_and_of_strangers_zero():
    basis = orthonormal(30, 8)
    grid = overlap_grid(basis, basis)
    np.testing.assert_allclose(grid, 1, atol=1e-5)
    np.testing.assert_allclose(overlap_grid(basis[:, :4], basis[:, 4:]), 0, atol=1e-5)
    one, two = Fake(factors=lora()), Fake(factors=lora(scaling=-0.5))
    assert subspace_overlap(one, two, "x").phi == pytest.approx(1, abs=1e-4)
    assert subspace_overlap(one, two, "x", side="out", i=2, j=4).phi == pytest.approx(1, abs=1e-4)


def test_overlap_is_the_papers_formula():
    first, second = orthonormal(30, 6), orthonormal(30, 5, 1)
    grid = overlap_grid(first, second)
    for i, j in ((1, 1), (2, 5), (6, 3)):
        expected = np.linalg.norm(first[:, :i].T @ second[:, :j]) ** 2 / min(i, j)
        assert grid[i - 1, j - 1] == pytest.approx(expected, rel=1e-4)
    assert grid.min() >= 0 and grid.max() <= 1 + 1e-6


def test_the_chance_of_an_overlap_is_what_random_ones_have():
    phis = [overlap_grid(orthonormal(20, 3, 2 * at), orthonormal(20, 5, 2 * at + 1))[-1, -1] for at in range(400)]
    assert np.mean(phis) == pytest.approx(chance_overlap(3, 5, 20), rel=0.05)


def test_different_sizes_and_no_directions_are_said():
    with pytest.raises(InputError, match="only changes of the same size"):
        subspace_overlap(Fake(factors=lora()), Fake(factors=lora(out=8)), "x")
    with pytest.raises(InputError, match="did not move"):
        subspace_overlap(Fake(factors=lora(scaling=0.0)), Fake(factors=lora()), "x")
    with pytest.raises(InputError, match="nothing that it could amplify"):
        amplification(Fake(factors=lora(scaling=0.0), weight=np.ones((24, 40))), "x")


def test_amplification_of_a_change_along_w_itself():
    basis, v = orthonormal(16, 4), orthonormal(16, 2, 1)
    u = basis[:, :2]
    weight = u * np.array([4.0, 2.0], np.float32) @ v.T
    result = amplification(Fake(delta=3 * weight, weight=weight), "x")
    assert result.factor == pytest.approx(3, rel=1e-3)
    assert result.factor < result.chance
    aside = amplification(Fake(delta=basis[:, 2:] @ v.T, weight=weight), "x")
    assert aside.factor > 1e3, "a change along what W hardly does is a large amplification"


def test_no_change_brings_no_intruder():
    weight = RANDOM.standard_normal((40, 60)).astype(np.float32)
    found = intruder_dimensions(Fake(delta=np.zeros((40, 60), np.float32), weight=weight), "x")
    assert found.count == 0 and len(found.cosines) == 10
    np.testing.assert_allclose(found.cosines, 1, atol=1e-3)


def test_a_strong_new_direction_is_an_intruder():
    weight = RANDOM.standard_normal((200, 60)).astype(np.float32)
    new = np.linalg.svd(weight)[0][:, 100:101]  # a direction that W never writes
    found = intruder_dimensions(Fake(delta=100 * new @ orthonormal(60, 1).T, weight=weight), "x")
    assert found.count == 1 and found.cosines[0] < 0.5
    assert found.chance_count > 9.9, "in 200 dimensions every random direction would be one"


def test_the_chance_of_an_intruder_is_what_random_matrices_have():
    cosines = np.concatenate([
        intruders_between(orthonormal(24, 24, at), np.random.default_rng(at + 100).standard_normal((24, 30)), k=24).cosines
        for at in range(25)
    ])  # fmt: skip
    assert np.mean(cosines) == pytest.approx(np.mean(chance_cosines(24, 24)), rel=0.03)
    assert np.mean(chance_cosines(24, 24)) > 0.4, "in narrow matrices even strangers are not intruders"


def test_the_norm_of_a_diverged_factor_is_no_number_rather_than_zero():
    broken = Factors(np.full((3, 2), np.nan, np.float32), np.ones((2, 3), np.float32), 1.0)
    assert np.isnan(factored_norm(broken))
