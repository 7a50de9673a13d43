"""Has an adapter its place in a base? Only a factor that contradicts a matrix there says that it is another one.

What a base merely lacks has reasons: a head is new, the vocabulary was resized, a head is tied, the weights are packed.
"""

import math

from msgspec.structs import replace

from engine.run.adapters import changes
from engine.run.adapters.adapter import Adapter
from engine.run.info import Module
from engine.run.pairing import find_name, is_embedding, is_head, plain
from engine.run.tensors import Tensors, is_conv1d

NEW = "new: the base has no such parameter, so it is all change"
UNKNOWN = "no parameter of that name is in the base"


def fit(adapter: Adapter, base: Tensors) -> None:
    """Give every module its name and form in the base, and say what contradicts it or is lacking there."""
    for name, about in list(adapter.modules.items()):
        adapter.modules[name] = _in_base(name, about, adapter, base)
    if adapter.method == "ia3":
        _add_scaled_biases(adapter, base)
    foreign = dict.fromkeys(adapter.foreign)
    for name, about in adapter.modules.items():
        parameter = about.parameter or ""
        strayed = about.fits == "" and parameter != about.in_base
        if strayed and _twice(parameter, about.in_base):  # DDP's, not its own, or one wrapper's too many
            foreign |= dict.fromkeys(adapter.changes[name].parts)
    adapter.foreign = list(foreign)


def _twice(parameter: str, in_base: str) -> bool:
    """Whether a name is the base's own with `module.` or its own first part once more before it, where PEFT does not
    find it; other prefixes may be a class's that the model was loaded as."""
    before = parameter.removesuffix(f".{in_base}").split(".")
    return parameter.endswith(f".{in_base}") and (before == ["module"] or before[-1] == in_base.split(".")[0])


def _in_base(name: str, about: Module, adapter: Adapter, base: Tensors) -> Module:
    parameter = _fused(about.in_base, base) or find_name(about.in_base, base)
    if parameter is None and name in adapter.loaded:
        return replace(about, fits="")  # a library gives its tensors other names than its files do
    if parameter is None:
        return replace(about, lacks=_lacking(about, adapter, base))
    about = replace(about, base_parameter=parameter)
    if about.kind != "delta" and not about.embedding and not about.is_stack and len(about.shape) == 2:
        about = replace(
            about, transposed=is_conv1d(parameter, base)
        )  # PEFT goes by the layer, whatever its settings say
    shape, change = base.shape(parameter), adapter.changes[name]
    if about.kind == "delta" and len(change.parts) == 1 and not change.partial and is_conv1d(parameter, base):
        about = replace(about, transposed=True, shape=about.shape[::-1])
        adapter.changes[name] = changes.saved(change.parts[0], transposed=True)
    if len(shape) == 3 and len(about.shape) == 3 and shape != about.shape and shape == _turned(about.shape):
        about = replace(about, transposed=True)  # (experts, in, out), as GPT-OSS keeps them
    stored = _turned(about.shape) if about.transposed else about.shape
    if 0 in shape:
        return replace(about, lacks="empty in the base, as DeepSpeed ZeRO-3 saves what was not gathered")
    if change.partial:
        return _completed(about, shape)
    if shape == stored:
        return replace(about, fits="")
    if adapter.method in ("loha", "lokr") and len(shape) > 2 and (shape[0], math.prod(shape[1:])) == stored:
        adapter.changes[name] = changes.shaped(change, shape)  # made as a matrix, as PEFT makes it
        return replace(about, shape=shape, fits="")
    if (is_embedding(parameter) or is_head(parameter)) and len(shape) == len(stored) == 2 and shape[1] == stored[1]:
        return replace(about, lacks=f"resized: the base has {shape[0]:,} rows of it, and the adapter {stored[0]:,}")
    return replace(about, fits=f"{parameter} is {shape} in the base and {stored} in the adapter")


def _completed(about: Module, shape: tuple[int, ...]) -> Module:
    """Of a change whose tensors do not tell the whole shape: what they do tell has to agree."""
    whole = _turned(shape) if about.transposed else shape
    if about.rows is not None:
        if about.shape[1] != shape[1]:
            return replace(
                about, fits=f"{about.in_base} is {shape} in the base, and the rows are {about.shape[1]} wide"
            )
        if about.shape[0] > shape[0]:
            return replace(
                about, lacks=f"resized: the base has {shape[0]:,} rows of it, and row {about.shape[0] - 1} is trained"
            )
    elif any(part not in (1, size) and not (about.r and part >= size)
             for part, size in zip(about.shape, whole, strict=len(about.shape) == len(whole))):  # fmt: skip
        return replace(
            about, fits=f"{about.in_base} is {shape} in the base, and the adapter's tensors are for {about.shape}"
        )
    return replace(about, shape=whole, fits="")


def _turned(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:-2], *shape[:-3:-1])


def _fused(parameter: str, base: Tensors) -> str | None:
    """Attention in one: `attn.weight` of an nn.MultiheadAttention is `attn.in_proj_weight`."""
    name = f"{parameter.removesuffix('.weight')}.in_proj_weight"
    return name if parameter not in base and name in base else None


def _lacking(about: Module, adapter: Adapter, base: Tensors) -> str:
    refused = {plain(name).split(".", 1)[-1]: method for name, method in base.refused.items()}
    module = plain(about.in_base)
    if method := base.refused.get(about.in_base) or refused.get(module.split(".", 1)[-1]):
        return f"packed by {method} in the base, which is not read"
    if about.is_stack and any(name.startswith(f"{module.rpartition('.')[0]}.0.") for name in base.entries):
        return "kept expert by expert in the base, not as one stack"
    return NEW if about.kind == "delta" and len(adapter.changes[_key(about)].parts) == 1 else UNKNOWN


def _key(about: Module) -> str:
    return (about.parameter or "").removesuffix(".weight")


def _add_scaled_biases(adapter: Adapter, base: Tensors) -> None:
    """IA3 scales what a layer gives out, its bias too."""
    for name, about in list(adapter.modules.items()):
        bias = find_name(f"{about.in_base.removesuffix('weight')}bias", base) if about.fits == "" else None
        scale = adapter.changes[name].parts[0]
        if bias is not None and bias in base and adapter.tensors.shape(scale)[-1] == 1:
            key = f"{name}.bias"
            shape = base.shape(bias)
            adapter.modules[key] = Module(kind="delta", shape=shape, parameter=key, base_parameter=bias, fits="")
            adapter.changes[key] = changes.ia3(scale)
