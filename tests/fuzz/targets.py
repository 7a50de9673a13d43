"""What reads bytes of a stranger's, one function a kind of file: for the fuzzer (scripts/fuzz.py) and its kept corpus.

Each takes any bytes, and ends in silence or in an InputError; anything else that it raises is a defect.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from engine.data.forms import to_messages
from engine.data.tables import read_file
from engine.errors import InputError
from engine.measure import singular_values
from engine.patterns import check
from engine.reading import parse_json
from engine.recording.ours import RECORDS
from engine.run.form import check_record
from engine.run.format import read_lines
from engine.run.info import read_info
from engine.run.run import Run
from engine.run.tensors import Tensors


def _file(name: str, data: bytes, use: Callable[[Path], object]) -> None:
    with tempfile.TemporaryDirectory() as folder, np.errstate(all="ignore"):
        path = Path(folder) / name
        path.write_bytes(data)
        use(path)


def _json(data: bytes) -> object:
    try:
        return parse_json(data)
    except ValueError as error:
        raise InputError(str(error)) from None


def run_json(data: bytes) -> None:
    info = read_info(_json(data), Path("run.json"))
    info.to_json(), info.method, [module.in_base for module in info.modules.values() if module.parameter]


def lines(data: bytes) -> None:
    _file(
        "metrics.jsonl",
        data,
        lambda path: [check_record(record, file) for record in read_lines(path) for file in RECORDS],
    )


def safetensors(data: bytes) -> None:
    def use(path: Path) -> None:
        tensors = Tensors(path)
        for name in tensors.entries:
            tensors.read(name)

    _file("model.safetensors", data, use)


def adapter(data: bytes) -> None:
    """The first bytes say how many are the config; the rest are the tensors."""
    size = int.from_bytes(data[:2], "little")

    def use(path: Path) -> None:
        path.write_bytes(data[2 + size :])
        (path.parent / "adapter_config.json").write_bytes(data[2 : 2 + size])
        run = Run.from_adapter(path.parent)
        (
            repr(run),
            [run.norm(module) for module in run.modules],
            [singular_values(run, module) for module in run.modules],
        )

    _file("adapter_model.safetensors", b"", use)


def _records(name: str, data: bytes) -> None:
    _file(name, data, lambda path: [to_messages(record, where) for where, record in read_file(path)])


def jsonl(data: bytes) -> None:
    _records("a.jsonl", data)


def json(data: bytes) -> None:
    _records("a.json", data)


def csv(data: bytes) -> None:
    _records("a.csv", data)


def parquet(data: bytes) -> None:
    _records("a.parquet", data)


def pattern(data: bytes) -> None:
    check([data.decode("utf-8", "replace")], ["model.layers.0.self_attn.q_proj"] * 3, "here")


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (run_json, lines, safetensors, adapter, jsonl, json, csv, parquet, pattern)
}  # fmt: skip
