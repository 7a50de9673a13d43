"""Which weights does training change, and what is each one's delta-W made of? Any model, any of PEFT's methods.

`find_trained` walks a model once and gives a `Part` for every module that is trained: the live tensors to copy at a
captured step, the tensors of the start to compare with, and what run.json says about it. LoRA on a linear layer or an
embedding is kept as factors; any other method's change is computed by PEFT itself (`engine.merging`) and kept whole.
"""

import engine.quietly  # noqa: F401

# isort: split
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property, partial

import torch
from msgspec.structs import replace
from peft.tuners.adalora.layer import AdaLoraLayer
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import ParamWrapper
from peft.tuners.trainable_tokens.layer import TrainableTokensLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.integrations import dequantize_module_weight
from peft.utils.other import ModulesToSaveWrapper
from torch import nn
from torch.distributed.tensor import DTensor
from transformers.pytorch_utils import Conv1D

from engine.errors import InputError
from engine.merging import Merged, base_parameters, find_merged, own_parameters
from engine.recording.names import names_of
from engine.recording.prompts import Prompt, find_prompt
from engine.run.delta import INSIDE_W, PROMPT, factor_names, magnitude_name
from engine.run.info import Adapter, Module

# Variants whose change is s B A like plain LoRA's: they differ in how it is learned.
_PLAIN_VARIANTS = {"VeloraLinearVariant", "MiCALinearVariant", "MiCAEmbeddingVariant"}
_ROUNDED = 1e-10  # of a squared norm: what rounding leaves of a product that is zero
_MERGED_VARIANTS = {"QALoraLinearVariant"}  # whose change is what merging makes it

_OF_INPUT = ("XLORA", "SHADOW", "POLY")  # a gate, or a second model, that reads what is asked


@dataclass
class Part:
    """One module that training changes.

    about: its entry in run.json; "kind" is "lora" (factors), "dora" (factors and magnitude) or "delta" (whole).
    live: tensor of a capture -> the live tensor that it comes from. start: tensor -> how to get its value before
    training. scale: a whole one's delta is this many times the live tensor (lora_bias), where it has no start.
    merged: computes the change, of a method that has no factors, or a prompt's vectors; `live` then says its form
    alone, without values.
    """

    about: Module
    live: dict[str, torch.Tensor]
    start: dict[str, Callable[[], torch.Tensor]] = field(default_factory=dict)
    scale: float = 1.0
    merged: Merged | Prompt | None = None

    @cached_property
    def start_like(self) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Type and shape of each tensor of the start. Getting one may mean dequantising it: so, once."""
        tensors = ((name, get()) for name, get in self.start.items())
        return {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors}


def find_trained(
    model: nn.Module, modules: str | list[str] | None = None, also: Collection[str] = ()
) -> dict[str, Part]:
    """Every module that has gradients, by the base model's names, tied weights once.

    modules: keep only the names that match one of these patterns ("*.q_proj", "model.layers.0.*"). also: modules that
    were trained before, though they may be frozen now. Raises InputError if nothing is trained or nothing matches, or
    for an adapter that cannot be merged.
    """
    found = trained_now(model, also)
    if not found:
        raise InputError(
            "nothing in this model is trainable: no parameter has requires_grad set, so there is nothing to capture"
        )
    return _matching(found, modules)


def trained_now(model: nn.Module, also: Collection[str] = ()) -> dict[str, Part]:
    """The same where nothing may be trained at the moment."""
    begun = _initialisations(model)
    found: dict[str, Part] = {}
    owned: set[int] = set()
    inner: set[int] = set()  # adapters that a method has put under one of its own, and merges with it
    clean = names_of(model)
    first = {id(parameter): clean(path) for path, parameter in model.named_parameters()}
    paths = dict(model.named_parameters(remove_duplicate=False))
    layers = dict(model.named_modules())
    if (prompt := find_prompt(model)) is not None:
        if PROMPT in also or any(p.requires_grad for p in prompt.own):
            _add_prompt(found, prompt)
        owned |= {id(p) for p in prompt.own}
    for path, layer in layers.items():
        if id(layer) in inner:
            continue
        if isinstance(layer, BaseTunerLayer) and _is_computed(layer):
            inner |= {id(module) for module in layer.get_base_layer().modules() if isinstance(module, BaseTunerLayer)}
            own = own_parameters(layer)
            name = clean(path)
            if any(p.requires_grad for p in own) or any(f"{known}.".startswith(f"{name}.") for known in also):
                inside_w = any(begun.get(adapter, "").startswith(INSIDE_W) for adapter in layer.active_adapters)
                _add_computed(found, path, layer, clean, first, inside_w)
            owned |= {id(p) for p in own}
        elif isinstance(layer, LoraLayer):
            adapters = [a for a in layer.active_adapters if a in layer.lora_A or a in layer.lora_embedding_A]
            tensors = {a: _factors(layer, a) for a in adapters}
            name = clean(path)
            if tensors and (name in also or any(t.requires_grad for pair in tensors.values() for t in pair)):
                _check_lora(layer, adapters, path)
                _add_lora(found, name, layer, tensors, first)
                _add_start(found[name], layer, any(begun.get(a, "").startswith(INSIDE_W) for a in adapters))
            owned |= {id(p) for name, p in layer.named_parameters() if name.startswith("lora_")}
        elif isinstance(layer, TrainableTokensLayer):
            if layer.tied_adapter is None:  # a tied one is the same rows again
                _add_tokens(found, clean(path), layer, also)
            owned |= {id(p) for p in layer.trainable_tokens_delta.values()}
    for path, parameter in model.named_parameters():  # tied weights come once
        name = clean(path)
        known = name.removesuffix(".weight") in also and name.removesuffix(".weight") not in found
        if id(parameter) not in owned and (parameter.requires_grad or (known and ".original_module." not in path)):
            _add_whole(found, path, name, parameter, layers, paths)
    _check_tensors(found)
    return found


def _add_prompt(found: dict[str, Part], prompt: Prompt) -> None:
    """Its vectors, whose change is how far they moved from where they began."""
    about = Module(kind="delta", shape=prompt.stored, parameter=PROMPT, base_parameter=PROMPT)
    form = {PROMPT: torch.empty(prompt.stored, device="meta")}
    found[PROMPT] = Part(about, form, {PROMPT: prompt}, merged=prompt)


def _is_computed(layer: BaseTunerLayer) -> bool:
    """Whether a layer's change is no B A (and no rows of an embedding) that could be read off its tensors."""
    if isinstance(layer, TrainableTokensLayer):
        return False
    if not isinstance(layer, LoraLayer) or isinstance(layer, AdaLoraLayer | ParamWrapper):
        return True
    if isinstance(layer.get_base_layer(), nn.modules.conv._ConvNd | nn.MultiheadAttention):
        return True
    return any(type(layer.lora_variant.get(adapter)).__name__ in _MERGED_VARIANTS for adapter in layer.active_adapters)


def _add_computed(
    found: dict[str, Part],
    path: str,
    layer: BaseTunerLayer,
    clean: Callable[[str], str],
    first: dict[int, str],
    inside_w: bool,
) -> None:
    """inside_w: the initialisation took its own product out of W, so that the change is measured from it."""
    if getattr(layer, "merged", False):
        raise InputError(f"the adapter of {path} is merged into W; take it out (unmerge_adapter) before capturing")
    for inside, change in find_merged(layer, path).items():
        name, weight = clean(f"{path}.base_layer.{inside}"), base_parameters(layer)[inside]
        module = name.removesuffix(".weight")
        if module in found:
            raise InputError(f"{module} is adapted twice, and capture follows one adapter of it; activate that alone")
        about = Module(kind="delta", shape=change.shape, parameter=name, base_parameter=first.get(id(weight), name),
                       transposed=change.transposed)  # fmt: skip
        form = {name: torch.empty(change.stored, device="meta")}
        found[module] = Part(about, form, {name: change} if inside_w else {}, merged=change)


def matching(found: dict[str, Part], modules: str | list[str] | None) -> dict[str, Part]:
    """Those whose name matches one of the patterns; None is all."""
    patterns = ["*"] if modules is None else [modules] if isinstance(modules, str) else list(modules)
    return {name: part for name, part in found.items() if any(fnmatchcase(name, pattern) for pattern in patterns)}


def _matching(found: dict[str, Part], modules: str | list[str] | None) -> dict[str, Part]:
    if modules is None:
        return found
    patterns = [modules] if isinstance(modules, str) else list(modules)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in found):
            raise InputError(
                f"modules={pattern!r} matches nothing that is trained; there are, for example: "
                f"{', '.join(list(found)[:4])}"
            )
    return matching(found, patterns)


def _factors(layer: LoraLayer, adapter: str) -> tuple[torch.Tensor, torch.Tensor]:
    if adapter in layer.lora_embedding_A:
        return layer.lora_embedding_A[adapter], layer.lora_embedding_B[adapter]
    return layer.lora_A[adapter].weight, layer.lora_B[adapter].weight


def _add_lora(
    found: dict[str, Part],
    name: str,
    layer: LoraLayer,
    tensors: dict[str, tuple[torch.Tensor, torch.Tensor]],
    first: dict[int, str],
) -> None:
    base = layer.get_base_layer()
    embedding = isinstance(base, nn.Embedding)
    (a, b), *others = tensors.values()
    adapter = next(iter(tensors))
    several = {each: Adapter(float(layer.scaling[each]), pair[0].shape[0]) for each, pair in tensors.items()}
    rescaled = adapter in getattr(layer, "lora_magnitude_vector", ())
    about = Module(
        kind="dora" if rescaled else "lora",
        shape=(a.shape[1], b.shape[0]) if embedding else (b.shape[0], a.shape[1]),
        r=a.shape[0] + sum(more.shape[0] for more, _ in others),
        scaling=1.0 if others else float(layer.scaling[adapter]),
        base_parameter=first.get(id(getattr(base, "weight", None)), f"{name}.weight"),
        transposed=bool(getattr(layer, "fan_in_fan_out", False)) and not embedding,
        embedding=embedding,
        adapters=several if others else None,
        magnitude=rescaled,
    )
    part = Part(about, {})
    for (name_a, name_b), pair in zip(factor_names(name, about).values(), tensors.values(), strict=True):
        part.live |= {name_a: pair[0], name_b: pair[1]}
    if rescaled:
        part.live[magnitude_name(name)] = layer.lora_magnitude_vector[adapter].weight
    found[name] = part
    if getattr(layer, "lora_bias", {}).get(adapter):
        bias = layer.lora_B[adapter].bias
        key = f"{name}.bias"
        whole = Module(kind="delta", shape=tuple(bias.shape), parameter=key, base_parameter=key)
        found[key] = Part(whole, {key: bias}, scale=float(layer.scaling[adapter]))


def _add_start(part: Part, layer: LoraLayer, inside_w: bool) -> None:
    """What the change is measured from: for DoRA the W that it rescales, for PiSSA and its like B0 and A0."""
    if inside_w:
        part.about = replace(part.about, from_start=True)
        part.start = {name: partial(_itself, tensor) for name, tensor in part.live.items()}
    if part.about.kind == "dora":
        part.start[part.about.in_base] = lambda: dequantize_module_weight(layer.get_base_layer())


def changes_already(module: str, part: Part) -> bool:
    """Whether an adapter changes W already before training: after an earlier training, or a start at random. Of one
    whose initialisation took its own product out of W, and of a prompt, the change is measured from that."""
    if part.about.from_start:
        return False
    if part.merged is not None:
        return not part.start and bool(part.merged().any())
    if part.about.kind == "delta":
        return False
    pairs = factor_names(module, part.about).values()
    return any(_is_product(part.live[b], part.live[a]) for a, b in pairs)


def _is_product(b: torch.Tensor, a: torch.Tensor) -> bool:
    """Whether B A is not zero."""
    b, a = ((each.to_local() if isinstance(each, DTensor) else each).detach() for each in (b, a))
    if not b.any():
        return False
    if min(a.ndim, b.ndim) < 2:
        return True
    # PEFT's "orthogonal" start: B A is zero but for rounding, and neither B nor A is.
    b, a = b.flatten(1).double(), a.flatten(1).double()
    if b.shape[1] != len(a):  # parts of a sharded one: by B alone
        return True
    return bool(((b.T @ b) * (a @ a.T)).sum() > _ROUNDED * b.square().sum() * a.square().sum())


def _itself(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def _add_tokens(found: dict[str, Part], name: str, layer: TrainableTokensLayer, also: Collection[str]) -> None:
    """trainable_token_indices: new values for some rows of an embedding, the others are as they were."""
    for adapter in layer.active_adapters:
        values = layer.trainable_tokens_delta.get(adapter)
        if values is None or not (values.requires_grad or name in also):
            continue
        if name in found:
            raise InputError(f"{name} has several adapters with trained tokens at once; activate one of them")
        parameter = f"{name}.weight"
        about = Module(
            kind="delta",
            shape=tuple(layer.get_base_layer().weight.shape),
            parameter=parameter,
            base_parameter=parameter,
            rows=tuple(int(index) for index in layer.token_indices[adapter]),
        )
        found[name] = Part(
            about, {parameter: values}, {parameter: partial(_itself, layer.trainable_tokens_original[adapter])}
        )


def _add_whole(
    found: dict[str, Part],
    path: str,
    name: str,
    parameter: nn.Parameter,
    layers: dict[str, nn.Module],
    paths: dict[str, nn.Parameter],
) -> None:
    wrapper, _, inside = path.partition(".modules_to_save.")
    before: torch.Tensor = parameter
    if inside:  # PEFT trains a copy, and keeps the original beside it
        adapter, _, rest = inside.partition(".")
        owner_of_copies = layers[wrapper]
        if isinstance(owner_of_copies, ModulesToSaveWrapper) and adapter not in owner_of_copies.active_adapters:
            return
        before = paths.get(f"{wrapper}.original_module.{rest}", parameter)
    module = name.removesuffix(".weight")
    if module in found:
        raise InputError(
            f"{module} is trained in two ways at once (its own weight and an adapter, or two adapters' copies), and "
            "capture follows one; freeze the other"
        )
    owner, _, leaf = path.rpartition(".")
    transposed = isinstance(layers[owner], Conv1D) and leaf == "weight"  # GPT-2 stores (in, out)
    shape = tuple(reversed(parameter.shape)) if transposed else tuple(parameter.shape)
    about = Module(kind="delta", shape=shape, parameter=name, base_parameter=name, transposed=transposed)
    found[module] = Part(about, {name: parameter}, {name: partial(_itself, before)})


def _initialisations(model: nn.Module) -> dict[str, str]:
    """How each adapter of PEFT's was initialised, which its layers do not tell. Refuses what has no delta-W."""
    begun = {}
    for module in model.modules():
        if type(module).__name__ == "FullyShardedDataParallel":
            raise InputError("the model is wrapped by FSDP 1, which flattens its weights; set fsdp_version to 2")
        for adapter, config in getattr(module, "peft_config", {}).items():
            if config.peft_type in _OF_INPUT:
                raise InputError(
                    f"adapter {adapter!r} is {config.peft_type}, whose effect depends on the text, so there is no one "
                    "delta-W to capture"
                )
            begun[adapter] = str(getattr(config, "init_lora_weights", True)).lower()
    return begun


def _check_lora(layer: LoraLayer, adapters: list[str], path: str) -> None:
    for adapter in adapters:
        variant = type(layer.lora_variant.get(adapter)).__name__
        if "Dora" in variant:
            if len(adapters) > 1:
                raise InputError(f"{path} has DoRA among several active adapters; capture follows DoRA alone")
        elif variant not in {"NoneType", *_PLAIN_VARIANTS}:
            raise InputError(
                f"{path} uses LoRA's variant {variant.removesuffix('Variant')}, whose change is no fixed B A; "
                "capture knows plain, rank-stabilised, QA-LoRA and DoRA"
            )
        if getattr(layer, "lora_bias", {}).get(adapter) and len(adapters) > 1:
            raise InputError(f"{path} has lora_bias among several active adapters; capture follows one with it")


def _check_tensors(found: dict[str, Part]) -> None:
    for name, part in found.items():
        own = part.live.values() if part.merged is None else (p for p in part.merged.own if p.requires_grad)
        for tensor in own:
            if hasattr(tensor, "ds_id"):
                raise InputError(f"{name} is sharded by DeepSpeed ZeRO-3, which capture cannot gather; use FSDP2")
            if tensor.device.type == "meta":
                raise InputError(f"{name} has no values yet (device 'meta'); load the model before capturing it")
            if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
                raise InputError(f"{name} is trained in {tensor.dtype}; capture knows float32, float16 and bfloat16")
