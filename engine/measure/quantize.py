"""What does a weight lose in four bits? NF4, FP4 and int4, block by block, in plain numpy: levels, scales, error.

bitsandbytes does the same in its kernels; here every part can be looked at and drawn. A matrix is read row by row and
cut into blocks of `block_size` weights. Each block keeps the largest magnitude in it, its scale, and of every weight
the number of the nearest of 16 levels between -1 and 1. Double quantisation keeps the scales in eight bits as well.
"""

from functools import cache
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np

from engine.errors import InputError

Kind = Literal["nf4", "fp4", "int4"]
KINDS: tuple[Kind, ...] = ("nf4", "fp4", "int4")
SCALE_BLOCK = 256  # scales that share one scale of their own, in double quantisation
_OFFSET = 1 - (1 / 32 + 1 / 30) / 2  # the outermost quantile: the middle of the outermost bins, of 16 and of 15


class Quantized(NamedTuple):
    """A matrix in four bits. codes: (weights,), 0 to 15, of `levels`. scales: (blocks,), as read back, so that
    double quantisation's own loss is in them. bits: a weight, scales included."""

    kind: Kind
    shape: tuple[int, ...]
    block_size: int
    codes: np.ndarray
    scales: np.ndarray
    bits: float

    def values(self) -> np.ndarray:
        """The weights as they are computed with: float32, of the matrix's shape."""
        flat = levels(self.kind)[self.codes]
        whole = flat.size // self.block_size * self.block_size
        flat[:whole].reshape(-1, self.block_size)[:] *= self.scales[: whole // self.block_size, None]
        flat[whole:] *= self.scales[-1]
        return flat.reshape(self.shape)


class Error(NamedTuple):
    """What quantisation changed. rms and largest: of the differences, in the weights' unit. relative: the norm of the
    differences beside the norm of the weights, 0 to 1. bits: kept a weight, scales included."""

    rms: float
    largest: float
    relative: float
    bits: float


@cache
def levels(kind: Kind) -> np.ndarray:
    """Which 16 numbers can a weight be, before its block's scale? Rising, from -1 to 1, float32.

    nf4: equally likely under a normal distribution, zero among them (Dettmers et al. 2023, section 3 and appendix E):
    8 quantiles above zero and 7 below. fp4: a sign, two bits of exponent and one of fraction, as bitsandbytes has it;
    int4: whole numbers from -7 to 7. Both have zero twice. Raises InputError for another kind.
    """
    if kind == "nf4":
        quantile = NormalDist().inv_cdf
        above = [quantile(share) for share in np.linspace(_OFFSET, 0.5, 9)[:-1]]
        below = [-quantile(share) for share in np.linspace(_OFFSET, 0.5, 8)[:-1]]
        found = [*above, 0.0, *below]
    elif kind == "fp4":
        # exponent 0 is subnormal: 0 and 1/16; then 2^e (1 or 1.5), e = 1, 2, 3.
        half = [0.0, 1 / 16, *(2.0**e * (1 + f) for e in (1, 2, 3) for f in (0, 0.5))]
        found = [*half, *(-value for value in half)]
    elif kind == "int4":
        found = [*range(8), *(-value for value in range(8))]
    else:
        raise InputError(f"no 4-bit type called {kind!r}; there are {', '.join(KINDS)}")
    rising = np.sort(np.array(found))
    return (rising / rising[-1]).astype(np.float32)


@cache
def scale_levels() -> np.ndarray:
    """Which 256 numbers can a doubly quantised scale be? float32, rising, -1 to 1 (Dettmers 2016, dynamic 8-bit).

    For each of seven powers of ten, from 1e-6 to 1, the middles of 1, 2, 4, ... 64 equal parts of [0.1, 1]; zero; one.
    """
    found = [0.0, 1.0]
    for exponent in range(7):
        edges = np.linspace(0.1, 1, 2**exponent + 1)
        middles = 10.0 ** (exponent - 6) * (edges[:-1] + edges[1:]) / 2
        found += [*middles, *(-middles)]
    return np.sort(np.array(found)).astype(np.float32)


def nearest(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """The number of the nearest of `among` (rising), for each value: uint8, of the values' shape."""
    return np.searchsorted((among[:-1] + among[1:]) / 2, values).astype(np.uint8)


def _blockwise(flat: np.ndarray, block_size: int, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(codes, scales) of flat numbers; the last block may be shorter."""
    blocks = -(-flat.size // block_size)
    padded = np.zeros(blocks * block_size, np.float32)
    padded[: flat.size] = flat
    table = padded.reshape(blocks, block_size)
    scales = np.abs(table).max(axis=1)
    # Multiplied by the inverse, as bitsandbytes does it: dividing rounds otherwise at the edge between two levels.
    table *= (1 / np.maximum(scales, np.float32(1e-38)))[:, None]
    return nearest(padded[: flat.size], among), scales


def quantize(weight: np.ndarray, kind: Kind = "nf4", block_size: int = 64, double: bool = False) -> Quantized:
    """What does a matrix look like in four bits? (QLoRA, Dettmers et al. 2023, equations 1 to 3 and 6)

    weight: any shape, float. block_size: weights that share a scale, in the order of memory. double: keep the scales
    in eight bits, in blocks of 256, around their mean. Raises InputError for another kind, a block of fewer than one
    weight, or a weight that is not finite.
    """
    if block_size < 1:
        raise InputError(f"block_size is {block_size}; at least one weight must share a scale")
    flat = np.ascontiguousarray(weight, np.float32).reshape(-1)
    if not flat.size or not np.isfinite(flat).all():
        raise InputError("the matrix is empty or holds NaN or infinity: it cannot be quantised")
    codes, scales = _blockwise(flat, block_size, levels(kind))
    bits = 4 + 32 / block_size
    if double:
        _, scales = quantize_scales(scales)
        bits = double_bits(block_size)
    return Quantized(kind, weight.shape, block_size, codes, scales, bits)


def quantize_scales(scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Double quantisation: what is kept of each block's scale, 0 to 255, and the scales as they are read back.

    scales: (blocks,), float32. The mean is taken off, and 256 at a time share a scale of their own.
    """
    mean = scales.mean(dtype=np.float32)
    codes, scales_of_scales = _blockwise(scales - mean, SCALE_BLOCK, scale_levels())
    each = np.repeat(scales_of_scales, SCALE_BLOCK)[: scales.size]
    return codes, scale_levels()[codes] * each + mean


def double_bits(block_size: int = 64) -> float:
    """Bits a weight with double quantisation: 4, an 8-bit scale a block, and a 32-bit one every 256 blocks.

    4.127 at blocks of 64, where single quantisation takes 4.5: 0.373 saved (Dettmers et al. 2023, section 3).
    """
    return 4 + 8 / block_size + 32 / (SCALE_BLOCK * block_size)


def quantization_error(weight: np.ndarray, kind: Kind = "nf4", block_size: int = 64, double: bool = False) -> Error:
    """How much does a matrix change in four bits? Options and errors as `quantize`."""
    quantized = quantize(weight, kind, block_size, double)
    difference = np.asarray(weight, np.float32) - quantized.values()
    size, moved = (float(np.linalg.norm(m.astype(np.float64))) for m in (np.asarray(weight), difference))
    return Error(
        rms=moved / difference.size**0.5,
        largest=float(np.abs(difference).max()),
        relative=moved / size if size else 0.0,
        bits=quantized.bits,
    )
