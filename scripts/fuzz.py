"""Can any bytes break a reader? Coverage-guided fuzzing by atheris, one reader after another; what it finds is kept.

python scripts/fuzz.py --seconds 600            all readers, so long in all
python scripts/fuzz.py safetensors --seconds 60

Needs `pip install atheris`. tests/fuzz/corpus/<reader> holds what reached code that nothing before it did; the suite
reads it again. A defect ends with the bytes in crash-... and status 1.
"""

import argparse
import json
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
LARGEST = 4096  # bytes of an input
KEPT = 60  # inputs a reader, the smallest
ONE = """
import sys
from pathlib import Path
import atheris
with atheris.instrument_imports(include=["engine"]):
    from engine.errors import InputError
    from tests.fuzz.targets import TARGETS
target = TARGETS[reader := sys.argv.pop(1)]
def one(data):
    try:
        target(data)
    except InputError as error:
        assert str(error) and "\\n" not in str(error)
    except BaseException:  # kept by ourselves: atheris ends without for what C++ raised
        Path("crash-" + reader).write_bytes(data)
        raise
atheris.Setup(sys.argv, one)
atheris.Fuzz()
"""


def seeds(reader: str) -> list[bytes]:
    """Something of each kind that is right, to begin with."""
    config = json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "rank_pattern": {"q_proj": 2}}).encode()
    module = "base_model.model.model.layers.0.self_attn.q_proj"
    shapes = {f"{module}.lora_A.weight": [2, 4], f"{module}.lora_B.weight": [3, 2]}
    header, at = {}, 0
    for name, (rows, columns) in shapes.items():
        header[name] = {"dtype": "F32", "shape": [rows, columns], "data_offsets": [at, at := at + 4 * rows * columns]}
    text = json.dumps(header).encode()
    tensors = struct.pack("<Q", len(text)) + text + bytes(range(at))
    about = {"kind": "lora", "shape": [3, 4], "r": 2, "scaling": 2.0, "parameter": f"{module}.weight"}
    run = {"format": "glasstune-run", "version": 2, "method": {"name": "lora"}, "modules": {module: about}}
    record = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}
    return {
        "run_json": [json.dumps(run).encode()],
        "lines": [b'{"step": 1, "event": "train", "loss": 2.5}\n', b'{"step": 1, "event": "eval", "exact": {}}\n'],
        "safetensors": [tensors],
        "adapter": [struct.pack("<H", len(config)) + config + tensors],
        "jsonl": [json.dumps(record).encode() + b"\n", b'{"instruction": "a", "input": "", "output": "b"}\n'],
        "json": [json.dumps([record]).encode()],
        "csv": [b'prompt,completion\n"a, b",c\n'],
        "parquet": [_parquet()],
        "pattern": [rb"^model\.layers\.[0-3]+\..*(q|v)_proj$"],
    }[reader]  # fmt: skip


def _parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet

    out = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.table({"prompt": ["a", "b"], "completion": ["c", "d"]}), out)
    return out.getvalue().to_pybytes()


def fuzz(reader: str, seconds: int) -> int:
    """Whether it ended well, and beside the corpus what is new in it."""
    folder = CORPUS / reader
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(reader)):
        (folder / f"seed-{number}").write_bytes(seed)
    with tempfile.TemporaryDirectory() as scratch:
        work = shutil.copytree(folder, Path(scratch) / "work")
        limits = [f"-max_total_time={seconds}", f"-max_len={LARGEST}", "-timeout=20", "-rss_limit_mb=3000"]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", ONE, reader, str(work), *limits, f"-artifact_prefix={reader}-"],
            cwd=ROOT, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        said = done.stderr.splitlines()
        print("\n".join(said[-40:]) if done.returncode else next((s for s in said[::-1] if "Done" in s), "no end said"))
        known = {file.read_bytes() for file in folder.iterdir()}
        new = [file for file in work.iterdir() if file.read_bytes() not in known]
        for file in sorted(new, key=lambda file: file.stat().st_size)[: KEPT - len(known)]:
            shutil.copy(file, folder / file.name[:16])
    print(f"{reader}: {len(list(folder.iterdir()))} inputs in its corpus, status {done.returncode}", flush=True)
    return done.returncode


def main() -> int:
    sys.path.insert(0, str(ROOT))
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("readers", nargs="*", default=[*TARGETS], metavar="READER", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=600, help="in all")
    chosen = parser.parse_args()
    return max(fuzz(reader, max(1, chosen.seconds // len(chosen.readers))) for reader in chosen.readers)


if __name__ == "__main__":
    sys.exit(main())
