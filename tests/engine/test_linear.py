"""One door for numbers: whatever a matrix holds, its decomposition is right or refused, and nothing hangs."""

import ast
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import linear
from engine.errors import InputError
from engine.run.delta import Factors, factored_norm
from engine.run.sketch import Level, sketch, sketch_factors

ROOT = Path(__file__).parents[2]
TRIES = settings(max_examples=40, deadline=None, derandomize=True)
POWERS = st.integers(-120, 120)


def matrix(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.timeout(60)
@TRIES
@given(POWERS, st.integers(1, 9), st.integers(1, 9))
def test_a_power_of_two_changes_singular_values_by_itself_and_directions_not_at_all(power, out, width):
    plain, big = matrix(1, out, width), np.ldexp(matrix(1, out, width), power)
    if not np.isfinite(big).all() or (np.abs(big) < 1e-37).any():
        return
    (u, s, vt), (bu, bs, bvt) = linear.svd(plain), linear.svd(big)
    np.testing.assert_allclose(bs.astype(float), np.ldexp(s.astype(float), power), rtol=1e-5)
    np.testing.assert_allclose((bu / bu.max()) @ bvt, (u / u.max()) @ vt, atol=1e-4)
    np.testing.assert_allclose(linear.singular_values(big).astype(float), bs.astype(float), rtol=1e-5)
    assert linear.norm(big) == pytest.approx(np.linalg.norm(big.astype(float)), rel=1e-5)


@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (3, 20, 30), (2, 3), (1, 5), (0, 4), (2, 0, 3)])
@pytest.mark.parametrize("rank", [None, 2])
def test_singular_values_are_those_of_the_decomposition(shape, rank):
    one = matrix(4, *shape)
    if rank:
        one = (matrix(5, *shape[:-1], rank) @ matrix(6, *shape[:-2], rank, shape[-1])).astype(np.float32)
    exact = np.linalg.svd(one.astype(float), compute_uv=False)
    found = linear.singular_values(one)
    assert found.shape == exact.shape and found.dtype == np.float32
    np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-6 * exact.max(initial=0))


@pytest.mark.timeout(60)
@TRIES
@given(POWERS, POWERS, st.sampled_from([1.0, -2.0, 1e-30, 1e30, 0.0]))
def test_a_product_of_factors_of_any_size(first, second, scaling):
    b, a = np.ldexp(matrix(2, 7, 3), first), np.ldexp(matrix(3, 3, 5), second)
    if not (np.isfinite(b).all() and np.isfinite(a).all()) or min(np.abs(b).min(), np.abs(a).min()) < 1e-37:
        return
    exact = scaling * (b.astype(float) @ a.astype(float))
    u, s, vt = linear.svd_of_product(b, a, scaling)
    size = np.linalg.norm(exact)
    assert factored_norm(Factors(b, a, scaling)) == pytest.approx(size, rel=1e-4)
    if size < 1e37 and (size > 1e-35 or scaling == 0):
        np.testing.assert_allclose((u * s) @ vt, exact, atol=1e-4 * size)
    assert np.isfinite(s).all()


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("out", "r", "width", "rank"), [(40, 6, 30, 6), (40, 6, 30, 2), (3, 6, 30, 3), (40, 6, 1, 1)])
@pytest.mark.parametrize(("grow", "scaling"), [(1.0, 2.0), (1e6, -0.5), (1e15, 1e-3)])
def test_a_product_is_decomposed_in_r_dimensions(out, r, width, rank, grow, scaling):
    """Also where it has fewer directions than columns, and where B's columns, and so A's rows, differ in size."""
    sizes = np.geomspace(1, grow, r)
    b, a = matrix(1, out, r), matrix(2, r, width)
    b[:, rank:] = b[:, :1]  # of the larger matrices, whose rank is less than r
    b, a = (b * sizes).astype(np.float32), (a / sizes[:, None]).astype(np.float32)
    s, of_b, of_a = linear.core(*linear.grams(b, a), scaling)
    thin_b, thin_a = linear.slim(b, a)
    exact = scaling * (b.astype(float) @ a.astype(float))
    expected = np.linalg.svd(exact, compute_uv=False)[: len(s)]
    np.testing.assert_allclose(s, expected, rtol=1e-5, atol=1e-6 * expected[0])
    u, v = (thin_b @ of_b)[:, :rank], (thin_a.T @ of_a)[:, :rank]
    for side in (u, v):
        np.testing.assert_allclose(side.T @ side, np.eye(rank), atol=1e-5)
    np.testing.assert_allclose((u * s[:rank]) @ v.T, exact, atol=1e-5 * expected[0])


def test_a_product_with_zeros_has_directions_and_one_with_none_has_no_values():
    b, a = matrix(1, 9, 3), matrix(2, 3, 8)
    b[:, 1] = 0
    exact = np.linalg.svd(b.astype(float) @ a, compute_uv=False)
    np.testing.assert_allclose(linear.core(*linear.grams(b, a), 1.0).s, exact[:3], atol=1e-6 * exact[0])
    s, of_b, of_a = linear.core(*linear.grams(0 * b, a), 1.0)
    assert not s.any() and not of_b.any() and not of_a.any()


def test_the_products_of_several_are_those_of_each(monkeypatch):
    monkeypatch.setattr(linear, "_ROWS", 7)  # several blocks, the last one short
    x, y = matrix(1, 30, 2), matrix(2, 3, 30).T
    both = np.concatenate([x, y], axis=1).astype(float)
    np.testing.assert_allclose(linear.gram(x, y), both.T @ both, rtol=1e-12)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("size", [1e19, 3e38, 1e-30])
def test_summaries_of_numbers_that_overflow(size):
    delta = (matrix(4, 30, 20) / 4 * size).astype(np.float32)
    found = sketch(delta, Level(4, 8))
    exact = np.linalg.svd(delta.astype(float), compute_uv=False)
    assert found.norm == pytest.approx(math.sqrt((exact**2).sum()), rel=1e-4)
    np.testing.assert_allclose(found.S.astype(float), exact[:4], rtol=0.05)
    of = sketch_factors(Factors(np.full((9, 2), size, np.float32), np.full((2, 9), size, np.float32), 2.0), Level(2, 4))
    assert of.norm == pytest.approx(2.0 * 2 * 9 * size**2, rel=1e-4) and not np.isnan(of.U).any()


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(broken):
    bad = matrix(5, 4, 4)
    bad[1, 2] = broken
    good = matrix(6, 4, 4)
    for act in (lambda: linear.svd(bad), lambda: linear.singular_values(bad), lambda: linear.squares_of(bad),
                lambda: linear.svd_of_product(bad, good, 1.0), lambda: linear.svd_of_product(good, bad, 1.0),
                lambda: linear.svd_of_product(good, good, float(broken)),
                lambda: linear.core(*linear.grams(bad, good), 1.0),
                lambda: linear.core(*linear.grams(good, good), float(broken))):  # fmt: skip
        with pytest.raises(InputError, match="no directions"):
            act()
    assert not math.isfinite(linear.norm(bad))


def test_ordinary_weights_go_through_unchanged():
    plain = matrix(7, 12, 9)
    assert linear.scaled(plain)[0] is plain and linear.scaled(plain * 0)[1] == 0
    for mine, numpys in zip(linear.svd(plain), np.linalg.svd(plain, full_matrices=False), strict=True):
        np.testing.assert_array_equal(mine, numpys)


def test_what_would_take_terabytes_is_refused_with_its_size():
    thin = np.ones((10**6, 1), np.float32)
    huge = Factors(thin, thin.T, 1.0)
    assert factored_norm(huge) == pytest.approx(1e6), "its norm needs no product"
    with pytest.raises(InputError, match=r"1000000 x 1000000: 4,000 GB, and [\d.]+ GB of memory are free"):
        huge.product()
    assert factored_norm(Factors(thin.T, thin, 1.0)) == 1e6, "a rank larger than both sides makes no Gram matrix of it"


def test_lapack_is_called_here_only():
    """What overflows hangs it. A camera solves for the eight numbers of its own view."""
    allowed = (ROOT / "engine" / "linear.py", ROOT / "animations" / "studio" / "camera.py")
    for file in (path for folder in ("engine", "visualize", "animations") for path in (ROOT / folder).rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        called = [] if "linalg" not in text else [
            node.attr for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("linalg")
        ]  # fmt: skip
        assert {*called} <= {"norm"} or file in allowed, f"{file}: through engine.linear"
