"""How far did each layer move? From the norms of its matrices."""

import math
import re
from collections.abc import Mapping

_LAYER = re.compile(r"\.(\d+)\.")


def by_layer(norms: Mapping[str, float]) -> dict[str, float]:
    """The Frobenius norm of all that a layer's matrices changed, from {module: norm}: "layer 0", "layer 1", ...; what
    belongs to no layer under its own last name, "embed_tokens"."""
    squares: dict[tuple[int, str], float] = {}
    for module, norm in norms.items():
        found = _LAYER.search(module)
        name = (int(found[1]), f"layer {int(found[1])}") if found else (1 << 30, module.rpartition(".")[2])
        squares[name] = squares.get(name, 0.0) + norm**2
    return {name: math.sqrt(square) for (_, name), square in sorted(squares.items())}
