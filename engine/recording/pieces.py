"""How is a safetensors file written, or read back, a piece at a time? By knowing beforehand where each tensor lies.

The library's own writer wants all the tensors of a file at once; a capture is written while it is worked out.
A file is eight bytes (the header's length), the header (JSON: name -> dtype, shape, offsets), the tensors' bytes.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from engine.errors import InputError
from engine.run.tensors import read_header, to_float32

BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


class Layout:
    """Where each tensor of a file lies. of: name -> (dtype, shape), in the order in which they are written."""

    def __init__(self, of: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
        self.of = dict(of)
        self.nbytes = sum(BYTES[dtype] * math.prod(shape) for dtype, shape in self.of.values())

    def header(self, **metadata: str) -> bytes:
        """What a file begins with, its length a multiple of eight, so that the tensors are aligned."""
        fields: dict[str, object] = {"__metadata__": {"format": "pt", **metadata}}
        begin = 0
        for name, (dtype, shape) in self.of.items():
            end = begin + BYTES[dtype] * math.prod(shape)
            fields[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
            begin = end
        text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text


class StartFile:
    """Some elements of a tensor at a time, out of a file that stays open. Raises InputError if it is not whole."""

    def __init__(self, path: Path) -> None:
        self.path, self.entries = path, read_header(path)
        self._file = path.open("rb", buffering=0)

    def part(self, name: str, first: int, count: int) -> np.ndarray:
        """Elements first to first + count of a tensor, as if it were flat: (count,), float32."""
        entry = self.entries[name]
        raw = bytearray(count * BYTES[entry.dtype])
        self._file.seek(entry.start + first * BYTES[entry.dtype])
        done, view = 0, memoryview(raw)
        while done < len(raw):
            got = self._file.readinto(view[done:])  # type: ignore[attr-defined]
            if not got:
                raise InputError(f"{self.path} was cut short while it was read, and changes are measured from it")
            done += got
        return to_float32(view, entry.dtype, np.empty(0 if entry.dtype == "F32" else count, np.float32))

    def get(self, name: str) -> np.ndarray:
        """A whole tensor, float32."""
        entry = self.entries[name]
        return self.part(name, 0, entry.size).reshape(entry.shape)

    def close(self) -> None:
        self._file.close()
