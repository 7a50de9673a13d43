"""What did an adapter's initialisation take out of W? PiSSA, OLoRA and their kin change the base before they train.

PEFT computes it from the base again when it loads such an adapter, so W + delta-W is W - s B0 A0 + s B A. With the base
at hand B0 A0 is computed here too; where it came from data or chance, nothing in the files tells it, and that is said.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine import linear
from engine.errors import InputError
from engine.run.delta import Factors, factored_norm

# What is computed from the data, or from chance, and so cannot be had from the base.
_LOST = {
    "corda": "the covariance of its data", "lora_ga": "a gradient on its data",
    "loftq": "what quantising the base lost",
}  # fmt: skip
_REMEDY = (
    "save it with model.save_pretrained(folder, path_initial_model_for_weight_conversion=FOLDER_OF_THE_UNTRAINED), "
    "which makes it plain LoRA"
)
_SAME = 1e-3  # of the norm: how close a random start's own identity has to hold, half precision included


@dataclass(frozen=True)
class Start:
    """how: PEFT's init_lora_weights, in small letters."""

    how: str

    def taken_out(self, factors: Factors, weight: Callable[[], np.ndarray]) -> Factors:
        """Factors of s B A - s B0 A0: twice as many columns. Raises InputError where B0 A0 cannot be known."""
        for begun, source in _LOST.items():
            if self.how.startswith(begun):
                raise InputError(
                    f"it began with init_lora_weights={self.how!r}, which takes B0 A0 out of the base first, computed "
                    f"from {source}: its files do not tell the true change; {_REMEDY}"
                )
        try:
            before = weight()
        except InputError as error:
            raise InputError(
                f"it began with init_lora_weights={self.how!r}, which takes B0 A0 out of the base first, so its change "
                f"can only be told beside the base: {error}"
            ) from None
        left, right = self._computed(before, factors)
        scaled = np.float32(factors.scaling) * factors.B
        return Factors(np.concatenate([scaled, -left], axis=1), np.concatenate([factors.A, right]), 1.0)

    def _computed(self, weight: np.ndarray, factors: Factors) -> tuple[np.ndarray, np.ndarray]:
        """s B0 A0 as two factors, (out, r) and (r, in)."""
        rank = len(factors.A)
        if self.how.startswith("olora"):
            q = linear.svd(weight[:, :rank]).u  # spans what QR's first r columns span: Q R is W seen from there
            return np.float32(factors.scaling) * q, q.T @ weight
        if "_niter_" in self.how:
            return _if_untrained(weight, factors, self.how)
        u, s, vt = linear.svd(weight)
        return u[:, :rank] * s[:rank], vt[:rank]


def _if_untrained(weight: np.ndarray, factors: Factors, how: str) -> tuple[np.ndarray, np.ndarray]:
    """PiSSA's fast SVD draws at random: B0 A0 is W seen from B's columns, or A's rows, as long as nothing is trained.

    Then it is s B A itself. Raises InputError if it is not: what it was at the start is not known any more.
    """
    product = factors.product()
    for seen in (_onto(factors.B, weight), _onto(factors.A.T, weight.T).T):
        if np.linalg.norm(seen - product) <= _SAME * np.linalg.norm(product):
            return np.float32(factors.scaling) * factors.B, factors.A
    raise InputError(
        f"it began with init_lora_weights={how!r}, whose singular vectors are drawn at random: it was trained, and how "
        f"far is not in its files; {_REMEDY}"
    )


def _onto(columns: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The matrix, projected onto what these columns span."""
    q = linear.svd(columns).u
    return q @ (q.T @ matrix)


def rounding(factors: Factors, eps: float) -> float:
    """Below which norm a change is what rounding leaves of two equal products: eps is of the type that was saved."""
    rank = factors.B.shape[1] // 2
    return 4 * eps * factored_norm(Factors(factors.B[:, rank:], factors.A[rank:], 1.0))
