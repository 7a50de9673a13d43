"""What change of a weight do these tensors stand for? Each method's own formula, in numpy, as PEFT merges it.

A `Change` is made of the tensors' names and reads them when it is asked: `read(name)` gives one, `weight()` gives W,
(out, in), and raises InputError where the base is not at hand.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from engine.errors import InputError
from engine.linear import check_room, product
from engine.run.adapters.starts import Start
from engine.run.delta import Factors, Read, dora

Weight = Callable[[], np.ndarray]


class Change(NamedTuple):
    """parts: the tensors. factors: B, A and scaling, where there are any. delta: where it is not their product. shape:
    of delta-W, if it is no matrix. partial: whether only the base tells the shape."""

    parts: tuple[str, ...]
    factors: Callable[[Read, Weight], Factors] | None = None
    delta: Callable[[Read, Weight], np.ndarray] | None = None
    shape: tuple[int, ...] | None = None
    partial: bool = False

    def whole(self, read: Read, weight: Weight) -> np.ndarray:
        """delta-W, float32."""
        if self.delta is not None:
            return self.delta(read, weight)
        assert self.factors is not None
        product = self.factors(read, weight).product()
        return product if self.shape is None else product.reshape(self.shape)


# What small factors make may be of any size, and so is asked for room before it is made:


def _by(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    check_room(np.broadcast_shapes(one.shape, other.shape), "what its factors make")
    return one * other


# --- LoRA and what is like it ----------------------------------------------------------------------------


def lora(
    a: str, b: str, scaling: float, *, embedding: bool = False, start: Start | None = None,
    magnitude: str | None = None, shape: tuple[int, ...] | None = None,
) -> Change:  # fmt: skip
    """s B A (Hu et al. 2021). shape: of a convolution's weight, whose factors are (r, in, ...) and (out, r, 1, ...).

    start: what the initialisation took out of W. magnitude: DoRA's (Liu et al. 2024).
    """

    def factors(read: Read, weight: Weight) -> Factors:
        left, right = read(b), read(a)
        if shape is not None:
            left, right = left.reshape(len(left), -1), right.reshape(len(right), -1)
        if embedding:  # delta = (B A)' = A' B'
            left, right = np.ascontiguousarray(right.T), np.ascontiguousarray(left.T)
        found = Factors(left, right, scaling)
        return found if start is None else start.taken_out(found, weight)

    def rescaled(read: Read, weight: Weight) -> np.ndarray:
        before = weight()
        moved = dora(before.reshape(len(before), -1), factors(read, weight).product(), read(magnitude or ""), embedding)
        return moved.reshape(before.shape)

    parts = (a, b) if magnitude is None else (a, b, magnitude)
    return Change(parts, factors, None if magnitude is None else rescaled, shape)


def adalora(a: str, b: str, e: str, alpha: float) -> Change:
    """B diag(E) A, times alpha over the rank that is left (Zhang et al. 2023). E is (r, 1)."""

    def factors(read: Read, _: Weight) -> Factors:
        rank = len(read(a))
        return Factors(read(b), _by(read(e), read(a)), (alpha if alpha > 0 else rank) / (rank + 1e-5))

    return Change((a, b, e), factors)


def vera(out_scale: str, rank_scale: str, a: str, b: str) -> Change:
    """diag(lambda_b) B diag(lambda_d) A (Kopiczko et al. 2024): A and B are random, and as large as the largest module
    needs: W tells how much of them this one takes."""

    def factors(read: Read, weight: Weight) -> Factors:
        out, into = weight().shape
        left, right = read(out_scale)[:, None], read(rank_scale)[:, None]
        return Factors(_by(left, read(b)[:out]), _by(right, read(a)[:, :into]), 1.0)

    return Change((out_scale, rank_scale), factors, partial=True)


def mlx(a: str, b: str, scaling: float) -> Change:
    """MLX keeps A as (in, r) and B as (r, out)."""
    return Change(
        (a, b), lambda read, _: Factors(np.ascontiguousarray(read(b).T), np.ascontiguousarray(read(a).T), scaling)
    )


# --- whole matrices --------------------------------------------------------------------------------------


def qalora(a: str, b: str, scaling: float, group: int) -> Change:
    """s B A of inputs that are averaged in groups and multiplied by how many there are (Xu et al. 2024): the columns
    of A, each for a whole group. Over a weight that is not quantised PEFT trains plain LoRA: W tells which it is."""

    def factors(read: Read, weight: Weight) -> Factors:
        left, right, into = read(b), read(a), weight().shape[1]
        groups = right.shape[1]
        if groups == into:
            return Factors(left, right, scaling)
        if groups * group != into:
            raise InputError(f"{a} has {groups} columns, for groups of {group}, and W has {into}: they do not fit")
        return Factors(left, np.repeat(right, group, axis=1) * np.float32(groups / group), scaling)

    return Change((a, b), factors, partial=True)


def loha(parts: tuple[str, ...], scaling: float) -> Change:
    """(W1a W1b) * (W2a W2b), element by element (Hyeon-Woo et al. 2022). Six parts: each half a convolution's, with a
    core in between, W1a T1 W1b. Of a convolution's four the product is (out, all else)."""
    halves = [parts[: len(parts) // 2], parts[len(parts) // 2 :]]

    def delta(read: Read, _: Weight) -> np.ndarray:
        one, two = (
            _tucker(read, half[2], half[0], half[1]) if len(half) == 3 else product(read(half[0]), read(half[1]))
            for half in halves
        )
        if one.shape != two.shape:
            raise ValueError(f"its halves are {one.shape} and {two.shape}, which cannot be multiplied")
        one *= np.float32(scaling)
        one *= two
        return one

    return Change(parts, None, delta)


def _tucker(read: Read, core: str, out: str, into: str) -> np.ndarray:
    """(out, in, ...) of a core (r, r, ...) and its two sides, (r, out) and (r, in)."""
    inner, one, two = read(core), read(out), read(into)
    check_room((one.shape[1], *inner.shape[1:]), "what its factors make")
    turned = np.tensordot(one.T, inner, axes=1)  # (out, r, ...)
    check_room((one.shape[1], two.shape[1], *inner.shape[2:]), "what its factors make")
    return np.moveaxis(np.tensordot(two.T, turned, axes=(1, 1)), 0, 1)


def lokr(first: tuple[str, ...], second: tuple[str, ...], scaling: float) -> Change:
    """A Kronecker product of two matrices, each whole or of two factors (Yeh et al. 2024); the second may be a
    convolution's, whole or of three."""

    def of(read: Read, names: tuple[str, ...]) -> np.ndarray:
        if len(names) == 3:
            return _tucker(read, names[2], names[0], names[1])
        return read(names[0]) if len(names) == 1 else product(read(names[0]), read(names[1]))

    def delta(read: Read, _: Weight) -> np.ndarray:
        one, two = of(read, first), of(read, second)
        one = one.reshape(*one.shape, *(1,) * (two.ndim - 2))
        check_room(tuple(a * b for a, b in zip(one.shape, two.shape, strict=True)), "what its factors make")
        found = np.kron(one, two)
        found *= np.float32(scaling)
        return found

    return Change((*first, *second), None, delta)


def shaped(change: Change, shape: tuple[int, ...]) -> Change:
    """The same, of a convolution whose change is made as a matrix."""
    return change._replace(delta=lambda read, weight: change.whole(read, weight).reshape(shape))


def added(name: str) -> Change:
    """A vector that is added to a layer's bias, or is its bias where it had none (BEFT)."""
    return Change((name,), None, lambda read, _: read(name).reshape(-1))


def ia3(scale: str) -> Change:
    """W times a scale a row, or a column before feed-forward layers (Liu et al. 2022): W (l - 1)."""
    return Change((scale,), None, lambda read, weight: _scaled(read(scale), weight()), partial=True)


def _scaled(by: np.ndarray, before: np.ndarray) -> np.ndarray:
    return before * (by.reshape(-1) if before.ndim == 1 else by) - before


def saved(name: str, transposed: bool = False) -> Change:
    """A parameter that was trained and saved whole, as it is stored."""
    return Change((name,), None, lambda read, weight: (read(name).T if transposed else read(name)) - weight())


def token_rows(name: str, rows: tuple[int, ...]) -> Change:
    """New values for some rows of an embedding: the others are as they were."""

    def delta(read: Read, weight: Weight) -> np.ndarray:
        before = weight()
        found = np.zeros_like(before)
        found[list(rows)] = read(name) - before[list(rows)]
        return found

    return Change((name,), None, delta, partial=True)


def expert_stack(a: str, b: str, scaling: float, experts: int) -> Change:
    """s B A of every expert: A is (experts r, in), B (out, r experts); delta-W is (experts, out, in)."""

    def delta(read: Read, _: Weight) -> np.ndarray:
        first = read(a)
        first = first.reshape(experts, -1, first.shape[-1])
        second = read(b)
        second = second.reshape(len(second), -1, experts).transpose(2, 0, 1)
        found = product(second, first)
        found *= np.float32(scaling)
        return found

    return Change((a, b), None, delta)
