"""What is in a checkpoint? The tensors of safetensors files, single or sharded, read one at a time.

The safetensors library gives numpy no bfloat16, which most checkpoints are in, and maps whole files into memory. The
format is simple (eight bytes with the header's length, a JSON header, the data), so this reads it directly: no torch,
any floating type to float32, and never more in memory than what was asked for. Files are only ever read.
"""

import math
import os
import re
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engine.errors import InputError, understood
from engine.linear import check_room
from engine.reading import MOST_JSON, opened, parse_json, read_json, whole_number
from engine.run.form import is_count, is_shape, list_of
from engine.run.quantized import FLOAT8, Packed, find_packed

SINGLE = ("model.safetensors", "adapter_model.safetensors")
CHUNK = 1 << 16  # values converted at a time: two such pieces and their difference stay in the second-level cache
_BLOCK = 1 << 22  # bytes compared at a time
_LONGEST = 1_000  # characters of a tensor's name
_LONGEST_TYPE = 20  # of its type's: today's have up to eleven
_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
_NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BOOL": "?", "F8_E8M0": "<u1"} | {
    f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)
}
FLOATING = ("F64", "F32", "F16", "BF16", *FLOAT8)
_CONV1D = {"gpt2", "openai-gpt", "imagegpt", "decision_transformer", "clvp"}  # these keep some weights as (in, out)
_CONV1D_LEAVES = re.compile(r"\.(?:c_attn|c_proj|c_fc|q_attn)\.weight$")
_NO_WEIGHTS = ("training_args.bin", "optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state.pth")
_CONVERT = {
    "adapter_model.bin": "safetensors.torch.save_file(torch.load('adapter_model.bin', weights_only=True), "
    "'adapter_model.safetensors')",
    "pytorch_model.bin": "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)",
}


class Entry(NamedTuple):
    """Where one tensor lies: its bytes begin at `start` of `file`."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    packed: Packed | None = None
    stored_bytes: int = 0  # of something packed, all its parts; of a type that is not known, its own

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * _BYTES[self.dtype] if self.is_known and not self.packed else self.stored_bytes

    @property
    def is_known(self) -> bool:
        """Whether its type is one that is read here: safetensors has others, and gets new ones."""
        return self.dtype in _BYTES

    @property
    def is_float(self) -> bool:
        """Whether it holds weights: floats, or codes that are read as floats."""
        return self.dtype in FLOATING or self.packed is not None


class Tensors:
    """Every tensor of a safetensors file or of a folder's files, by name: `tensors.read(name)`, `tensors.entries`.

    What is quantised is read as the weights that it stands for. refused: weight -> how it is packed, where that is not
    read, or its type is not. absent: names in the index that no file holds. Only headers are read at first, each once.
    stem: "model" or "adapter_model", where a folder holds both. within: the folder that no file may lead out of. Raises
    InputError, naming the file, for what is missing, cut short or not safetensors.
    """

    def __init__(self, path: str | Path, stem: str | None = None, within: Path | None = None) -> None:
        self.path = Path(path)
        self.files = find_files(self.path, stem)
        self._stored: dict[str, Entry] = {}
        for file in self.files:
            self._stored |= read_header(file, within)
        self._stored = {name: self._stored[name] for name in sorted(self._stored, key=_natural)}
        self.absent = [name for name in _promised(self.path, stem) if name not in self._stored]
        with understood(self.path):
            packed, self.refused, parts = find_packed(self._stored, self)
        self._refuse_unknown(packed, parts)
        first = {how.parts[0]: name for name, how in packed.items()}  # where a weight stands among the others
        self.entries = {
            first.get(name, name): self._unpacked(entry, packed[first[name]]) if name in first else entry
            for name, entry in self._stored.items()
            if name in first or name not in parts
        }

    def _refuse_unknown(self, packed: dict[str, Packed], parts: set[str]) -> None:
        """What is of a type that is not known is left out, and what is made of it; all else is read."""
        unknown = {name: entry.dtype for name, entry in self._stored.items() if not entry.is_known}
        for name, how in list(packed.items()) if unknown else ():
            if kinds := {unknown[part] for part in how.parts if part in unknown}:
                self.refused[name] = f"{how.method} ({', '.join(sorted(kinds))})"
                del packed[name]
        self.refused |= {name: f"a packing that is not known ({kind})" for name, kind in unknown.items()
                         if name not in parts}  # fmt: skip
        parts.update(unknown)

    def _unpacked(self, entry: Entry, how: Packed) -> Entry:
        size = sum(self._stored[part].nbytes for part in how.parts)
        return entry._replace(shape=how.shape, packed=how, stored_bytes=size)

    def split(self, name: str, parts: dict[str, tuple[int, tuple[int, ...]]]) -> None:
        """Have parts of a tensor by names of their own, in its place: each from a byte of it on, of a shape."""
        whole = self._stored[name]
        own = {part: whole._replace(start=whole.start + at, shape=shape) for part, (at, shape) in parts.items()}
        self._stored |= own
        every = ((key, own if key == name else {key: entry}) for key, entry in self.entries.items())
        self.entries = {key: entry for _, found in every for key, entry in found.items()}

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def shape(self, name: str) -> tuple[int, ...]:
        return self.entries[name].shape

    @property
    def parameters(self) -> int:
        """How many numbers there are in all."""
        return sum(entry.size for entry in self.entries.values())

    @property
    def nbytes(self) -> int:
        return sum(entry.nbytes for entry in self.entries.values())

    def read(self, name: str) -> np.ndarray:
        """One tensor, float32, whatever it is stored as. Raises InputError if there is none of that name."""
        if name not in self.entries:
            raise InputError(f"{self.path} holds no tensor {name!r}; there are, for example, {self._some()}")
        entry = self.entries[name]
        check_room(entry.shape, f"{name} in {self.path}")
        values = np.empty(entry.size, np.float32)
        for at, piece in self.pieces(name):
            values[at : at + piece.size] = piece
        return values.reshape(entry.shape)

    def pieces(self, name: str, count: int = CHUNK) -> Iterator[tuple[int, np.ndarray]]:
        """(position, values) of one tensor, `count` values at a time, in order: float32, flat, valid until the next."""
        entry = self.entries[name]
        return self._unpack(name, entry.packed, count) if entry.packed else _pieces(name, entry, count)

    def _unpack(self, name: str, how: Packed, count: int) -> Iterator[tuple[int, np.ndarray]]:
        with understood(f"{name} in {self.path}"), np.errstate(over="ignore", invalid="ignore"):
            yield from how.pieces(self, count)

    @cached_property
    def model_type(self) -> str:
        """What config.json beside it says the model is; "" if nothing does."""
        said = self.config.get("model_type")
        return said if isinstance(said, str) else ""

    @cached_property
    def config(self) -> dict[str, Any]:
        """What config.json beside it says; {} if there is none."""
        return self._config("config.json")

    @cached_property
    def quantization(self) -> dict[str, Any]:
        """How it is packed, as config.json says, or GPTQ's older quantize_config.json; {} if nothing does."""
        said = self.config.get("quantization_config") or self._config("quantize_config.json")
        return said if isinstance(said, dict) else {}

    def _config(self, name: str) -> dict[str, Any]:
        file = (self.path if self.path.is_dir() else self.path.parent) / name
        return read_json(file) if file.is_file() else {}

    def same(self, name: str, other: "Tensors") -> bool:
        """Whether another checkpoint holds the very same bytes under this name."""
        packed = self.entries[name].packed
        return all(
            part in other._stored
            and other._stored[part].nbytes == size
            and np.array_equal(self.raw(part, at, some), other.raw(part, at, some))
            for part in (packed.parts if packed else [name])
            for size in [self._stored[part].nbytes]
            for at in range(0, size, _BLOCK)
            for some in [min(_BLOCK, size - at)]
        )

    # What a packed weight is made of:

    def stored(self, name: str) -> np.ndarray:
        entry = self._stored[name]
        return self.some(name, 0, entry.size).reshape(entry.shape)

    def some(self, name: str, first: int, count: int) -> np.ndarray:
        entry = self._stored[name]
        raw = self.raw(name, first * _BYTES[entry.dtype], count * _BYTES[entry.dtype])
        return to_float32(raw.data, entry.dtype, np.empty(count, np.float32))

    def raw(self, name: str, first: int = 0, count: int | None = None) -> np.ndarray:
        entry = self._stored[name]
        part = np.empty(entry.nbytes - first if count is None else count, np.uint8)
        with opened(entry.file) as file:
            file.seek(entry.start + first)
            if _fill(file, part.data) < len(part):
                raise InputError(f"{entry.file} ended while {name} was read; it was changed or cut short")
        return part

    def _some(self) -> str:
        return ", ".join(list(self.entries)[:3]) or "none at all"


def _pieces(name: str, entry: Entry, count: int) -> Iterator[tuple[int, np.ndarray]]:
    raw = bytearray(min(count, entry.size) * _BYTES[entry.dtype])
    values = np.empty(min(count, entry.size), np.float32)
    with opened(entry.file) as file:
        file.seek(entry.start)
        for at in range(0, entry.size, count):
            some = min(count, entry.size - at)
            part = memoryview(raw)[: some * _BYTES[entry.dtype]]
            if _fill(file, part) < len(part):
                raise InputError(f"{entry.file} ended while {name} was read; it was changed or cut short")
            yield at, to_float32(part, entry.dtype, values[:some])


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts layer 2 before layer 10, as the model has them; files hold names in any order."""
    numbers = ((whole_number(part), part) for part in name.split("."))
    return [(-1, part) if number is None else (number, "") for number, part in numbers]


def _fill(file: Any, part: memoryview) -> int:
    """Read until `part` is full or the file ends: one unbuffered read may return less than was asked for."""
    done = 0
    while done < len(part) and (got := file.readinto(part[done:])):
        done += got
    return done


def to_float32(raw: memoryview, dtype: str, out: np.ndarray) -> np.ndarray:
    """Stored bytes as float32, in `out` (F32: a view of them). A bfloat16 is the upper half of a float32."""
    if dtype == "F32":
        return np.frombuffer(raw, "<f4")
    if dtype == "BF16":
        bits = out.view(np.uint32)
        bits[:] = np.frombuffer(raw, "<u2")  # widened, then moved up: four times as fast as writing every second half
        np.left_shift(bits, 16, out=bits)
    elif dtype in FLOAT8:
        np.take(_float8(dtype), np.frombuffer(raw, np.uint8), out=out)
    else:
        out[:] = np.frombuffer(raw, _NUMPY[dtype])
    return out


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """float32 rounded to the nearest bfloat16, ties to even, still as float32: what is no number stays none."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)
    np.copyto(rounded, values, where=np.isnan(values))
    return rounded


def to_float8(dtype: str, values: np.ndarray) -> np.ndarray:
    """float32 rounded to the nearest 8-bit float of a type, ties to even, still as float32. What is larger than the
    largest becomes that: libraries differ there."""
    levels = _float8(dtype)[:128]
    levels = levels[np.isfinite(levels)].astype(np.float64)
    between, sizes = (levels[1:] + levels[:-1]) / 2, np.abs(values)
    code = np.searchsorted(between, sizes)
    tie = between[np.minimum(code, len(between) - 1)] == sizes
    code += tie & (code % 2 == 1)
    return np.where(np.isnan(values), values, np.copysign(levels[code], values)).astype(np.float32)


@cache
def _float8(dtype: str) -> np.ndarray:
    """The 256 values of an 8-bit float (Micikevicius et al. 2022): sign, exponent, mantissa."""
    mantissa, bias = (3, 7) if dtype == "F8_E4M3" else (2, 15)
    code = np.arange(256)
    exponent, fraction = (code & 127) >> mantissa, (code & (2**mantissa - 1)) / 2**mantissa
    values = np.where(exponent == 0, fraction * 2.0 ** (1 - bias), (1 + fraction) * 2.0 ** (exponent - bias))
    if dtype == "F8_E4M3":  # no infinities: only the last code is not a number
        values[(code & 127) == 127] = np.nan
    else:
        values[exponent == 31] = np.where(fraction[exponent == 31] == 0, np.inf, np.nan)
    return np.where(code < 128, values, -values).astype(np.float32)


def find_files(path: Path, stem: str | None = None) -> list[Path]:
    """The safetensors files of a checkpoint: a file itself, or those of a folder, sharded or not."""
    if path.is_file():
        if path.suffix != ".safetensors":
            raise InputError(f"{path} is not a safetensors file; {_converting(path.name)}")
        return [path]
    if not path.is_dir():
        raise InputError(f"{path} does not exist; give a folder with safetensors files, or one such file")
    for name in [f"{stem}.safetensors"] if stem else SINGLE:
        if (path / name).is_file():
            return [path / name]
        if (path / f"{name}.index.json").is_file():
            return _shards(path / f"{name}.index.json")
    others = sorted(path.glob("*.safetensors")) if stem is None else []
    if len(others) == 1:
        return others
    if others:
        raise InputError(
            f"{path} holds {len(others)} safetensors files and no index.json that says which belong together"
        )
    pickles = sorted(file for end in ("bin", "pt", "pth") for file in path.glob(f"{stem or '*'}.{end}"))
    pickles = [file for file in pickles if file.name not in _NO_WEIGHTS]
    if pickles:
        raise InputError(f"{path} holds only {pickles[0].name}: {_converting(pickles[0].name)}")
    raise InputError(f"{path} is no checkpoint: it holds no {f'{stem}.' if stem else ''}safetensors file")


def _converting(name: str) -> str:
    command = next((how for known, how in _CONVERT.items() if name.startswith(known.split(".")[0])), None)
    how = f"convert it with {command}" if command else "save it again with safetensors"
    return f"a pickle can run any code when it is opened, so it is never opened here; {how}, where you trust it"


def _promised(path: Path, stem: str | None) -> list[str]:
    """The tensors that a folder's index names."""
    for name in [f"{stem}.safetensors"] if stem else SINGLE:
        if (path / name).is_file():
            return []
        if (path / f"{name}.index.json").is_file():
            return list(read_json(path / f"{name}.index.json")["weight_map"])
    return []


def _shards(index: Path) -> list[Path]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError(f"{index} has no 'weight_map'; copy or download it again")
    for name in weight_map.values():
        if not isinstance(name, str) or Path(name).name != name:
            raise InputError(f"{index} names {name!r}, which is no file of its own folder; copy or download it again")
        if not name.endswith(".safetensors"):
            raise InputError(f"{index} names {name!r}, which is no safetensors file; save it again in that form")
    files = [index.parent / name for name in sorted(set(weight_map.values()))]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise InputError(f"{index.parent} lacks {missing[0]}, one of the {len(files)} files that {index.name} names")
    return files


def is_conv1d(parameter: str, checkpoint: Tensors) -> bool:
    """Is this weight stored (in, out), as GPT-2's Conv1D does? The model type in config.json beside it tells."""
    return bool(_CONV1D_LEAVES.search(parameter)) and checkpoint.model_type in _CONV1D


def read_header(path: Path, within: Path | None = None) -> dict[str, Entry]:
    """The tensors of one safetensors file, by name. Raises InputError if it is not whole."""
    with opened(path, within=within) as file:
        size, first = os.fstat(file.fileno()).st_size, file.read(8)
        length = int.from_bytes(first, "little")
        text = bytearray(length if 8 + length <= size and length <= MOST_JSON else 0)
        _fill(file, memoryview(text))
    if first == b"version ":
        raise InputError(f"{path} is a Git LFS pointer, not the file itself; fetch it with git lfs pull")
    if not text.lstrip().startswith(b"{"):
        raise InputError(
            f"{path} is not a safetensors file, or it was cut short in its header; copy or download it again"
        )
    try:
        header = parse_json(bytes(text))
        if not all(is_shape(about["shape"]) and list_of(is_count)(about["data_offsets"])
                   for name, about in header.items() if name != "__metadata__"):  # fmt: skip
            raise ValueError("a shape or an offset is no whole number")
        entries = {name: _entry(path, about, 8 + length) for name, about in header.items() if name != "__metadata__"}
        for name, entry in entries.items():
            if len(name) > _LONGEST:  # expressions that look for its parts would try each of thousands from each
                raise ValueError(f"a tensor's name has {len(name):,} characters")
            begin, stop = header[name]["data_offsets"]
            if begin < 0 or stop < begin or stop - begin != entry.nbytes:
                raise ValueError(f"{name} has {stop - begin} bytes for a shape of {entry.nbytes}")
        end = 0
        for name, entry in sorted(entries.items(), key=lambda item: item[1].start):
            if entry.nbytes and entry.start < end:  # a small file would be read as a thousand large tensors
                raise ValueError(f"{name} lies where another tensor does")
            end = max(end, entry.start + entry.nbytes)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path} has a header that cannot be read ({error}); copy or download it again") from None
    if end > size:
        raise InputError(f"{path} was cut short: it holds {size:,} of {end:,} bytes; copy or download it again")
    return entries


def _entry(path: Path, about: dict[str, Any], data: int) -> Entry:
    """data: where it begins in the file."""
    dtype, (begin, stop) = about["dtype"], about["data_offsets"]
    if not isinstance(dtype, str) or len(dtype) > _LONGEST_TYPE:
        raise ValueError("a tensor's type is no short word")
    return Entry(path, dtype, tuple(about["shape"]), data + begin, None, 0 if dtype in _BYTES else stop - begin)
