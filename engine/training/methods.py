"""How is the model made trainable? `Full`, `LoRA` or `QLoRA`: a model's name in, a trainable model out."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from peft import LoraConfig, get_peft_model
from transformers import BitsAndBytesConfig, PreTrainedModel

from engine.errors import InputError
from engine.models import load_model, without_peft_warnings

Targets = str | list[str]


@dataclass(frozen=True)
class Full:
    """Every weight is trained. The most capable, and the most memory: weights, gradients, two optimizer moments."""

    name: ClassVar[str] = "full"

    def prepare(self, source: str | Path) -> PreTrainedModel:
        """The model in float32, every weight trainable."""
        return load_model(source)

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}


@dataclass(frozen=True)
class LoRA(Full):
    """W stays frozen; a product of two thin matrices is trained beside it: W' = W + (alpha/r) B A (Hu et al. 2021).

    r: rank of B A. alpha: strength; the product is scaled by alpha / r. dropout: on the input of A.
    target_modules: names of layers, or "all-linear": every linear layer but the output head.
    rslora: scale by alpha / sqrt(r) instead (Kalajdzievski 2023).
    """

    name: ClassVar[str] = "lora"
    r: int = 8
    alpha: int = 16
    target_modules: Targets = "all-linear"
    dropout: float = 0.0
    rslora: bool = False

    def __post_init__(self) -> None:
        if self.r < 1:
            raise InputError(f"r is {self.r}; the rank of LoRA must be at least 1")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout is {self.dropout}; it is a probability, from 0 to below 1")

    def prepare(self, source: str | Path) -> PreTrainedModel:
        """The base, frozen, in PEFT's wrapper. Raises InputError if no layer matches `target_modules`."""
        return self._adapt(load_model(source))

    def _adapt(self, model: PreTrainedModel, **options: Any) -> PreTrainedModel:
        config = LoraConfig(
            r=self.r,
            lora_alpha=self.alpha,
            target_modules=self.target_modules,
            lora_dropout=self.dropout,
            use_rslora=self.rslora,
            task_type="CAUSAL_LM",
        )
        try:
            with without_peft_warnings():
                return get_peft_model(model, config, **options)
        except ValueError as error:
            raise InputError(f"LoRA found nothing to adapt: {error}") from None


@dataclass(frozen=True)
class QLoRA(LoRA):
    """LoRA over a base kept in four bits (Dettmers et al. 2023): NF4, double quantisation, bfloat16 adapters.

    The base is quantised block by block by bitsandbytes, on the CPU too, and dequantised layer by layer to compute.
    quant_type: "nf4" or "fp4". double_quant: quantise the blocks' scales as well.
    """

    name: ClassVar[str] = "qlora"
    quant_type: str = "nf4"
    double_quant: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.quant_type not in ("nf4", "fp4"):
            raise InputError(f"quant_type is {self.quant_type!r}; bitsandbytes knows 'nf4' and 'fp4'")

    def prepare(self, source: str | Path) -> PreTrainedModel:
        """The base in 4-bit, frozen, with bfloat16 adapters; other weights (embedding, norms) stay float32."""
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=self.quant_type,
            bnb_4bit_use_double_quant=self.double_quant,
            bnb_4bit_compute_dtype=torch.bfloat16 if torch.cuda.is_available() else torch.float32,
        )
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = load_model(source, quantization_config=config, device_map={"": device})
        for layer in model.modules():
            # On processors with AVX512-BF16 an evaluation would pack W for a kernel that has no gradient, for good.
            if hasattr(layer, "support_avx512bf16_for_cpu"):
                layer.support_avx512bf16_for_cpu = False
        model = self._adapt(model)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.data = parameter.data.to(torch.bfloat16)
        return model


METHODS: dict[str, type[Full]] = {method.name: method for method in (Full, LoRA, QLoRA)}


def get_method(method: str | Full) -> Full:
    """A method, or the one called `method` with its defaults. Raises InputError for an unknown name."""
    if isinstance(method, Full):
        return method
    if method not in METHODS:
        raise InputError(f"no method called {method!r}; there are {', '.join(METHODS)}")
    return METHODS[method]()
