"""What is left of a change, once the weights are stored in fewer bits? bfloat16, float16, 8 and 4 bits, in numpy."""

from typing import Literal, NamedTuple, get_args

import numpy as np

from engine.errors import InputError
from engine.measure.quantize import quantize
from engine.run.tensors import to_bfloat16

Stored = Literal["bfloat16", "float16", "int8", "nf4"]
STORED: tuple[Stored, ...] = get_args(Stored)


class Survival(NamedTuple):
    """kept: the part of the change that is still there along its own direction, 1 for all of it. noise: the norm of
    what rounding added beside it, in norms of the change. cosine: of what is stored with what was meant, -1 to 1."""

    kept: float
    noise: float
    cosine: float


def stored_as(weight: np.ndarray, form: str) -> np.ndarray:
    """The weights as they are read back, float32.

    int8: whole numbers from -127 to 127 times a scale a row (Dettmers et al. 2022); nf4: see `engine.measure.quantize`.
    Raises InputError for another form.
    """
    if form == "bfloat16":
        return to_bfloat16(weight)
    if form == "float16":
        with np.errstate(over="ignore"):
            return weight.astype(np.float16).astype(np.float32)
    if form == "float32":
        return weight
    rows = weight.reshape(len(weight), -1) if weight.ndim > 1 else weight[None]
    if form == "int8":
        scale = np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.float32(1e-38)) / np.float32(127)
        return (np.round(rows / scale) * scale).reshape(weight.shape)
    if form == "nf4":
        return quantize(weight, "nf4").values()
    raise InputError(f"no form called {form!r}; there are {', '.join(STORED)}")


def survival(weight: np.ndarray, delta: np.ndarray, form: str) -> Survival:
    """How much of a change survives, if base and merged weights are both stored so: Q(W + delta-W) - Q(W) beside
    delta-W. NaN for a change of zero."""
    kept = (stored_as(weight + delta, form) - stored_as(weight, form)).astype(np.float64).ravel()
    meant = delta.astype(np.float64).ravel()
    size, stays = float(meant @ meant), float(np.linalg.norm(kept))
    if size == 0:
        return Survival(np.nan, np.nan, np.nan)
    share = float(kept @ meant) / size
    noise = float(np.linalg.norm(kept - share * meant)) / size**0.5
    return Survival(share, noise, share * size**0.5 / stays if stays else 0.0)
