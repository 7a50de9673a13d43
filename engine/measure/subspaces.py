"""Did two changes go the same way, and was the way new? Overlap of subspaces, amplification, intruder dimensions.

Every number stands beside what chance gives for a matrix of that size: in few dimensions even strangers look alike.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from engine.errors import InputError
from engine.linear import gram, norm, slim, svd
from engine.measure import core_of, directions, numerical_rank
from engine.run.delta import Inner
from engine.run.run import Run

Side = Literal["in", "out"]


def overlap_grid(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """phi(i, j) = ||U1_i' U2_j||_F^2 / min(i, j) for every i and j (Hu et al. 2021, section 7.2): (n1, n2), 0 to 1.

    first (d, n1), second (d, n2): orthonormal columns, the most important first; [i - 1, j - 1] is of the first i and
    the first j. 1: the smaller subspace lies in the larger. 0: they are at right angles.
    """
    cosines = np.square(first.T.astype(np.float64) @ second)
    smaller = np.minimum(*np.indices(cosines.shape)) + 1
    return np.cumsum(np.cumsum(cosines, axis=0), axis=1) / smaller


def chance_overlap(i: int, j: int, dimensions: int) -> float:
    """What phi two random subspaces of i and j dimensions have on average, exactly: i j / d / min(i, j)."""
    return max(i, j) / dimensions


class Overlap(NamedTuple):
    """phi: of the first i and j directions, 0 to 1. chance: the mean of random subspaces of that size."""

    phi: float
    i: int
    j: int
    chance: float


def subspace_overlap(
    run: Run,
    other: Run,
    module: str,
    *,
    i: int | None = None,
    j: int | None = None,
    side: Side = "in",
    step: int | None = None,
    other_step: int | None = None,
) -> Overlap:
    """Do two runs change a matrix along the same directions? phi of Hu et al. 2021, section 7.2.

    i, j: how many of the largest singular directions of each; default and at most all that are not rounding error.
    side: "in", the right singular vectors, what the change looks at (as in the paper), or "out", what it writes.
    Raises InputError if a change is zero or not finite, or if the two differ in size.
    """
    if run.shape(module) != other.shape(module):
        raise InputError(
            f"{module} is {run.shape(module)} in {run.name} and {other.shape(module)} in {other.name}; "
            "only changes of the same size can be compared"
        )
    found = [moving_directions(one, module, at, side) for one, at in ((run, step), (other, other_step))]
    i, j = (min(most or basis.shape[1], basis.shape[1]) for most, basis in zip((i, j), found, strict=True))
    phi = overlap_grid(found[0][:, :i], found[1][:, :j])[-1, -1]
    return Overlap(float(phi), i, j, chance_overlap(i, j, len(found[0])))


def moving_directions(run: Run, module: str, step: int | None = None, side: Side = "in") -> np.ndarray:
    """The singular directions of delta-W that are not rounding error: (in or out, n), orthonormal, largest first."""
    if run.kind(module) == "lora" and not run.is_sketched(module):
        core = core_of(run, module, step)
        rank = _moved(run, module, core.s)
        b, a = slim(*run.factors(module, step)[:2])
        columns, of = (a.T, core.of_a) if side == "in" else (b, core.of_b)
        return (columns.astype(np.float64) @ of[:, :rank]).astype(np.float32)
    u, s, vt = directions(run, module, step)
    rank = _moved(run, module, s)
    return vt[:rank].T if side == "in" else u[:, :rank]


def _moved(run: Run, module: str, s: np.ndarray) -> int:
    """How many directions a change has. Raises InputError if none."""
    if rank := numerical_rank(s, run.shape(module)):
        return rank
    raise InputError(f"{module} did not move in run {run.name}: its change has no directions")


class Alike(NamedTuple):
    """Two changes of one matrix, side by side: what they look at, what they write, and their cosine as vectors."""

    read: Overlap
    written: Overlap
    cosine: float


def alike(run: Run, other: Run, module: str) -> Alike:
    """`subspace_overlap` of both sides and the cosine, -1 to 1, of two runs' results: each decomposed once.

    Two products of factors are compared in r dimensions. Raises as `subspace_overlap`.
    """
    if run.kind(module) == other.kind(module) == "lora" and not (run.is_sketched(module) or other.is_sketched(module)):
        return _alike_in_r(run, other, module)
    found = [directions(one, module) for one in (run, other)]
    i, j = (_moved(one, module, s) for one, (_, s, _) in zip((run, other), found, strict=True))
    (u, _, vt), (other_u, _, other_vt) = found
    inner = np.vdot(run.delta(module).astype(np.float64), other.delta(module))
    return Alike(
        _overlap(vt[:i] @ other_vt[:j].T.astype(np.float64), run.shape(module)[1]),
        _overlap(u[:, :i].T @ other_u[:, :j].astype(np.float64), run.shape(module)[0]),
        float(inner / (run.norm(module) * other.norm(module))),
    )


def _alike_in_r(run: Run, other: Run, module: str) -> Alike:
    first, second = (one.factors(module) for one in (run, other))
    (b, a), (other_b, other_a) = slim(first.B, first.A), slim(second.B, second.A)
    of_b, of_a, r = gram(b, other_b), gram(a.T, other_a.T), b.shape[1]
    inner = run.inner(module, known=Inner(of_b[:r, :r], of_a[:r, :r], first.scaling))
    others = other.inner(module, known=Inner(of_b[r:, r:], of_a[r:, r:], second.scaling))
    cores = [core_of(one, module) for one in (run, other)]
    i, j = (_moved(one, module, each.s) for one, each in zip((run, other), cores, strict=True))
    of_b, of_a = of_b[:r, r:], of_a[:r, r:]
    return Alike(
        _overlap(cores[0].of_a[:, :i].T @ of_a @ cores[1].of_a[:, :j], a.shape[1]),
        _overlap(cores[0].of_b[:, :i].T @ of_b @ cores[1].of_b[:, :j], len(b)),
        float(first.scaling * second.scaling * np.sum(of_b * of_a) / (inner.norm * others.norm)),
    )


def _overlap(cosines: np.ndarray, dimensions: int) -> Overlap:
    """phi of all directions of both, from their cosines with each other, (i, j)."""
    i, j = cosines.shape
    return Overlap(float(np.square(cosines).sum() / min(i, j)), i, j, chance_overlap(i, j, dimensions))


class Amplification(NamedTuple):
    """factor: ||delta-W|| / ||U' W V'||. change: the norm above, along the r directions. base: the norm below.
    chance: the factor that random directions would give."""

    factor: float
    change: float
    base: float
    chance: float


def amplification(run: Run, module: str, step: int | None = None, r: int | None = None) -> Amplification:
    """How much does the change amplify what W already did along its directions? (Hu et al. 2021, section 7.3)

    U and V: the first r singular directions of delta-W; default all that are not rounding error. The factor is large
    where the change stresses what W hardly did. chance: against random directions, which hold r^2 / (out in) of W's
    energy on average. No unit. Raises InputError if the base is not at hand, or the change is zero or not finite.
    """
    u, s, vt = directions(run, module, step)
    rank = numerical_rank(s, run.shape(module))
    if rank == 0:
        raise InputError(f"{module} did not move in run {run.name}: there is nothing that it could amplify")
    r = min(r or rank, rank)
    weight = run.weight(module)
    change = norm(s[:r])
    base = norm(u[:, :r].T @ weight @ vt[:r].T)
    random = norm(weight) * r / weight.size**0.5
    factor, chance = (change / size if size else np.inf for size in (base, random))
    return Amplification(factor, change, base, chance)


@dataclass(frozen=True)
class Intruders:
    """cosines: (k,) of each of the first k directions of W', its largest cosine with any of W's. epsilon: below which
    it is an intruder. count: of intruders. chance: (draws,) such cosines of random directions, and `chance_count`, how
    many intruders k random directions would be on average."""

    cosines: np.ndarray
    epsilon: float
    chance: np.ndarray

    @property
    def count(self) -> int:
        return int(np.sum(self.cosines < self.epsilon))

    @property
    def chance_count(self) -> float:
        return float(np.mean(self.chance < self.epsilon) * len(self.cosines))


def intruder_dimensions(
    run: Run, module: str, step: int | None = None, *, k: int = 10, epsilon: float = 0.5, draws: int = 1000
) -> Intruders:
    """Did training bring directions that the base did not have? (Shuttleworth et al. 2024, algorithm 1)

    An intruder is a left singular vector, of the k largest, of W' = W + delta-W, whose largest cosine with every one
    of W's is below epsilon. chance: of `draws` random directions in as many dimensions, with the same seed each time;
    the singular vectors of a random matrix are such. If chance is not well below epsilon, as in narrow matrices, the
    count says little. Raises InputError if the base is not at hand, or the change is not finite.
    """
    weight = run.weight(module)
    before = svd(weight).u
    return intruders_between(before, weight + run.delta(module, step), k=k, epsilon=epsilon, draws=draws)


def intruders_between(
    before: np.ndarray, tuned: np.ndarray, *, k: int = 10, epsilon: float = 0.5, draws: int = 1000
) -> Intruders:
    """The same of matrices. before: W's left singular vectors, (out, n). tuned: W', (out, in)."""
    if not np.isfinite(tuned).all():
        raise InputError("the tuned matrix holds NaN or infinity: training diverged; it has no directions")
    after = svd(tuned).u[:, :k]
    dimensions, vectors = before.shape
    return Intruders(np.abs(before.T @ after).max(axis=0), epsilon, chance_cosines(dimensions, vectors, draws))


def chance_cosines(dimensions: int, vectors: int, draws: int = 1000) -> np.ndarray:
    """(draws,) largest cosines of a random direction with `vectors` orthonormal ones in `dimensions`.

    Any orthonormal set looks the same to a random direction, so the first coordinates stand for it: the largest
    magnitude among them, of a normal vector scaled to length one. No matrix is decomposed.
    """
    normal = np.random.default_rng(0).standard_normal((draws, dimensions), np.float32)
    return np.abs(normal[:, :vectors]).max(axis=1) / np.linalg.norm(normal, axis=1)
