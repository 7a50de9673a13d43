"""What weights do integers in groups stand for? GPTQ, AWQ and compressed-tensors: scale * (code - zero), many a word.

Each 32-bit word holds several codes, the first in the lowest bits. They differ in which way they are packed:

| | codes | zeros and scales, a group of inputs each |
|---|---|---|
| GPTQ | (in / p, out), along the inputs | (groups, out / p), less one each in the first form; (groups, out) |
| AWQ, its "gemm" form | (in, out / p), along the outputs in another order | (groups, out / p), so too; (groups, out) |
| compressed-tensors | (out, in / p), along the inputs | none: half of the codes are negative; (out, groups) |

p codes a word. A group's inputs follow each other, or `g_idx` says which group an input is of.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)  # the outputs of a word's codes, from its lowest bits on
_GPTQ_FORMS = {"gptq": 1, "gptq_v2": 0}  # what is taken off a zero before it is stored
_BITS = (2, 4, 8)


class Stored(Protocol):
    """One tensor as it lies in a file."""

    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...


class Source(Protocol):
    """The files: a tensor in float32, and its bytes."""

    def stored(self, name: str) -> np.ndarray: ...
    def raw(self, name: str, first: int = 0, count: int | None = None) -> np.ndarray: ...


@dataclass(frozen=True)
class Grouped:
    """module: its tensors' names without their last word. shape: of the weight, (out, in). parts: the tensors that it
    is made of. `pieces` gives (position, values), some rows at a time, in order: float32, flat."""

    module: str
    shape: tuple[int, ...]
    parts: tuple[str, ...]
    method: str
    bits: int
    less: int = 0

    def pieces(self, source: Source, count: int) -> Iterator[tuple[int, np.ndarray]]:
        out, into = self.shape
        words, scales, zeros = self._words(source), self._scales(source), self._zeros(source)
        group = self._groups(source, len(scales))
        rows = max(32, count // into // 32 * 32)
        for first in range(0, out, rows):
            some = slice(first, min(first + rows, out))
            codes, scale = self._codes(words, some), scales[:, some].T[:, group]
            zero = zeros if isinstance(zeros, int) else zeros[:, some].T[:, group]
            yield first * into, (scale * np.subtract(codes, zero, dtype=np.float32)).reshape(-1)

    def _named(self, *leaves: str) -> str:
        return next(name for leaf in leaves if (name := f"{self.module}.{leaf}") in self.parts)

    def _integers(self, source: Source, name: str) -> np.ndarray:
        return source.raw(name).view("<u4")

    def _words(self, source: Source) -> np.ndarray:
        per, (out, into) = 32 // self.bits, self.shape
        words = self._integers(source, self._named("qweight", "weight_packed"))
        return words.reshape({"GPTQ": (-1, out), "AWQ": (into, -1)}.get(self.method, (out, -(-into // per))))

    def _codes(self, words: np.ndarray, some: slice) -> np.ndarray:
        """Of some outputs, (n, in)."""
        per, into = 32 // self.bits, self.shape[1]
        if self.method == "GPTQ":
            return unpacked(words[:, some].T, self.bits)
        if self.method == "AWQ":
            return _in_order(unpacked(words[:, some.start // per : some.stop // per], self.bits)).T
        return unpacked(words[some], self.bits)[:, :into]

    def _scales(self, source: Source) -> np.ndarray:
        """(groups, out)."""
        scales = source.stored(self._named("scales", "weight_scale"))
        return scales if self.method in ("GPTQ", "AWQ") else scales.T

    def _zeros(self, source: Source) -> np.ndarray | int:
        """(groups, out), or one for all."""
        if self.method not in ("GPTQ", "AWQ"):
            return 1 << (self.bits - 1)
        words = self._integers(source, self._named("qzeros")).reshape(-1, self.shape[0] * self.bits // 32)
        zeros = unpacked(words, self.bits)
        return _in_order(zeros) if self.method == "AWQ" else (zeros + self.less) & ((1 << self.bits) - 1)

    def _groups(self, source: Source, groups: int) -> np.ndarray:
        """Of which group each input is."""
        into = self.shape[1]
        if own := [name for name in self.parts if name.endswith("g_idx")]:
            found = self._integers(source, own[0]).astype(np.int64)
            if found.max(initial=0) >= groups:
                raise ValueError(f"{own[0]} names group {found.max()} of {groups}")
            return found
        return np.arange(into) // -(-into // groups)


def unpacked(words: np.ndarray, bits: int) -> np.ndarray:
    """(m, n) words as (m, n p) codes, the lowest bits first; uint8."""
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    codes = (words[:, :, None] >> shifts) & np.uint32((1 << bits) - 1)
    return codes.astype(np.uint8).reshape(len(words), -1)


def _in_order(codes: np.ndarray) -> np.ndarray:
    """AWQ's codes by output."""
    return codes.reshape(len(codes), -1, 8)[:, :, np.argsort(_AWQ_ORDER)].reshape(codes.shape)


def grouped(module: str, entries: Mapping[str, Stored], settings: Mapping[str, Any], source: Source) -> Grouped | None:
    """How to read a module's weight, if its tensors fit one of these forms; None for any other.

    settings: `quantization_config` of the model's config.json, which alone tells GPTQ's first form from its second; {}
    if there are none.
    """

    def shape(leaf: str) -> tuple[int, ...]:
        entry = entries.get(f"{module}.{leaf}")
        return entry.shape if entry is not None and len(entry.shape) == 2 else (0, 0)

    def parts(*leaves: str) -> tuple[str, ...]:
        return tuple(name for leaf in leaves if (name := f"{module}.{leaf}") in entries)

    if any(entries[name].dtype != "I32" for name in parts("qweight", "qzeros", "g_idx", "weight_packed")):
        return None
    words, zeros, (groups, out) = shape("qweight"), shape("qzeros"), shape("scales")
    if words[1] and f"{module}.g_idx" in entries:
        into, less = math.prod(entries[f"{module}.g_idx"].shape), _less(settings)
        bits = 32 * words[0] // max(1, into)
        fits = words == (into * bits // 32, out) and zeros == (groups, out * bits // 32)
        if fits and bits in _BITS and less is not None:
            return Grouped(module, (out, into), parts("qweight", "qzeros", "scales", "g_idx"), "GPTQ", bits, less)
    elif words[1] and zeros == (groups, words[1]) and words[1] * 8 == out and 0 < groups <= words[0]:
        if str(settings.get("version", "gemm")).lower() == "gemm":
            return Grouped(module, (out, words[0]), parts("qweight", "qzeros", "scales"), "AWQ", 4)
    elif (packed := shape("weight_packed"))[1] and not parts("weight_zero_point"):
        out, into = _told(source, f"{module}.weight_shape", entries)
        bits = next((bits for bits in _BITS if -(-into * bits // 32) == packed[1]), 0)
        rows, groups = shape("weight_scale")
        if bits and rows == out == packed[0] and 0 < groups <= into:
            names = parts("weight_packed", "weight_scale", "weight_shape")
            own = parts("weight_g_idx")
            return Grouped(module, (out, into), (*names, *own), "compressed-tensors", bits)
    return None


def _less(settings: Mapping[str, Any]) -> int | None:
    """What GPTQ takes off a zero; None where nothing tells, or for another form, such as one made for a kernel."""
    if not settings or settings.get("quant_method", "gptq") != "gptq":
        return None
    return _GPTQ_FORMS.get(str(settings.get("checkpoint_format", "gptq")).lower())


def _told(source: Source, name: str, entries: Mapping[str, Stored]) -> tuple[int, int]:
    """A shape that is kept as two numbers; nothing if there is none."""
    if name not in entries or entries[name].dtype not in ("I64", "I32") or math.prod(entries[name].shape) != 2:
        return 0, 0
    out, into = source.raw(name).view({"I64": "<i8", "I32": "<i4"}[entries[name].dtype]).tolist()
    return out, into
