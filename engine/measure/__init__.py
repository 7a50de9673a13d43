"""How far, and in how many directions, did the weights move? Numbers from a Run, for plots and films alike.

Numpy only. For a LoRA module everything is computed from its factors, in r dimensions, never from the whole product.
Of a module that the budget left as a sketch, its norm and largest directions are known, and nothing is made up beyond.
Where the directions point, beside W or another run's, is in `engine.measure.subspaces`.
"""

import numpy as np
import pandas as pd

from engine import linear
from engine.errors import InputError
from engine.run.delta import Factors
from engine.run.run import Run


def singular_values(run: Run, module: str, step: int | None = None) -> np.ndarray:
    """Singular values of delta-W, largest first: (min(out, in),), or (r,) for LoRA, whose others are exactly zero.

    In the weights' own unit. Of a sketched module only the largest, as many as were kept. Raises InputError for a
    change that is not finite.
    """
    if run.is_sketched(module):
        return directions(run, module, step)[1]
    if run.kind(module) == "lora":
        return core_of(run, module, step).s
    return linear.singular_values(_matrix(run, module, step))


def directions(run: Run, module: str, step: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Along which directions did a matrix move? delta-W = U diag(S) Vt, largest first: (out, n), (n,), (n, in).

    n is min(out, in), or r for LoRA, or what was kept of a sketched module. Raises InputError for a change that is
    not finite.
    """
    if run.is_sketched(module):
        kept = run.sketch(module, step)
        _finite(np.array([kept.norm]), run, module)
        return kept.U, kept.S, kept.Vt
    if run.kind(module) == "lora":
        factors = run.factors(module, step)
        _finite(factors.A, run, module), _finite(factors.B, run, module)
        return factored_svd(factors)
    return linear.svd(_matrix(run, module, step))


def core_of(run: Run, module: str, step: int | None = None) -> linear.Core:
    """The same of a LoRA module, in r dimensions. Raises InputError for a change that is not finite."""
    inner = run.inner(module, step)
    _finite(np.array([inner.norm]), run, module)
    return inner.core


def _matrix(run: Run, module: str, step: int | None) -> np.ndarray:
    """delta-W as a matrix: of a convolution (out, the rest). Raises InputError for a vector, which has no directions.

    A stack of matrices stays one: (experts, out, in).
    """
    delta = _finite(run.delta(module, step), run, module)
    if delta.ndim < 2:
        raise InputError(f"{module} is no matrix but a vector of {delta.size}: it has no singular values")
    return delta if delta.ndim == 2 or run.module(module).is_stack else delta.reshape(len(delta), -1)


def _finite(matrix: np.ndarray, run: Run, module: str) -> np.ndarray:
    if not np.isfinite(matrix).all():
        raise InputError(
            f"the change of {module} in run {run.name} holds NaN or infinity: training diverged; "
            "train again with a lower learning rate"
        )
    return matrix


def factored_svd(factors: Factors) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U (out, r), S (r,), Vt (r, in) of scaling * B A, without forming it."""
    return linear.svd_of_product(*factors)


def norm(run: Run, module: str, step: int | None = None) -> float:
    """How far a matrix moved: the Frobenius norm of delta-W, in the weights' own unit. NaN if a weight is."""
    return run.norm(module, step)


def relative_norm(run: Run, module: str, step: int | None = None) -> float:
    """The norm of delta-W beside that of W: 0.1 means that it moved by a tenth of its size.

    Infinite where W is zero. Raises InputError if the base is not at hand.
    """
    moved = run.moved(module, step)
    size = linear.norm(run.weight(module)) if moved is None else moved.base_norm
    change = run.norm(module, step)
    return change / size if size else (np.inf if change else 0.0)


def numerical_rank(values: np.ndarray, shape: tuple[int, ...]) -> int:
    """How many singular values are not rounding error (numpy's `matrix_rank` tolerance, for float32)."""
    if not len(values) or values[0] == 0:
        return 0
    return int(np.sum(values > values[0] * max(shape) * np.finfo(np.float32).eps))


def effective_rank(values: np.ndarray) -> float:
    """exp of the entropy of the singular values' shares (Roy & Vetterli 2007): 1 for one direction, n for n equal ones.

    0 for a matrix of zeros.
    """
    total = values.sum()
    if total == 0:
        return 0.0
    share = values[values > 0] / total
    return float(np.exp(-(share * np.log(share)).sum()))


def stable_rank(values: np.ndarray) -> float:
    """||M||_F^2 / ||M||_2^2 (Rudelson & Vershynin 2007): at most the rank, and not moved by small singular values.

    0 for a matrix of zeros.
    """
    squares = np.square(values, dtype=np.float64)
    return float(squares.sum() / squares.max()) if squares.size and squares.max() else 0.0


def energy_rank(values: np.ndarray, share: float = 0.9) -> int:
    """How many directions hold `share` of the energy, the sum of squared singular values? 0 for a matrix of zeros."""
    energy = np.cumsum(np.sort(np.square(values, dtype=np.float64))[::-1])
    if not energy.size or energy[-1] == 0:
        return 0
    return int(np.searchsorted(energy, share * energy[-1] * (1 - 1e-12)) + 1)


def spectrum_table(run: Run, step: int | None = None, modules: list[str] | None = None) -> pd.DataFrame:
    """Every matrix's change in numbers, one row a module (the index): norm, in the weights' unit, and of its singular
    values the effective and stable rank, and `rank_90`, the directions that hold 90 % of the energy.

    modules: default all. A whole matrix costs out * in * min(out, in) operations. Of a sketched module, what its
    largest singular values and its norm do not settle is NaN. Raises as `singular_values`.
    """
    rows = {}
    for module in modules or run.modules:
        values, size = singular_values(run, module, step), run.norm(module, step)
        if run.is_sketched(module):
            ranks = (np.nan, *_ranks_of_largest(values, size))
        else:
            ranks = (effective_rank(values), stable_rank(values), energy_rank(values))
        rows[module] = dict(zip(("norm", "effective_rank", "stable_rank", "rank_90"), (size, *ranks), strict=True))
    return pd.DataFrame.from_dict(rows, orient="index")


def _ranks_of_largest(values: np.ndarray, size: float) -> tuple[float, float]:
    """The stable rank, and the rank for 90 % of the energy, of a matrix of norm `size` with these largest values."""
    if size == 0:
        return 0.0, 0.0
    if not values.size or values[0] == 0:
        return np.nan, np.nan
    rank = energy_rank(values, min(1.0, 0.9 * size**2 / float(np.square(values, dtype=np.float64).sum())))
    reached = linear.norm(values[:rank]) >= 0.9**0.5 * size * (1 - 1e-6)
    return size**2 / float(values[0]) ** 2, float(rank) if reached else np.nan


def forgetting(run: Run) -> pd.DataFrame:
    """Loss on each skill minus its loss before training, nats a token: step x skill. Higher is more forgotten.

    Of a run whose first evaluation came later than step 0, minus the loss then.
    """
    losses = run.skill_losses
    return losses - losses.iloc[0]
