"""What will PEFT do with an adapter's settings before it has looked at the file? Match names, and make tensors.

Both go by the settings alone, which a stranger wrote: a pattern can hang, a rank make gigabytes beside a file of
kilobytes. So the patterns are tried, and what would be made is made first on torch's meta device, which has no memory.
"""

import copy
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, get_peft_model
from torch import nn

from engine import patterns
from engine.errors import InputError
from engine.reading import read_json
from engine.run.tensors import Tensors

_ROOM = 1_000_000_000  # bytes that are made without a question, for methods make more than they save (VeRA's A and B)
_TIMES = 8  # and as many times the file's own: saved in 16 bits, made in 32
_WHOLE = ("target_modules", "exclude_modules", "feedforward_modules")  # expressions where they are no lists
_PLAIN = re.compile(r"[\w.-]*")
_SIDES = ("r", "init_r", "target_r", "vector_length", "num_vectors")  # of matrices


def check_settings(base: nn.Module, folder: Path) -> None:
    """Raises InputError for the settings of a saved adapter that would hang, or that make far more than it holds."""
    file = folder / "adapter_config.json"
    config = read_json(file, within=folder)
    patterns.check_by_trying(list(_expressions(config)), [name for name, _ in base.named_modules()], file)
    saved = Tensors(folder, "adapter_model", within=folder).nbytes
    most = _ROOM + _TIMES * saved
    if _could_make(config, base) > most and (made := _bytes_made(base, folder, config)) > most:
        raise InputError(
            f"{file}: its settings make an adapter of {made / 1e9:,.1f} GB, and its file holds {saved / 1e6:,.1f} MB: "
            "they do not belong together; copy or download it again"
        )


def _expressions(config: dict[str, Any]) -> Iterator[str]:
    """As PEFT puts them together; plain names are none."""
    for name, value in config.items():
        if name in _WHOLE and isinstance(value, str):
            yield value
        elif name == "layers_pattern":
            yield from (rf"(?:^|.*?\.){one}\.(\d+)\." for one in _signs([value] if isinstance(value, str) else value))
        elif name == "modules_to_save":
            yield from (rf"(^|.*\.){one}($|\..*)" for one in _signs(value))
        elif name.endswith("_pattern") and isinstance(value, dict):
            yield from (rf"(.*\.)?({one})$" for one in _signs(value))


def _signs(names: Any) -> list[str]:
    there = names if isinstance(names, list | dict) else []
    return [one for one in there if isinstance(one, str) and not _PLAIN.fullmatch(one)]


def _could_make(config: dict[str, Any], base: nn.Module) -> float:
    """Bytes that the largest number in the settings could be the reason for: it is a side of a matrix in every layer,
    or both sides of one."""
    sides = sum(sum(shape) for shape in _shapes(base))
    largest = max([0, *_numbers(config)])
    return 4.0 * largest * max(largest, sides)


def _shapes(base: nn.Module) -> Iterator[tuple[int, ...]]:
    """Of its matrices, as they compute: what is packed (four bits) is stored in another shape."""
    for module in base.modules():
        told = [getattr(module, side, None) for side in ("out_features", "in_features")]
        computed = tuple(side for side in told if isinstance(side, int))
        for weight in module.parameters(recurse=False):
            if weight.ndim > 1:
                yield computed if len(computed) == 2 else tuple(weight.shape[:2])


def _numbers(value: Any) -> Iterator[int]:
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _numbers(one)
    elif isinstance(value, int):
        yield value


def _bytes_made(base: nn.Module, folder: Path, config: dict[str, Any]) -> float:
    """Of an adapter made without memory. Some methods look at values when they are made, and can not, or
    settings do not suit each other: then sides wider than any of the base's are taken to be what makes it."""
    try:
        with warnings.catch_warnings(action="ignore"), torch.random.fork_rng(devices=[]), torch.device("meta"):
            empty: Any = _without_values(base)
            before = {id(tensor) for tensor in (*empty.parameters(), *empty.buffers())}
            made = get_peft_model(empty, PeftConfig.from_pretrained(str(folder)))
        return sum(tensor.nbytes for tensor in (*made.parameters(), *made.buffers()) if id(tensor) not in before)
    except Exception:  # each method has its own reasons
        widest = max(map(max, _shapes(base)), default=0)
        sides = [*_numbers([config.get(name) for name in (*_SIDES, "rank_pattern")])]
        beyond = max(sides, default=0) > widest
        return _could_make(config, base) if beyond else 0.0


def _without_values(model: nn.Module) -> nn.Module:
    """A copy whose tensors are on the meta device."""
    empty: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        like = torch.empty_like(tensor, device="meta")
        trained = isinstance(tensor, nn.Parameter)
        empty[id(tensor)] = nn.Parameter(like, requires_grad=tensor.requires_grad) if trained else like
    return copy.deepcopy(model, empty)
