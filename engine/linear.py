"""How is a matrix decomposed that may hold anything? Checked and scaled first, for numbers that overflow hang LAPACK.

A test forbids LAPACK (all of `numpy.linalg` but `norm`) elsewhere in the engine, its pictures and films.
Weights of ordinary size go through unchanged, bit for bit.
"""

import math
from typing import NamedTuple

import numpy as np
import psutil

from engine.errors import InputError

# Squares of such numbers, and sums of a billion of them, are neither infinite nor zero in float32.
_LEAST, _MOST = 2.0**-48, 2.0**48
_ROWS, _HELD = 1 << 14, 1 << 23  # of a factor, and numbers of it, that are held in float64 at a time
_LARGE = 100_000_000  # bytes, from which on it is asked whether there is room
_FLOAT32 = float(np.finfo(np.float32).max)


class SVD(NamedTuple):
    """M = U diag(S) Vt: (out, n), (n,) largest first, (n, in). S is float64 where float32 could not hold it."""

    u: np.ndarray
    s: np.ndarray
    vt: np.ndarray


def check_room(shape: tuple[int, ...], what: str, size: int = 4) -> None:
    """Raises InputError if an array of this shape has no room in memory. size: bytes a number."""
    bytes_needed = size * math.prod(shape)
    if bytes_needed > _LARGE and bytes_needed > (free := psutil.virtual_memory().available):
        dimensions = " x ".join(map(str, shape))
        raise InputError(
            f"{what} is {dimensions}: {bytes_needed / 1e9:,.0f} GB, and {free / 1e9:,.1f} GB of memory are free"
        )


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Of two factors from a file. Small ones may make what has no room: raises InputError as `check_room`."""
    check_room((*left.shape[:-1], right.shape[-1]), "what its factors make")
    return left @ right


def scaled(matrix: np.ndarray) -> tuple[np.ndarray, int]:
    """(M / 2**n, n), so that products of it neither overflow nor vanish; M itself and 0 if they do not anyway.

    Raises InputError for a matrix that holds NaN or infinity.
    """
    largest = max(float(matrix.max(initial=0)), -float(matrix.min(initial=0)))
    if not math.isfinite(largest):  # numpy's maximum of a NaN and anything is NaN
        raise InputError("the matrix holds NaN or infinity: it has no directions")
    if largest == 0 or _LEAST <= largest <= _MOST:
        return matrix, 0
    power = math.frexp(largest)[1]
    return np.ldexp(matrix, -power), power


def unscaled(s: np.ndarray, power: int) -> np.ndarray:
    """Singular values of the matrix before it was `scaled`."""
    if power == 0 and s.dtype == np.float32:
        return s
    whole = np.ldexp(s.astype(np.float64), power)
    return whole if whole.max(initial=0) > _FLOAT32 else whole.astype(np.float32)


def svd(matrix: np.ndarray) -> SVD:
    """The singular value decomposition, n = min(out, in). Raises InputError for NaN or infinity."""
    safe, power = scaled(matrix)
    u, s, vt = np.linalg.svd(safe, full_matrices=False)
    return SVD(u, unscaled(s, power), vt)


def singular_values(matrix: np.ndarray) -> np.ndarray:
    """S alone, of a matrix or of each of a stack: the roots of the eigenvalues of M'M or M M', the smaller one.

    In float64, where they hold to some 1e-8 of the largest, as those of a decomposition in float32 do, at a third of
    its time or less. Raises as `svd`.
    """
    safe, power = scaled(matrix)
    found = np.empty((*safe.shape[:-2], min(safe.shape[-2:])), safe.dtype)
    for at in np.ndindex(safe.shape[:-2]):
        one = safe[at]
        squares = np.linalg.eigvalsh(gram(one if len(one) >= one.shape[1] else one.T))[::-1]
        found[at] = np.sqrt(np.maximum(squares, 0))
    return unscaled(found, power)


def svd_of_product(b: np.ndarray, a: np.ndarray, scaling: float) -> SVD:
    """Of scaling * B A without forming it, through the QR decompositions of B (out, r) and of A's transpose: n = r,
    or fewer where a side is shorter. Raises InputError for NaN or infinity, the scaling's too."""
    if not math.isfinite(scaling):
        raise InputError("the scaling is no number: the product has no directions")
    (b, of_b), (a, of_a) = scaled(b), scaled(a)
    qb, rb = np.linalg.qr(b)
    qa, ra = np.linalg.qr(a.T)
    tame = not (of_b or of_a) and (scaling == 0 or _LEAST <= abs(scaling) <= _MOST)
    core, power = np.float32(scaling if tame else 1.0) * (rb @ ra.T), of_b + of_a
    u, s, vt = np.linalg.svd(core, full_matrices=False)
    if not tame:
        u, s = u * math.copysign(1, scaling), unscaled(s.astype(np.float64) * abs(scaling), power)
    return SVD(qb @ u, s, vt @ qa.T)


def squares_of(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, rising, and eigenvectors of rows @ rows.T, for few rows in float64. Raises InputError for NaN."""
    products = rows @ rows.T
    if not np.isfinite(products).all():
        raise InputError("the matrix holds NaN or infinity: it has no directions")
    return np.linalg.eigh(products)


def eigen(symmetric: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, rising, and eigenvectors, (n,) and (n, n). Raises InputError for NaN or infinity."""
    safe, power = scaled(symmetric)
    values, vectors = np.linalg.eigh(safe)
    return np.ldexp(values.astype(np.float64), power), vectors


def norm(matrix: np.ndarray) -> float:
    """The Frobenius norm of any float32 array, summed in float64 every 4096 elements, without a copy of it.

    NaN or infinite if a number in it is; in float64 where squares would overflow or vanish.
    """
    flat = matrix.reshape(-1)
    size = flat.size
    whole = size // 4096 * 4096
    rows, rest = flat[:whole].reshape(-1, 4096), flat[whole:]
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        square = float(np.einsum("ij,ij->i", rows, rows).sum(dtype=np.float64) + np.dot(rest, rest))
    if (math.isfinite(square) and square >= size * _LEAST**2) or not flat.any():
        return math.sqrt(square)
    pieces = (flat[at : at + (1 << 20)].astype(np.float64) for at in range(0, size, 1 << 20))
    return math.sqrt(sum(float(np.dot(piece, piece)) for piece in pieces))


def norm_of_product(b: np.ndarray, a: np.ndarray, scaling: float) -> float:
    """The Frobenius norm of scaling * B A in float64, from the smaller of the product and its factors' Gram matrices.

    NaN if a factor holds NaN or infinity.
    """
    return norm_of_grams(*grams(b, a), scaling)


# --- a product, in r dimensions ------------------------------------------------------------------------


class Core(NamedTuple):
    """Of scaling * B A, without it: its singular values, and how its vectors are made of B's columns and A's rows.

    s: (n,), largest first. of_b, of_a: (r, n); U = B @ of_b and V = A' @ of_a, zero where s is.
    """

    s: np.ndarray
    of_b: np.ndarray
    of_a: np.ndarray


def slim(b: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two factors of the same product with no more columns than it has rows or columns."""
    if b.shape[1] <= min(len(b), a.shape[1]):
        return b, a
    with np.errstate(invalid="ignore", over="ignore"):
        product = b.astype(np.float64) @ a
    return (np.eye(len(b)), product) if len(b) <= a.shape[1] else (product, np.eye(a.shape[1]))


def grams(b: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """B'B and A A' of `slim` factors, in float64: all that norms and singular values of B A need."""
    b, a = slim(b, a)
    return gram(b), gram(a.T)


def gram(*parts: np.ndarray) -> np.ndarray:
    """x'x of these columns side by side, (n, r) each: of several all products at once, for one large one is faster.

    In float64, where squares of float32 numbers neither overflow nor vanish; in blocks of rows, to bound the memory.
    """
    many = sum(part.shape[1] for part in parts)
    found, rows = np.zeros((many, many)), min(_ROWS, max(1, _HELD // max(1, many)))
    with np.errstate(invalid="ignore", over="ignore"):  # what is infinite gives what is no number
        for at in range(0, len(parts[0]), rows):
            block = np.concatenate([part[at : at + rows] for part in parts], axis=1, dtype=np.float64)
            found += block.T @ block
    return found


def norm_of_grams(of_b: np.ndarray, of_a: np.ndarray, scaling: float) -> float:
    """The Frobenius norm of scaling * B A, from `grams`."""
    with np.errstate(invalid="ignore", over="ignore"):
        return float(abs(scaling) * np.sqrt(np.maximum(0.0, np.sum(of_b * of_a))))


def core(of_b: np.ndarray, of_a: np.ndarray, scaling: float) -> Core:
    """The singular values and vectors of scaling * B A from its `grams`. Raises InputError for NaN or infinity.

    With B'B = L L' the squares of the singular values are the eigenvalues of L' (A A') L. In float64 the values hold
    to 1e-8 of the largest, which is less than factors in float32 do.
    """
    if not (np.isfinite(of_b).all() and np.isfinite(of_a).all() and math.isfinite(scaling)):
        raise InputError("the product holds NaN or infinity: it has no directions")
    sizes = np.sqrt(np.diag(of_b))  # B's columns are brought to length one, and A's rows to what they weigh then
    sizes[sizes == 0] = 1
    of_b, of_a = of_b / np.outer(sizes, sizes), of_a * np.outer(sizes, sizes)
    values, vectors = np.linalg.eigh(of_b)
    root = vectors * np.sqrt(np.maximum(values, 0))
    squares, p = np.linalg.eigh(root.T @ of_a @ root)
    s, p = np.sqrt(np.maximum(squares[::-1], 0)), p[:, ::-1]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        along = np.where(s > 0, root @ p / s, 0)  # V = A' along
        across = np.where(s > 0, of_a @ along / s, 0)  # U = B A V / s
    s = unscaled(s * abs(scaling), 0)
    return Core(s, math.copysign(1, scaling) * across / sizes[:, None], along * sizes[:, None])
