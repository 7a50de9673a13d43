"""One stack of experts, or each expert by itself? The same weights, as one library's version keeps them and the next.

`experts.gate_up_proj` is (experts, 2 inner, width), the gate's rows before the others; `experts.3.gate_proj.weight` is
(inner, width). Where one checkpoint has the stack and the other its parts, the stack is read as parts: they lie in it
one after another.
"""

import re
from collections import defaultdict

from engine.run.tensors import Tensors

_ALONE = re.compile(r"(?P<experts>.*\bexperts)\.(?P<expert>\d+)\.(?P<leaf>gate_proj|up_proj|down_proj|w[123])\.weight$")
_STACK = re.compile(r"(?P<experts>.*\bexperts)\.(?P<leaf>gate_up_proj|down_proj)(?:\.weight)?$")
_PARTS = {"gate_up_proj": (("gate_proj", "w1"), ("up_proj", "w3")), "down_proj": (("down_proj", "w2"),)}
_Layer = tuple[str, ...]


def unstack(stacked: Tensors, alone: Tensors) -> list[str]:
    """Read the stacks of one checkpoint by the other's names of their parts, where all fit. Gives the stacks' names.

    What does not fit stays as it is: another number of experts or size, or a stack that is kept the other way round.
    """
    groups: dict[_Layer, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in alone.entries:
        if found := _ALONE.match(name):
            groups[_numbers(found["experts"])][found["leaf"]].append(name)  # in the experts' order, as files are read
    done = []
    for name in list(stacked.entries):
        found = _STACK.match(name)
        by_leaf = groups.get(_numbers(found["experts"]), {}) if found else {}
        kinds = [by_leaf.get(next((leaf for leaf in leaves if leaf in by_leaf), ""), [])
                 for leaves in _PARTS[found["leaf"]]] if found else []  # fmt: skip
        if kinds and _fits(stacked, alone, name, kinds):
            _split(stacked, alone, name, kinds)
            done.append(name)
    return done


def _numbers(name: str) -> _Layer:
    return tuple(part for part in name.split(".") if part.isdigit())


def _fits(stacked: Tensors, alone: Tensors, name: str, kinds: list[list[str]]) -> bool:
    entry, shapes = stacked.entries[name], {alone.shape(part) for parts in kinds for part in parts}
    if len(shapes) != 1 or len(entry.shape) != 3 or entry.packed is not None or any(p in stacked for p in kinds[0]):
        return False
    (out, into) = shapes.pop()
    sides = (len(kinds) * out, into)
    either_way = sides[0] == sides[1] and len(kinds) > 1  # then nothing tells how it is kept
    return not either_way and entry.shape == (len(kinds[0]), *sides) and len({len(parts) for parts in kinds}) == 1


def _split(stacked: Tensors, alone: Tensors, name: str, kinds: list[list[str]]) -> None:
    size = stacked.entries[name].nbytes // sum(map(len, kinds))
    parts = [part for each in zip(*kinds, strict=True) for part in each]  # as they lie there: gate, up, gate, up, ...
    stacked.split(name, {part: (at * size, alone.shape(part)) for at, part in enumerate(parts)})
