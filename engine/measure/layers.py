"""How far did each layer move? From the norms of its matrices; and which layer a matrix belongs to."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_LAYER = re.compile(r"\.(\d+)\.")


class Layer(NamedTuple):
    """tower: what its stack of layers is called where a model has several ("vision_tower", "decoder"), else ""."""

    tower: str
    number: int


def layers_of(modules: Iterable[str]) -> dict[str, Layer]:
    """Module -> its layer, stack by stack in the order given; without those that belong to none.

    The number is the first one in the name; what stands before it is the stack, so that two layers 0 stay two.
    """
    found = {name: at for name in modules if (at := _LAYER.search(name))}
    towers = _told_apart(list(dict.fromkeys(name[: at.start()] for name, at in found.items())))
    order = list(towers)
    in_order = sorted(found.items(), key=lambda item: (order.index(item[0][: item[1].start()]), int(item[1][1])))
    return {name: Layer(towers[name[: at.start()]], int(at[1])) for name, at in in_order}


def _told_apart(stacks: list[str]) -> dict[str, str]:
    """Stack -> as little of its name as tells it from the others: nothing of a single one."""
    parts = [stack.split(".") for stack in stacks]
    if len(parts) < 2:
        return dict.fromkeys(stacks, "")
    parts = [one[_alike(parts) :] for one in parts]
    parts = [one[: len(one) - _alike([other[::-1] for other in parts])] for one in parts]
    first = [".".join(one[:1]) for one in parts]
    alone = len(set(first)) == len(first)
    return dict(zip(stacks, first if alone else map(".".join, parts), strict=True))


def _alike(parts: list[list[str]]) -> int:
    """How many names, from the first on, are the same in all."""
    alike = (len(set(names)) == 1 for names in zip(*parts, strict=False))
    return next((at for at, same in enumerate(alike) if not same), min(map(len, parts)))


def by_layer(norms: Mapping[str, float]) -> dict[str, float]:
    """The Frobenius norm of all that a layer's matrices changed, from {module: norm}: "layer 0", "layer 1", ...; of a
    model with several stacks "decoder layer 0"; what belongs to no layer under its own last name, "embed_tokens"."""
    layers = layers_of(norms)
    outside = sorted((name.rpartition(".")[2], name) for name in norms if name not in layers)
    times = Counter(last for last, _ in outside)
    called = {name: f"{layer.tower} layer {layer.number}".strip() for name, layer in layers.items()}
    called |= {name: last if times[last] == 1 else name for last, name in outside}
    squares = dict.fromkeys(called.values(), 0.0)
    for name, said in called.items():
        squares[said] += norms[name] ** 2
    return {said: math.sqrt(square) for said, square in squares.items()}
