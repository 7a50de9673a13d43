"""How fast are large adapters inspected, and many small ones compared? A pair of 1.5 GB, and a thousand, made here.

`GLASSTUNE_ADAPTER_GB` makes a smaller pair, to try the benchmark itself.
"""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np

from benchmarks.checkpoints import forget, read
from benchmarks.figures import Figure, in_turn, peak_of, ratios

TITLE = "Inspecting a pair of adapters of 1.5 GB together, and comparing a thousand small ones"
WIDTH, RANK = 4096, 64
MANY = 1000
REPEATS = 3


def make(folder: Path, seed: int, *, width: int, rank: int, modules: int) -> Path:
    """A LoRA adapter of random numbers in float32, written a factor at a time."""
    folder.mkdir(parents=True)
    random, header, end = np.random.default_rng(seed), dict[str, object](), 0
    names = [f"base_model.model.model.layers.{at // 4}.self_attn.{'qkvo'[at % 4]}_proj" for at in range(modules)]
    shapes = {
        f"{name}.lora_{side}.weight": shape
        for name in names
        for side, shape in (("A", (rank, width)), ("B", (width, rank)))
    }
    for name, (rows, columns) in shapes.items():
        header[name] = {"dtype": "F32", "shape": [rows, columns], "data_offsets": [end, end + 4 * rows * columns]}
        end += 4 * rows * columns
    text = json.dumps(header).encode()
    with (folder / "adapter_model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes.values():
            file.write(random.standard_normal(shape, np.float32).tobytes())
    about = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "base_model_name_or_path": "nobody/nothing"}
    (folder / "adapter_config.json").write_text(json.dumps(about))
    return folder


_INSPECT = "import sys; from engine.inspect.__main__ import main; main(sys.argv[1:])"


def measure() -> Iterator[Figure]:
    from engine.inspect.__main__ import main
    from engine.inspect.many import read_many

    gigabytes = float(os.environ.get("GLASSTUNE_ADAPTER_GB", "1.5"))
    modules = max(4, round(gigabytes * 1e9 / 2 / (8 * WIDTH * RANK)))
    with tempfile.TemporaryDirectory() as place:
        pair = [make(Path(place) / name, seed, width=WIDTH, rank=RANK, modules=modules)
                for seed, name in enumerate("ab")]  # fmt: skip

        def inspect() -> None:
            forget(pair)
            with redirect_stdout(StringIO()):
                main([str(folder) for folder in pair])

        def only_read() -> None:
            forget(pair)
            read(pair)

        took = in_turn({"read": only_read, "inspect": inspect}, REPEATS, warm_up=0)
        peak = peak_of(_INSPECT, *pair)
    yield Figure("reading both, from the disk", "s", took["read"])
    yield Figure("glasstune inspect of both, from the disk", "s", took["inspect"])
    yield Figure("time beside reading", "times", ratios(took["inspect"], took["read"]), "at most 2")
    yield Figure("peak memory of glasstune inspect", "MB", [peak / 1e6], "below 1000")
    with tempfile.TemporaryDirectory() as place:
        for seed in range(MANY):
            make(Path(place) / f"a{seed:04d}", seed, width=128, rank=8, modules=20)
        began = time.perf_counter()
        read_many(place, progress=False)
        yield Figure(
            f"comparing {MANY:,} small adapters with each other", "s", [time.perf_counter() - began], "at most 60"
        )
