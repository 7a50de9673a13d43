"""How fast is the difference of two checkpoints read? Two sharded ones of 2 GB each, made here, in bfloat16.

Beside it: reading the same files and doing nothing with them, and the way most people do it today, both state dicts
in memory at once. `GLASSTUNE_CHECKPOINT_GB` makes smaller ones, to try the benchmark itself.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, in_turn, peak_of, ratios

TITLE = "The difference of two 2 GB checkpoints, streamed"
WIDTH, INNER, SHARDS = 2048, 5632, 4
CHUNK = 1 << 22
REPEATS = 3
_TILE = 4_194_301  # random numbers, repeated: a prime, so that they begin elsewhere in each row


def make(folder: Path, gigabytes: float, seed: int, width: int = WIDTH, inner: int = INNER) -> Path:
    """A sharded checkpoint of Llama-shaped layers of random bfloat16 numbers, written a matrix at a time."""
    folder.mkdir(parents=True)
    layer = {f"self_attn.{name}_proj": (width, width) for name in "qkvo"}
    layer |= {"mlp.gate_proj": (inner, width), "mlp.up_proj": (inner, width), "mlp.down_proj": (width, inner)}
    each = 2 * sum(rows * columns for rows, columns in layer.values())
    layers = max(SHARDS, round(gigabytes * 1e9 / each))
    weight_map: dict[str, str] = {}
    values = np.random.default_rng(seed).standard_normal(_TILE, np.float32) * np.float32(0.02)
    tile = (values.view(np.uint32) >> 16).astype(np.uint16)
    for shard in range(SHARDS):
        file = f"model-{shard + 1:05d}-of-{SHARDS:05d}.safetensors"
        shapes = {f"model.layers.{number}.{name}.weight": shape for number in range(shard, layers, SHARDS)
                  for name, shape in layer.items()}  # fmt: skip
        _write(folder / file, shapes, tile)
        weight_map |= dict.fromkeys(shapes, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def _write(path: Path, shapes: dict[str, tuple[int, int]], tile: np.ndarray) -> None:
    header, end = {}, 0
    for name, (rows, columns) in shapes.items():
        header[name] = {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [end, end + 2 * rows * columns]}
        end += 2 * rows * columns
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for rows, columns in shapes.values():
            file.write(np.resize(tile, (rows, columns)).data)


def read(folders: list[Path]) -> None:
    """Read every file once, into one buffer."""
    buffer = bytearray(CHUNK)
    for folder in folders:
        for path in sorted(folder.glob("*.safetensors")):
            with path.open("rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass


def both_in_memory(folders: list[Path]) -> None:
    """What people do: load both with torch, subtract, take norms."""
    from safetensors.torch import load_file

    before, after = (
        {name: value for path in sorted(folder.glob("*.safetensors")) for name, value in load_file(path).items()}
        for folder in folders
    )
    for name, value in after.items():
        (value.float() - before[name].float()).norm()
        before[name].float().norm()


def forget(folders: list[Path]) -> None:
    """Ask the system to drop the files from its cache, so that the next read comes from the disk."""
    if hasattr(os, "posix_fadvise"):
        os.sync()
        for path in (path for folder in folders for path in folder.glob("*.safetensors")):
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure() -> Iterator[Figure]:
    from glasstune import Run

    gigabytes = float(os.environ.get("GLASSTUNE_CHECKPOINT_GB", "2"))
    with tempfile.TemporaryDirectory() as place:
        folders = [make(Path(place) / name, gigabytes, seed) for seed, name in enumerate(("base", "tuned"))]
        size = sum(path.stat().st_size for folder in folders for path in folder.glob("*.safetensors")) / 1e9
        cached = in_turn({
            "read": lambda: read(folders),
            "difference": lambda: Run.from_checkpoints(*folders, progress=False),
            "torch": lambda: both_in_memory(folders),
        }, REPEATS)  # fmt: skip
        cold = in_turn({
            "read": lambda: (forget(folders), read(folders)),
            "difference": lambda: (forget(folders), Run.from_checkpoints(*folders, progress=False)),
        }, REPEATS, warm_up=0)  # fmt: skip
        ours = peak_of(
            "import sys; from glasstune import Run; Run.from_checkpoints(*sys.argv[1:], progress=False)", *folders
        )
        theirs = peak_of(
            "import sys; from pathlib import Path; from benchmarks.checkpoints import both_in_memory; "
            "both_in_memory([Path(folder) for folder in sys.argv[1:]])", *folders,
        )  # fmt: skip
    yield Figure("reading both, from the disk", "GB/s", [size / one for one in cold["read"]])
    yield Figure("norms of their difference, from the disk", "GB/s", [size / one for one in cold["difference"]])
    half = "at least 0.5"
    yield Figure("speed beside reading, from the disk", "times", ratios(cold["read"], cold["difference"]), half)
    yield Figure("reading both, from the system's cache", "GB/s", [size / one for one in cached["read"]])
    yield Figure("norms of their difference, from the cache", "GB/s", [size / one for one in cached["difference"]])
    yield Figure("speed beside reading, from the cache", "times", ratios(cached["read"], cached["difference"]), half)
    yield Figure("speed beside loading both with torch", "times", ratios(cached["torch"], cached["difference"]))
    yield Figure("peak memory", "MB", [ours / 1e6], "below 1000")
    yield Figure("peak memory of loading both with torch", "MB", [theirs / 1e6])
