"""Files gone wrong, from a seed: cut short, bits flipped, pieces repeated, or one value of their JSON made hostile."""

import json
import random
import struct
from pathlib import Path
from typing import Any

HOSTILE: list[Any] = [
    None, True, -1, 0, 2**31, 2**60, -(2**63), 1e308, float("nan"), float("inf"), "", "x" * 300, "../../../etc/passwd",
    "/etc/passwd", "..", "\x00", "\x1b[2J\x1b]0;title\x07", "<script>alert(1)</script>", "[bold]$\\frac{1}{", "\u202egnp.exe",
    "👩‍👩‍👧‍👦e\u0301", [], {}, [[]], {"a": 1}, [0, -5], [2**40, 2**40], [None], "BF16", "I4", "lora", "delta", "sketch",
    10**400, -(10**299), 1e19, 5e-324, 1000.5, "1", "²", "١", "1e400", "(a+)+$", "(", "[/]", "[a-z]", "a\nb", "\x9b2J", "\ud800",
    "x" * 100_000, [[[[[[]]]]]] * 9, {"": {"": ""}}, {str(n): n for n in range(300)}, [1e308, -1e308, 1e-308], "\u2028",
]  # fmt: skip
HOSTILE.append(None)
for _ in range(150):
    HOSTILE[-1] = [HOSTILE[-1]]


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """One accident: a cut, some flipped bits, a piece lost, repeated or overwritten, or something appended."""
    if not data:
        return rng.randbytes(8)
    at, size = rng.randrange(len(data)), rng.choice((1, 2, 8, 64, 512))
    kind = rng.randrange(6)
    if kind == 0:
        return data[:at]
    if kind == 1:
        flipped = bytearray(data)
        for _ in range(rng.choice((1, 3, 20))):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        return bytes(flipped)
    if kind == 2:
        return data[:at] + data[at + size :]
    if kind == 3:
        return data[:at] + data[at : at + size] * 2 + data[at + size :]
    if kind == 4:
        return data[:at] + rng.randbytes(size) + data[at + size :]
    return data + rng.randbytes(size)


def mutate_json(value: Any, rng: random.Random) -> Any:
    """The same value with one place, chosen at random, made hostile, removed, renamed or doubled."""
    places: list[tuple[Any, Any]] = []

    def collect(inside: Any) -> None:
        keys = inside.keys() if isinstance(inside, dict) else range(len(inside)) if isinstance(inside, list) else ()
        for key in keys:
            places.append((inside, key))
            collect(inside[key])

    value = json.loads(json.dumps(value))
    collect(value)
    if not places or rng.random() < 0.02:
        return rng.choice(HOSTILE)
    inside, key = rng.choice(places)
    kind = rng.randrange(6)
    if kind == 0:
        del inside[key]
    elif kind == 1 and isinstance(inside, dict):
        inside[rng.choice(["", "../x", "\x1b[31m", str(key) * 2])] = inside.pop(key)
    elif kind == 2 and isinstance(inside[key], int | float) and not isinstance(inside[key], bool):
        inside[key] = rng.choice((-inside[key], inside[key] + 1, inside[key] * 1000, float(inside[key])))
    else:
        inside[key] = rng.choice(HOSTILE)
    return value


def mutate_file(path: Path, rng: random.Random) -> str:
    """Change one file in place, and say how."""
    data = path.read_bytes()
    if path.suffix == ".json" and rng.random() < 0.7:
        path.write_text(json.dumps(mutate_json(json.loads(data), rng)), encoding="utf-8")
        return f"{path.name}: a value"
    if path.suffix == ".jsonl" and rng.random() < 0.7 and data.strip():
        lines = data.decode().splitlines()
        at = rng.randrange(len(lines))
        lines[at] = json.dumps(mutate_json(json.loads(lines[at]), rng))
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return f"{path.name}: line {at + 1}"
    if path.suffix == ".safetensors" and rng.random() < 0.7 and len(data) > 8:
        (length,) = struct.unpack("<Q", data[:8])
        header = json.dumps(mutate_json(json.loads(data[8 : 8 + length]), rng)).encode()
        claimed = len(header) if rng.random() < 0.9 else rng.choice((0, 1, 2**60, 2**63, len(data)))
        path.write_bytes(struct.pack("<Q", claimed) + header + data[8 + length :])
        return f"{path.name}: its header"
    path.write_bytes(mutate_bytes(data, rng))
    return f"{path.name}: bytes"
