"""How do a million weights get into a text file? As pieces: tensors one after the other, gzipped, in base64.

A browser undoes it with `atob` and `DecompressionStream`. Bytes of equal rank are put beside each other first (all
the high bytes, then the next ones), because gzip finds more to save so. Of weights it looks for runs alone: they are
noise, which repeats nothing longer, and to look for more took ten times as long and made it a tenth longer. `source.js`
reads what is written here.
"""

import base64
import json
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_NAMES = {np.dtype(np.float32): "f32", np.dtype(np.float16): "f16", np.dtype(np.int8): "i8"}


@dataclass
class Pieces:
    """Pieces by their number, as base64 text. `size`: characters so far, so bytes in the file. level: gzip's, of what
    is text."""

    texts: list[str] = field(default_factory=list)
    level: int = 6

    @property
    def size(self) -> int:
        return sum(map(len, self.texts))

    def add_json(self, value: Any) -> int:
        """A piece that holds a JSON value; numbers that are none (NaN, infinity) are null."""
        return self._keep(gzipped(as_json(value).encode("utf-8", "replace"), level=self.level))

    def add_tensors(self, tensors: dict[str, np.ndarray]) -> dict[str, Any]:
        """A piece of tensors (float32, float16 or int8): {"piece": number, "tensors": [[name, type, shape], ...]}."""
        planes = [_planes(np.ascontiguousarray(tensor)) for tensor in tensors.values()]
        listed = [[name, _NAMES[tensor.dtype], list(tensor.shape)] for name, tensor in tensors.items()]
        return {"piece": self._keep(gzipped(b"".join(planes), zlib.Z_RLE)), "tensors": listed}

    def join(self, others: "Pieces", listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Take in pieces that were made apart; returns what lists their tensors, with their numbers here."""
        first = len(self.texts)
        self.texts += others.texts
        return [{**one, "piece": first + one["piece"]} for one in listed]

    def _keep(self, content: bytes) -> int:
        self.texts.append(base64.b64encode(content).decode("ascii"))
        return len(self.texts) - 1


def gzipped(content: bytes, strategy: int = zlib.Z_DEFAULT_STRATEGY, level: int = 6) -> bytes:
    """In the form of gzip. strategy: of zlib, what is looked for."""
    squeezer = zlib.compressobj(level, zlib.DEFLATED, zlib.MAX_WBITS | 16, zlib.DEF_MEM_LEVEL, strategy)
    return squeezer.compress(content) + squeezer.flush()


def as_json(value: Any) -> str:
    """On one line; numbers that are none (NaN, infinity) are null."""
    return json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"))


def as_text(value: Any) -> str:
    """A JSON value as the text of a piece."""
    alone = Pieces()
    alone.add_json(value)
    return alone.texts[0]


def _planes(tensor: np.ndarray) -> bytes:
    """The tensor's lowest bytes, then its next ones, ...: little-endian, a plane a byte of its type."""
    little = tensor.astype(tensor.dtype.newbyteorder("<"), copy=False)
    return little.view(np.uint8).reshape(-1, tensor.dtype.itemsize).T.tobytes() if tensor.size else b""


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
