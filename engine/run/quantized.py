"""Which tensors of a checkpoint are no numbers to compute with, but codes? Read as the weights that they stand for.

Read: bitsandbytes in 4 bits (NF4, FP4, double quantisation too) and in 8; 8-bit floats or integers beside a scale
(`weight_scale_inv` of DeepSeek, `weight_scale` of FBGEMM, compressed-tensors and others, `scale_weight` of ComfyUI):
one a tensor, a row, or a block, with zero points or without, or powers of two (MXFP8); integers in groups
(`engine.run.grouped`). Any other packing is named, and never taken for weights.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from engine.reading import parse_json
from engine.run.form import is_count, is_shape
from engine.run.grouped import Grouped, grouped

FLOAT8 = ("F8_E4M3", "F8_E5M2")
_STATE = re.compile(r"(?P<weight>.+)\.quant_state\.bitsandbytes__(?P<kind>nf4|fp4)$")
_PARTS = ("absmax", "quant_map", "nested_absmax", "nested_quant_map")
_BLOCKS = ("blocksize", "nested_blocksize")
_LARGEST = 1 << 20  # weights that share a scale; libraries have up to 4,096
_SCALES = ("weight_scale_inv", "weight_scale", "scale_weight")
_NOT_OF_WEIGHTS = re.compile("input|output|activation|(?:^|_)[qkv]_scale|attn")  # scales of what goes through a layer
_POWERS = ("F8_E8M0", "U8")  # microscaling (OCP 2023): a scale is a power of two, of which the exponent is kept
_BLOCK = 128  # of DeepSeek's scales, rows and columns
# Packings that are not read: the leaf that gives them away, and what they are called.
_REFUSED = {
    "qweight": "GPTQ or AWQ", "weight_packed": "compressed-tensors", "W_q": "HQQ", "codebooks": "AQLM",
    "qweight_scales": "EETQ", "q_perm": "EXL2",
}  # fmt: skip
_BESIDE = ("qzeros", "scales", "g_idx", "weight_shape", "weight_zero_point", "meta", "codes", "zeros", "q_scale",
           "q_groups", "q_invperm", "q_scale_max", "weight_scale", "weight_scale_2", "weight_global_scale")  # fmt: skip


class Stored(Protocol):
    """One tensor as it lies in a file."""

    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def nbytes(self) -> int: ...


class Source(Protocol):
    """The files. stored: one tensor as it lies there, in float32; some: `count` numbers of it, flat; raw: its bytes."""

    def stored(self, name: str) -> np.ndarray: ...
    def some(self, name: str, first: int, count: int) -> np.ndarray: ...
    def raw(self, name: str, first: int = 0, count: int | None = None) -> np.ndarray: ...

    @property
    def quantization(self) -> Mapping[str, Any]:
        """What config.json says of it; {} if nothing."""
        ...


@dataclass(frozen=True)
class FourBit:
    """bitsandbytes: two codes a byte, the first in the upper half; each of 16 levels times its block's scale.

    shape: of the weight. parts: the tensors that it is made of. `pieces` gives (position, values), about `count`
    weights at a time, in order: float32, flat.
    """

    weight: str
    shape: tuple[int, ...]
    parts: tuple[str, ...]
    method: str
    state: Mapping[str, float]

    def pieces(self, source: Source, count: int) -> Iterator[tuple[int, np.ndarray]]:
        levels, scales = source.stored(f"{self.weight}.quant_map"), self._scales(source)
        block, size = int(self.state["blocksize"]), math.prod(self.shape)
        count = max(1, count // (2 * block)) * 2 * block
        for at in range(0, size, count):
            some = min(count, size - at)
            codes = source.raw(self.weight, at // 2, (some + 1) // 2)
            both = np.stack([codes >> 4, codes & 15], axis=1).reshape(-1)[:some]
            yield at, levels[both] * np.repeat(scales[at // block : -(-(at + some) // block)], block)[:some]

    def _scales(self, source: Source) -> np.ndarray:
        name = f"{self.weight}.absmax"
        if f"{self.weight}.nested_absmax" not in self.parts:
            return source.stored(name).reshape(-1)
        codes = source.raw(name).reshape(-1)
        scales, block = source.stored(f"{self.weight}.nested_absmax").reshape(-1), int(self.state["nested_blocksize"])
        if len(scales) != -(-codes.size // block):
            raise ValueError(f"{self.weight} has {len(scales)} scales of scales for {codes.size} in blocks of {block}")
        each = np.repeat(scales, block)
        levels = source.stored(f"{self.weight}.nested_quant_map")
        return (levels[codes] * each[: codes.size] + np.float32(self.state["nested_offset"])).astype(np.float32)


@dataclass(frozen=True)
class Scaled:
    """8-bit codes, less their zero point where there is one, times a scale: one for all, a row, or a block of rows and
    columns. powers: the scales are stored as codes for powers of two."""

    weight: str
    scale: str
    shape: tuple[int, ...]
    parts: tuple[str, ...]
    method: str
    divisor: float = 1.0
    zero: str = ""
    powers: bool = False

    def pieces(self, source: Source, count: int) -> Iterator[tuple[int, np.ndarray]]:
        scale = source.stored(self.scale) / np.float32(self.divisor)
        scale = self._spread(powers_of_two(scale) if self.powers else scale)
        zero = self._spread(source.stored(self.zero) if self.zero else np.zeros(1, np.float32))
        size = math.prod(self.shape)
        for at in range(0, size, count):
            some = min(count, size - at)
            places = np.unravel_index(np.arange(at, at + some), self.shape) if max(scale.size, zero.size) > 1 else ()
            values = source.some(self.weight, at, some)
            yield at, (values - self._at(zero, places)) * self._at(scale, places)

    def _spread(self, parts: np.ndarray) -> np.ndarray:
        return parts.reshape(*parts.shape, *[1] * (len(self.shape) - parts.ndim)) if parts.size > 1 else parts

    def _at(self, parts: np.ndarray, places: tuple[np.ndarray, ...]) -> np.ndarray:
        """What belongs to the weights at these places."""
        if parts.size == 1:
            return parts.reshape(-1)[0]
        blocks = [_block(size, count) for size, count in zip(self.shape, parts.shape, strict=False)]
        return parts[tuple(place // block for place, block in zip(places, blocks, strict=True))]


Packed = FourBit | Scaled | Grouped


_DESCRIPTION = 100_000  # bytes of what bitsandbytes says beside a weight, at most: it is some hundred


class Found(NamedTuple):
    """packed: weight -> how to read it. refused: weight -> the method that is not read. parts: what belongs to them."""

    packed: dict[str, Packed]
    refused: dict[str, str]
    parts: set[str]


def powers_of_two(codes: np.ndarray) -> np.ndarray:
    """The scales that these bytes stand for, E8M0: 2^(code - 127); the last is no number."""
    return np.where(codes == 255, np.nan, np.exp2(codes.astype(np.float64) - 127)).astype(np.float32)


def _block(size: int, parts: int) -> int:
    """How many rows share a scale, if `size` rows have `parts` of them; the last block may be short."""
    if -(-size // _BLOCK) == parts:
        return _BLOCK
    return -(-size // max(1, parts))


def find_packed(entries: Mapping[str, Stored], source: Source) -> Found:
    """Sort out what is packed, by the names and types that each method leaves."""
    found = Found({}, {}, set())
    scales: dict[str, str] = {}  # module -> what scales its weights by the name, known or not
    for name in entries:
        module, _, leaf = name.rpartition(".")
        if "scale" in leaf and not _NOT_OF_WEIGHTS.search(leaf):
            scales.setdefault(module, leaf)
    for name, entry in entries.items():
        if state := _STATE.match(name):
            _add_four_bit(found, state["weight"], state["kind"], name, entries, source)
        elif name.endswith((".qweight", ".weight_packed")):
            module = name.rpartition(".")[0]
            if how := grouped(module, entries, source.quantization, source):
                found.packed[f"{module}.weight"] = how
                found.parts.update(how.parts)
        elif entry.dtype in (*FLOAT8, "I8"):
            _add_scaled(found, name, entry, entries, scales.get(name.rpartition(".")[0], ""))
    for name, entry in entries.items():
        if name not in found.parts:
            _refuse(found, name, entry, entries)
    return found


def _add_four_bit(
    found: Found, weight: str, kind: str, state: str, entries: Mapping[str, Stored], source: Source
) -> None:
    if entries[state].nbytes > _DESCRIPTION:  # it is read when the checkpoint is opened, before anything is asked for
        raise ValueError(f"{state} has {entries[state].nbytes:,} bytes, which no description has")
    about = parse_json(source.raw(state).tobytes())
    shape = about["shape"]
    if not is_shape(shape):
        raise ValueError(f"{state} has no shape")
    shape = tuple(shape)
    if not all(is_count(about.get(name, 1)) and 1 <= about.get(name, 1) <= _LARGEST for name in _BLOCKS):
        raise ValueError(f"{state} has blocks of no weight, or of more than {_LARGEST:,}")
    parts = (weight, state, *(name for part in _PARTS if (name := f"{weight}.{part}") in entries))
    if f"{weight}.absmax" not in parts or f"{weight}.quant_map" not in parts or about.get("blocksize") is None:
        raise ValueError(f"{weight} lacks its scales or its levels")
    if weight not in entries or entries[weight].dtype != "U8" or entries[weight].nbytes != -(-math.prod(shape) // 2):
        raise ValueError(f"{weight} is not the {kind} matrix of shape {shape} that {state} describes")
    found.packed[weight] = FourBit(weight, shape, parts, f"bitsandbytes {kind.upper()}", about)
    found.parts.update(parts)


def _add_scaled(found: Found, name: str, entry: Stored, entries: Mapping[str, Stored], other: str) -> None:
    """other: what else of the same module is called a scale: beside it, 8-bit floats alone are no weights."""
    module, _, leaf = name.rpartition(".")
    if entry.dtype == "I8" and f"{module}.SCB" in entries:
        parts = tuple(part for part in (name, f"{module}.SCB", f"{module}.weight_format") if part in entries)
        found.packed[name] = Scaled(name, f"{module}.SCB", entry.shape, parts, "bitsandbytes 8-bit", 127.0)
        found.parts.update(parts)
        return
    method = "8-bit floats with a scale" if entry.dtype in FLOAT8 else "8-bit integers with a scale"
    names = (f"{module}.{end.replace('weight', leaf)}".removeprefix(".") for end in _SCALES)
    scale = next((own for own in names if own in entries), None)
    if scale is not None and entries[scale].dtype not in ("F64", "F32", "F16", "BF16", *_POWERS):
        _belongs(found, name, f"{method} that is not known ({entries[scale].dtype})", [name, scale], entries)
    elif scale is not None:
        powers = entries[scale].dtype in _POWERS
        zero = f"{name}_zero_point" if f"{name}_zero_point" in entries else ""
        parts = (name, scale, *([zero] if zero else []))
        found.packed[name] = Scaled(name, scale, entry.shape, parts, method, zero=zero, powers=powers)
        found.parts.update(parts)
    elif entry.dtype in FLOAT8 and other and "scale" not in leaf:
        _belongs(found, name, f"{method} that is not known ({other})", [name], entries)


def _refuse(found: Found, name: str, entry: Stored, entries: Mapping[str, Stored]) -> None:
    module, _, leaf = name.rpartition(".")
    if leaf in _REFUSED:
        method = _REFUSED[leaf]
        if leaf == "qweight":
            method = "GPTQ" if f"{module}.g_idx" in entries else "AWQ"
        _belongs(found, f"{module}.weight", method, [name, *(f"{module}.{other}" for other in _BESIDE)], entries)
    elif name.endswith("_blocks") and f"{name.removesuffix('_blocks')}_scales" in entries:
        stack = name.removesuffix("_blocks")
        _belongs(found, stack, "MXFP4", [name, f"{stack}_scales"], entries)
    elif entry.dtype in ("U8", "I8", "I32", "I16", "F8_E8M0") and len(entry.shape) >= 2:
        method = "NVFP4" if f"{module}.weight_scale_2" in entries else f"a packing that is not known ({entry.dtype})"
        _belongs(found, name, method, [name, *(f"{module}.{other}" for other in _BESIDE)], entries)


def _belongs(found: Found, weight: str, method: str, parts: list[str], entries: Mapping[str, Stored]) -> None:
    found.refused[weight] = method
    found.parts.update(part for part in parts if part in entries)
