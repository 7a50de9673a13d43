"""What is delta-W, given what a capture holds? LoRA's factors of every kind, put together in numpy.

Used on both sides: by `engine.run.run` when a Run is read, by `engine.recording.writer` when a norm or a sketch is
computed. `about` is a module's entry in run.json.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from engine.linear import Core, check_room, core, grams, norm_of_grams, norm_of_product
from engine.run.info import Module

# Initialisations that subtract s B0 A0 from W (or leave that much of it unquantised), so that nothing changes at first.
INSIDE_W = ("pissa", "olora", "corda", "loftq", "lora_ga")
PEFT_PREFIX = "base_model.model."
PROMPT = "prompt"  # the vectors of a prompt method, as a module of a Run: no model has one of that name
Read = Callable[[str], np.ndarray]


class Factors(NamedTuple):
    """LoRA's factors of one matrix (Hu et al. 2021): delta-W = scaling * B @ A.

    A: (r, in), random at the start. B: (out, r), zero at the start. scaling: alpha / r (or alpha / sqrt(r)).
    """

    B: np.ndarray
    A: np.ndarray
    scaling: float

    def product(self) -> np.ndarray:
        """delta-W, (out, in), float32; infinite where it overflows. Raises InputError if it has no room in memory."""
        check_room((len(self.B), self.A.shape[1]), "the product B A")
        with np.errstate(over="ignore", invalid="ignore"):
            return np.float32(self.scaling) * (self.B @ self.A)


def factor_names(module: str, about: Module) -> dict[str, tuple[str, str]]:
    """The tensors A and B of each adapter, by PEFT's names: its saved ones, or with the adapter's if there are several.

    An embedding's factors lie the other way round: lora_embedding_A is (r, tokens), lora_embedding_B (width, r).
    """
    kind, leaf = ("lora_embedding", "") if about.embedding else ("lora", ".weight")
    several = about.adapters
    return {
        adapter: (
            f"{PEFT_PREFIX}{module}.{kind}_A{'.' + adapter if several else ''}{leaf}",
            f"{PEFT_PREFIX}{module}.{kind}_B{'.' + adapter if several else ''}{leaf}",
        )
        for adapter in several or ["default"]
    }


def scaling_of(about: Module, adapter: str = "default") -> float:
    """What B A is multiplied by: of the module's one adapter, or of one of several."""
    scaling = about.adapters[adapter].scaling if about.adapters else about.scaling
    assert scaling is not None  # `Module` has checked it
    return scaling


def magnitude_name(module: str) -> str:
    return f"{PEFT_PREFIX}{module}.lora_magnitude_vector"


def factors(module: str, about: Module, read: Read, start: Read, adapter: str | None = None) -> Factors:
    """B (out, r), A (r, in) and scaling, whose product is LoRA's delta-W exactly.

    Several adapters add up: their factors stand side by side, each B times its scaling. Where the initialisation took
    its own product out of W (PiSSA and its like), what changed is B A - B0 A0 = (B - B0) A + B0 (A - A0): 2r columns.
    adapter: only that one's.
    """
    found = []
    for name, pair in factor_names(module, about).items():
        if adapter in (None, name):
            a, b = read(pair[0]), read(pair[1])
            if about.from_start:
                a0, b0 = start(pair[0]), start(pair[1])
                a, b = np.concatenate([a, a - a0]), np.concatenate([b - b0, b0], axis=1)
            if about.embedding:
                a, b = b.T, a.T
            found.append(Factors(b, a, scaling_of(about, name)))
    if len(found) == 1:
        return found[0]
    return Factors(
        np.concatenate([np.float32(each.scaling) * each.B for each in found], axis=1),
        np.concatenate([each.A for each in found]),
        1.0,
    )


def dora(weight: np.ndarray, product: np.ndarray, magnitude: np.ndarray, embedding: bool) -> np.ndarray:
    """DoRA's delta-W (Liu et al. 2024, equation 5): m * (W + sBA) / ||W + sBA|| - W, (out, in), float32.

    The norm is each output's, as PEFT has it: a row of W, for an embedding a column. magnitude: m, (out,) or (width,).
    """
    moved = weight + product
    with np.errstate(all="ignore"):  # a row of zeros has no direction: PEFT computes NaN too
        norm = np.linalg.norm(moved, axis=0 if embedding else 1, keepdims=True)
        return moved * (magnitude.reshape(norm.shape) / norm) - weight


def whole_delta(module: str, about: Module, read: Read, start: Read) -> np.ndarray:
    """delta-W of a module that is kept as factors, DoRA's too: (out, in), float32."""
    product = factors(module, about, read, start).product()
    if not about.magnitude:
        return product
    weight = start(about.in_base)
    weight = weight.T if about.transposed else weight
    return dora(weight, product, read(magnitude_name(module)), about.embedding)


def factored_norm(of: Factors) -> float:
    """The Frobenius norm of scaling * B A. NaN if a factor holds NaN or infinity."""
    return norm_of_product(of.B, of.A, of.scaling)


@dataclass(frozen=True)
class Inner:
    """What is told of s B A in r dimensions: `of_b` is B'B and `of_a` A A', (r, r) in float64. Small enough to keep."""

    of_b: np.ndarray
    of_a: np.ndarray
    scaling: float

    @classmethod
    def of(cls, factors: Factors) -> "Inner":
        return cls(*grams(factors.B, factors.A), factors.scaling)

    @property
    def norm(self) -> float:
        """The Frobenius norm of s B A. NaN if a factor holds NaN or infinity."""
        return norm_of_grams(self.of_b, self.of_a, self.scaling)

    @cached_property
    def core(self) -> Core:
        """Its singular values and directions. Raises InputError for NaN or infinity."""
        return core(self.of_b, self.of_a, self.scaling)
