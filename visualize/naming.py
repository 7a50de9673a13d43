"""What is a matrix called? Its layer, its kind within the layer, and its name in a title, for plots and films alike."""

import re
from collections.abc import Iterable, Sequence

from engine.language.speaking import tr
from engine.measure.layers import Layer

_LAYER = re.compile(r"\.(\d+)\.(.+)$")
_PROPER = re.compile(r"\b(?:spanish|french|json)\b")
_FORWARD = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def layer_of(module: str) -> int | None:
    """The number of the layer that a matrix belongs to: the first number in its name; None if it has none."""
    found = _LAYER.search(module)
    return int(found[1]) if found else None


def layer_name(layer: Layer) -> str:
    """ "layer 3"; where a model has several stacks of layers, "vision_tower layer 3"."""
    said = tr("layer {number}", number=layer.number)
    return f"{layer.tower} {said}" if layer.tower else said


def proper(text: str) -> str:
    """A name of ours as it is written in a sentence: "spanish, full" -> "Spanish, full"; "json" -> "JSON"."""
    return _PROPER.sub(lambda found: "JSON" if found[0] == "json" else found[0].capitalize(), text)


def titled(text: str) -> str:
    """The same at the beginning of a line: "pirate" -> "Pirate"; "json" -> "JSON"."""
    return proper(text)[:1].upper() + proper(text)[1:]


def percent(share: float, digits: int = 0) -> str:
    """A share as films and plots write it: 0.05 is "5 %"; "0 %" and "100 %" only where it is none and all."""
    least, text = 10.0**-digits, f"{100 * share:.{digits}f}"
    if share > 0 and float(text) == 0:
        return f"< {least:.{digits}f} %"
    if share < 1 and float(text) == 100:
        return f"> {100 - least:.{digits}f} %"
    return f"{text} %"


def short(module: str) -> str:
    """`model.layers.0.self_attn.q_proj` -> `layer 0 q_proj`; `transformer.h.0.mlp.c_fc` -> `layer 0 mlp.c_fc`."""
    if found := _LAYER.search(module):
        inside = found[2].split(".")
        kind = inside[-1] if ".layers." in module else found[2]
        return f"{tr('layer {number}', number=found[1])} {kind}"
    return module.split(".")[-1] if module.startswith(("model.", "transformer.")) else module


def kinds_of(modules: Sequence[str]) -> dict[str, str]:
    """What each matrix is within its layer, as short as can be told apart: "q_proj"; GPT-2's "attn.c_proj"."""
    inner = {name: found[2] if (found := _LAYER.search(name)) else name for name in modules}
    kinds = set(inner.values())
    last = {kind: kind.split(".")[-1] for kind in kinds}
    alone = [kind for kind in kinds if list(last.values()).count(last[kind]) == 1]
    return {name: last[kind] if kind in alone else kind for name, kind in inner.items()}


def in_forward_order(kinds: Iterable[str]) -> list[str]:
    """Kinds of matrices as a layer uses them, whatever order a file has; those of other architectures stay as given."""
    return sorted(kinds, key=lambda kind: _FORWARD.index(kind) if kind in _FORWARD else len(_FORWARD))
