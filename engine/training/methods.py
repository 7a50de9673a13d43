"""How is the model made trainable? A `Method`: a model's name in, a trainable model out. `Full`, `LoRA`, `QLoRA`, or
whatever a `peft.LoraConfig` says.

Their numbers are options of the command line, so torch and PEFT are loaded only when a model is prepared.
"""

import json
from copy import deepcopy
from dataclasses import MISSING, asdict, dataclass, fields
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from engine import patterns
from engine.checks import check_between, check_kinds
from engine.errors import InputError, shown, understood
from engine.training.settings import option

if TYPE_CHECKING:
    from peft import LoraConfig, PeftConfig
    from transformers import PreTrainedModel

Targets = str | list[str]
_WIDEST = 1_000_000  # no matrix is wider
_NAMES = ["x" * 100] * 1000  # as many and as long as the layers of a large model may be called


@runtime_checkable
class Method(Protocol):
    """A frozen dataclass with a name and `prepare`; its fields are recorded in the Run, and are options on the command
    line. What it prepares decides what is saved: PEFT's wrapper an adapter, anything else a model."""

    name: ClassVar[str]

    def prepare(self, source: str | Path, dtype: str = "float32") -> "PreTrainedModel":
        """The model, trainable. dtype: "float32" or "bfloat16", of the base's weights."""
        ...

    def describe(self) -> dict[str, Any]:
        """What run.json says of it; `method_of` makes the method of this again."""
        return {"name": self.name, **asdict(self)}  # type: ignore[call-overload]


@dataclass(frozen=True)
class Full(Method):
    """Every weight is trained. The most capable, and the most memory: weights, gradients, two optimizer moments."""

    name: ClassVar[str] = "full"

    def prepare(self, source: str | Path, dtype: str = "float32") -> "PreTrainedModel":
        """The model, every weight trainable."""
        from engine.models import load_model

        return load_model(source, dtype=dtype)


@dataclass(frozen=True)
class LoRA(Method):
    """W stays frozen; a product of two thin matrices is trained beside it: W' = W + (alpha/r) B A (Hu et al. 2021)."""

    name: ClassVar[str] = "lora"
    r: int = option(8, "rank of B A")
    alpha: int = option(16, "strength; the product is scaled by alpha / r")
    target_modules: Targets = option("all-linear", "names of layers; all-linear: each linear one but the output head")
    dropout: float = option(0.0, "on the input of A")
    rslora: bool = option(False, "scale by alpha / sqrt(r) instead (Kalajdzievski 2023)")

    def __post_init__(self) -> None:
        check_kinds(self, type(self))
        if self.r < 1:
            raise InputError(f"r is {shown(self.r)}; the rank of LoRA must be at least 1")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout is {shown(self.dropout)}; it is a probability, from 0 to below 1")
        check_between("r", self.r, 1, _WIDEST)
        check_between("alpha", self.alpha, 0, 1_000_000)
        targets = self.target_modules if isinstance(self.target_modules, list | tuple) else [self.target_modules]
        if not targets or not all(isinstance(name, str) and name for name in targets):
            raise InputError(f"target_modules is {shown(self.target_modules)}; give names of layers, or 'all-linear'")
        if isinstance(self.target_modules, str):  # PEFT takes it as a regular expression
            patterns.check([self.target_modules], _NAMES, "target_modules")

    def prepare(self, source: str | Path, dtype: str = "float32") -> "PreTrainedModel":
        """The base, frozen, in PEFT's wrapper; A and B in float32. Raises InputError if no layer matches."""
        from engine.models import load_model

        return self._adapt(load_model(source, dtype=dtype))

    def _adapt(self, model: "PreTrainedModel") -> "PreTrainedModel":
        from peft import LoraConfig

        config = LoraConfig(
            r=self.r,
            lora_alpha=self.alpha,
            target_modules=self.target_modules,
            lora_dropout=self.dropout,
            use_rslora=self.rslora,
            task_type="CAUSAL_LM",
        )
        return _wrapped(model, config)


@dataclass(frozen=True)
class QLoRA(LoRA):
    """LoRA over a base kept in four bits (Dettmers et al. 2023): NF4, double quantisation, bfloat16 adapters.

    The base is quantised block by block by bitsandbytes, on the CPU too, and dequantised layer by layer to compute.
    """

    name: ClassVar[str] = "qlora"
    quant_type: str = option("nf4", "nf4 or fp4")
    double_quant: bool = option(True, "quantise the blocks' scales as well")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.quant_type not in ("nf4", "fp4"):
            raise InputError(f"quant_type is {shown(self.quant_type)}; bitsandbytes knows 'nf4' and 'fp4'")

    def prepare(self, source: str | Path, dtype: str = "float32") -> "PreTrainedModel":
        """The base in 4-bit, frozen, with bfloat16 adapters; other weights (embedding, norms) are in `dtype`."""
        import torch

        from engine.models import load_model  # before transformers' bitsandbytes: see engine.quietly

        # isort: split
        from transformers import BitsAndBytesConfig

        half = torch.cuda.is_available() or dtype == "bfloat16"
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=self.quant_type,
            bnb_4bit_use_double_quant=self.double_quant,
            bnb_4bit_compute_dtype=torch.bfloat16 if half else torch.float32,
        )
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = load_model(source, dtype=dtype, quantization_config=config, device_map={"": device})
        for layer in model.modules():
            # On processors with AVX512-BF16 an evaluation would pack W for a kernel that has no gradient, for good.
            if hasattr(layer, "support_avx512bf16_for_cpu"):
                layer.support_avx512bf16_for_cpu = False
        model = self._adapt(model)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.data = parameter.data.to(torch.bfloat16)
        return model


@dataclass(frozen=True)
class FromConfig(Method):
    """LoRA as a `peft.LoraConfig` says, with whatever PEFT offers there (DoRA, PiSSA, ranks by layer, ...)."""

    name: ClassVar[str] = "lora"
    config: "LoraConfig"

    def prepare(self, source: str | Path, dtype: str = "float32") -> "PreTrainedModel":
        """The base, in PEFT's wrapper. Raises InputError if PEFT finds nothing to adapt."""
        from engine.models import load_model

        config = deepcopy(self.config)  # PEFT fills some of it in
        config.task_type = config.task_type or "CAUSAL_LM"
        return _wrapped(load_model(source, dtype=dtype), config)

    def describe(self) -> dict[str, Any]:
        """r, alpha, and what of the config is not PEFT's default. Raises InputError for what JSON cannot hold."""
        usual, given = type(self.config)().to_dict(), self.config.to_dict()
        told = {key: value for key, value in given.items() if value != usual[key] and key != "task_type"}
        told = {key: sorted(value) if isinstance(value, set) else value for key, value in told.items()}
        try:
            json.dumps(told)
        except TypeError as error:
            raise InputError(f"the LoraConfig cannot be recorded ({error}); give it plain values") from None
        return {"name": self.name, "r": self.config.r, "alpha": self.config.lora_alpha, "config": told}


def _wrapped(model: "PreTrainedModel", config: "PeftConfig") -> "PreTrainedModel":
    from engine.models import without_peft_warnings

    # isort: split
    from peft import get_peft_model

    rank = max([config.r, *(config.rank_pattern or {}).values()])
    widest = max((max(weight.shape) for weight in model.parameters() if weight.ndim == 2), default=rank)
    if rank > widest:
        raise InputError(f"r is {rank}, and no matrix of this model is wider than {widest}; give a smaller rank")
    with understood("what LoRA is told", "change its settings"), without_peft_warnings():
        try:
            return get_peft_model(model, config)
        except ValueError as error:
            raise InputError(f"LoRA found nothing to adapt: {error}") from None


METHODS: dict[str, type[Method]] = {method.name: method for method in (Full, LoRA, QLoRA)}


def get_method(method: "str | Method | PeftConfig") -> Method:
    """A method as it is, the one called `method` with its defaults, or the one that a PEFT config describes.

    Raises InputError for an unknown name, and for a config of what cannot be captured.
    """
    if isinstance(method, str):
        return _called(method)()
    if isinstance(method, type):
        raise InputError(f"method is the class {method.__name__}; give one made of it: {method.__name__}(...)")
    if isinstance(method, Method):
        return method
    kind = type(method).__name__
    if not hasattr(method, "peft_type"):
        raise InputError(f"method is {method!r}; give {', '.join(METHODS)}, LoRA(r=16) or a peft.LoraConfig")
    if kind != "LoraConfig":
        raise InputError(f"method is PEFT's {kind}, which cannot be captured yet; give a LoraConfig, or LoRA(r=16)")
    return FromConfig(method)


def method_of(described: dict[str, Any]) -> Method:
    """The method that a Run describes: its "method" of run.json. Raises InputError for one that is not known here."""
    options = dict(described)
    kind = _called(str(options.pop("name", "")))
    if "config" in options:
        from engine import quietly  # noqa: F401

        # isort: split
        from peft import LoraConfig

        with understood("the run's method"):
            config = LoraConfig(**options["config"])
            names = [text for text in (config.target_modules, config.exclude_modules) if isinstance(text, str)]
            for by_name in (config.rank_pattern, config.alpha_pattern):
                names += by_name or {}  # whose keys are regular expressions, too
            patterns.check(names, _NAMES, "the run's method")
            for rank in (config.r, *(config.rank_pattern or {}).values()):
                check_between("r", index(rank), 1, _WIDEST)
            for alpha in (config.lora_alpha, *(config.alpha_pattern or {}).values()):
                check_between("lora_alpha", 0.0 + alpha, 0, 1_000_000)
        return FromConfig(config)
    if unknown := options.keys() - {about.name for about in fields(kind)}:  # type: ignore[arg-type]
        raise InputError(f"{kind.name} has no {shown(min(unknown))}; the run was made by another Glasstune")
    return kind(**options)


def method_options() -> dict[str, tuple[Any, list[str]]]:
    """Every option of any method: its field, and the methods that have it. What has no default is for Python alone."""
    found: dict[str, tuple[Any, list[str]]] = {}
    for name, kind in METHODS.items():
        for about in fields(kind):  # type: ignore[arg-type]
            if about.default is not MISSING:
                found.setdefault(about.name, (about, []))[1].append(name)
    return found


def _called(name: str) -> type[Method]:
    if name not in METHODS:
        raise InputError(f"no method called {name!r}; there are {', '.join(METHODS)}")
    return METHODS[name]
