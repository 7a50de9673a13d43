"""How are hundreds of per-question results kept small? As text in base64: a bit for right or wrong, two bytes for nats.

Questions have to be drawn again for an interval (`lessons.claims.intervals`), so each one's result is kept, not only
the mean. What is not finite (a training that diverged) is kept as the largest number there is.
"""

import base64
from collections.abc import Iterable, Sequence

import numpy as np

_MILLI = 1000  # nats are kept in thousandths: up to 65.535
_LEVELS = 255  # and probabilities in so many steps


def pack_bits(right: Iterable[bool]) -> str:
    """Right or wrong, a bit each: "8 bits to a byte, first question first", with their number before a colon."""
    bits = np.fromiter(right, bool)
    return f"{len(bits)}:{_text(np.packbits(bits).tobytes())}"


def unpack_bits(text: str) -> np.ndarray:
    """(questions,) of booleans."""
    count, packed = text.split(":")
    return np.unpackbits(np.frombuffer(base64.b64decode(packed), np.uint8), count=int(count)).astype(bool)


def pack_shares(values: Sequence[float]) -> str:
    """Probabilities, a byte each."""
    return _text(np.rint(np.clip(values, 0, 1) * np.float64(_LEVELS)).astype(np.uint8).tobytes())


def unpack_shares(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8) / _LEVELS


def pack_nats(values: Sequence[float]) -> str:
    """Losses, at least 0: two bytes each, the smaller one first."""
    most = np.iinfo(np.uint16).max
    finite = np.nan_to_num(np.asarray(values, float) * _MILLI, nan=most, posinf=most)
    return _text(np.rint(np.clip(finite, 0, most)).astype("<u2").tobytes())


def unpack_nats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<u2") / _MILLI


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
