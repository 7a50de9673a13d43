"""How far, and in how many directions, did the weights move? Numbers from a Run, for plots and films alike.

Numpy only. For a LoRA module everything is computed from its factors, in r dimensions, never from the whole product.
"""

import numpy as np
import pandas as pd

from engine.run import Factors, Run


def singular_values(run: Run, module: str, step: int | None = None) -> np.ndarray:
    """Singular values of delta-W, largest first: (min(out, in),), or (r,) for LoRA, whose others are exactly zero."""
    if run.kind(module) == "lora":
        return factored_svd(run.factors(module, step))[1]
    return np.linalg.svd(run.delta(module, step), compute_uv=False)


def factored_svd(factors: Factors) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U (out, r), S (r,), Vt (r, in) of scaling * B A, through the QR decompositions of B and of A's transpose."""
    qb, rb = np.linalg.qr(factors.B)
    qa, ra = np.linalg.qr(factors.A.T)
    u, s, vt = np.linalg.svd(np.float32(factors.scaling) * (rb @ ra.T))
    return qb @ u, s, vt @ qa.T


def norm(run: Run, module: str, step: int | None = None) -> float:
    """How far a matrix moved: the Frobenius norm of delta-W, in the weights' own unit."""
    if run.kind(module) == "lora":
        b, a, scaling = run.factors(module, step)
        return float(abs(scaling) * np.sqrt(max(0.0, np.sum((b.T @ b) * (a @ a.T), dtype=np.float64))))
    return float(np.linalg.norm(run.delta(module, step)))


def relative_norm(run: Run, module: str, step: int | None = None) -> float:
    """The norm of delta-W beside that of W: 0.1 means that it moved by a tenth of its size."""
    return norm(run, module, step) / float(np.linalg.norm(run.weight(module)))


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


def forgetting(run: Run) -> pd.DataFrame:
    """Loss on each skill minus its loss before training, nats a token: step x skill. Higher is more forgotten."""
    losses = run.skill_losses
    return losses - losses.iloc[0]
