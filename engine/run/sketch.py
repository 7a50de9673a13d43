"""What is worth keeping of a matrix that is too large to keep? Its exact norm, its main directions, a small picture."""

from typing import NamedTuple

import numpy as np

from engine.linear import norm, scaled, squares_of, svd_of_product, unscaled
from engine.run.delta import Factors, factored_norm

OVERSAMPLE = 8  # directions drawn beyond those kept (Halko et al. advise 5 to 10)
FIELDS = ("norm", "missed", "S", "U", "Vt", "picture")


class Sketch(NamedTuple):
    """One delta-W, summarised.

    norm: its Frobenius norm, exact. U (out, k), S (k,), Vt (k, in): its top singular triplets. missed: the share of
    the norm that they miss, ||delta-W - U S Vt|| / norm, 0 to 1, exact. picture: means of equal blocks, at most
    256 x 256.
    """

    norm: float
    missed: float
    S: np.ndarray
    U: np.ndarray
    Vt: np.ndarray
    picture: np.ndarray

    def approximation(self) -> np.ndarray:
        """U S Vt, (out, in): the best of its rank but for the randomness of the SVD. It lacks `missed` of the norm."""
        return (self.U * self.S) @ self.Vt


class Level(NamedTuple):
    """How much a sketch keeps. triplets: singular ones. side: of the picture, in blocks; 0 for none."""

    triplets: int
    side: int

    def shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """field -> shape, of the sketch of a matrix."""
        out, into = shape
        k = min(self.triplets, out, into)
        picture = (min(self.side, out), min(self.side, into))
        return dict(zip(FIELDS, ((), (), (k,), (out, k), (k, into), picture), strict=True))


# From the richest to the norm alone.
LEVELS = [Level(8, 256), Level(8, 128), Level(8, 64), Level(4, 32), Level(2, 16), Level(1, 8), Level(0, 0)]


@np.errstate(over="ignore", invalid="ignore")  # means of numbers that large may be infinite
def sketch(delta: np.ndarray, level: Level) -> Sketch:
    """Summarise a matrix, (out, in), by randomised SVD with one power iteration (Halko et al. 2011, section 4.5)."""
    out, into = delta.shape
    size = norm(delta)
    k = min(level.triplets, out, into)
    if not np.isfinite(size):
        return _lost(size, delta.shape, level)
    if k == 0 or size == 0:  # at the start of a training nothing has moved
        u, s, vt = np.zeros((out, 0), np.float32), np.zeros(0, np.float32), np.zeros((0, into), np.float32)
    else:
        draws = np.random.default_rng(0).standard_normal((into, min(k + OVERSAMPLE, out, into)), np.float32)
        safe, power = scaled(delta)
        q = _basis(safe @ _basis(safe.T @ _basis(safe @ draws)))
        u, s, vt = _svd_of_few(q.T @ safe)
        u, s, vt = q @ u[:, :k], unscaled(s[:k], power), vt[:k]
    return Sketch(size, _missed(size, s), *_padded(s, u, vt, k), block_means(delta, level.side))


def _svd_of_few(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U (k, r), S (r,), Vt (r, n) of few long rows, (k, n), float32.

    From the rows' products with each other in float64, several times as fast as LAPACK's SVD or QR in float32. Squaring
    halves the digits: what is below a hundred-thousandth of the largest singular value is left out, and r < k then.
    """
    exact = rows.astype(np.float64)
    squares, u = squares_of(exact)
    found = np.flatnonzero(squares > 1e-10 * squares[-1])[::-1]
    u, s = u[:, found], np.sqrt(squares[found])
    return u.astype(np.float32), s.astype(np.float32), ((u / s).T @ exact).astype(np.float32)


def _basis(columns: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span what these span: (n, at most k)."""
    return _svd_of_few(columns.T)[2].T


def _padded(s: np.ndarray, u: np.ndarray, vt: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """S, U and Vt of k triplets, also where fewer were found: the others are exactly zero."""
    more = k - len(s)
    return np.pad(s, (0, more)), np.pad(u, ((0, 0), (0, more))), np.pad(vt, ((0, more), (0, 0)))


@np.errstate(over="ignore", invalid="ignore")
def sketch_factors(of: Factors, level: Level) -> Sketch:
    """Summarise scaling * B A without forming it: an exact SVD, through the QR decompositions of both factors."""
    b, a, scaling = of
    size = factored_norm(of)
    k = min(level.triplets, b.shape[0], a.shape[1])
    if not np.isfinite(size):
        return _lost(size, (b.shape[0], a.shape[1]), level)
    u, s, vt = svd_of_product(b, a, scaling)
    u, s, vt = u[:, :k], s[:k], vt[:k]
    picture = np.float32(scaling) * (_means(b, level.side) @ _means(a.T, level.side).T)
    return Sketch(size, _missed(size, s), *_padded(s, u, vt, k), picture)


def _lost(size: float, shape: tuple[int, ...], level: Level) -> Sketch:
    """Of a training that has diverged: a matrix that holds NaN or infinity has no directions, and must not stop it."""
    return Sketch(size, np.nan, *(np.full(of, np.nan, np.float32) for of in list(level.shapes(shape).values())[2:]))


def _missed(size: float, s: np.ndarray) -> float:
    # ||D - U S Vt||^2 = ||D||^2 - sum S^2 holds exactly, because U' D = S Vt.
    rest = 1 - float(np.sum(np.square(s, dtype=np.float64))) / size**2 if size else 0.0
    return float(np.sqrt(max(0.0, rest)))


def block_means(matrix: np.ndarray, side: int) -> np.ndarray:
    """Means of blocks as equal as can be: at most (side, side). A smaller dimension keeps its own size."""
    return _means(_means(matrix, side).T, side).T


def _means(matrix: np.ndarray, side: int) -> np.ndarray:
    """Means over blocks of rows."""
    rows = len(matrix)
    if side == 0:
        return np.zeros((0, *matrix.shape[1:]), np.float32)
    if rows <= side:
        return matrix
    edges = np.arange(side + 1) * rows // side
    first, counts = edges[:-1], np.diff(edges)
    # The blocks' first rows, then their second ones, ...: several times as fast as np.add.reduceat.
    least = rows // side
    total = matrix[first]
    for at in range(1, least):
        total += matrix[first + at]
    longer = counts > least
    total[longer] += matrix[first[longer] + least]
    return total / counts[:, None].astype(np.float32)
