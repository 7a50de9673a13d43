"""Where does the gradient go in a LoRA or QLoRA layer? Through the frozen W, and into A and B: measured, at any step.

A layer computes y = W x + s B A x. The loss's gradient arrives at y; what W's transpose makes of it goes on to the
layers below; W itself gets none, only A and B do (Hu et al. 2021, section 4.1; Dettmers et al. 2023, equation 5).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.data import collate, encode
from engine.errors import InputError
from engine.evaluate.sides import tokenizer_of
from engine.evaluate.weights import adapt
from engine.messages import Message
from engine.offline import offline
from engine.run.run import Run
from engine.training.methods import method_of


class Gradients(NamedTuple):
    """Gradients of the mean loss of one conversation's learned tokens, in nats per unit of what they belong to.

    arriving: (out, tokens), at what the layer gives. passed: (in, tokens), what W sends on to the layers below.
    A: (r, in). B: (out, r). frozen: whether W was left without a gradient. bits: in which W is kept, 4 or 32.
    """

    arriving: np.ndarray
    passed: np.ndarray
    A: np.ndarray
    B: np.ndarray
    frozen: bool
    bits: int


def layer_gradients(run: Run, module: str, conversation: Sequence[Message], step: int | None = None) -> Gradients:
    """One backward pass of the model as it was at a captured step (default: the last), seen from one adapted layer.

    The base is prepared as the run's method prepares it: for QLoRA quantised by bitsandbytes. Raises InputError for a
    run that is not one of our LoRA or QLoRA runs, or a step or module that was not captured.
    """
    if run.method not in ("lora", "qlora"):
        raise InputError(f"run {run.name} is {run.method}; gradients of a layer are measured for lora and qlora")
    with offline():
        model: Any = method_of(run.info.method.to_json()).prepare(run.base)
    layers = adapt(model, run, step)
    run.factors(module, step)  # names a module that is none
    layer, seen = layers[module], dict[str, Any]()
    base = layer.get_base_layer()

    def keep(_: Any, passed: tuple, arriving: tuple) -> None:
        seen.update(passed=passed[0], arriving=arriving[0])

    # The first layer's input needs no gradient of its own, as nothing is trained below it; it is asked for here.
    model.enable_input_require_grads()
    base.register_full_backward_hook(keep)
    tokenizer = tokenizer_of(run)
    model.train()(**{
        name: values.to(model.device) for name, values in
        collate([encode(tokenizer, list(conversation))], tokenizer.pad_token_id).items()
    }).loss.backward()  # fmt: skip
    (adapter,) = layer.active_adapters
    tensors = {
        "arriving": seen["arriving"][0].T, "passed": seen["passed"][0].T,
        "A": layer.lora_A[adapter].weight.grad, "B": layer.lora_B[adapter].weight.grad,
    }  # fmt: skip
    return Gradients(
        **{name: tensor.float().cpu().numpy() for name, tensor in tensors.items()},
        frozen=base.weight.grad is None and not base.weight.requires_grad,
        bits=4 if getattr(base.weight, "quant_state", None) is not None else 8 * base.weight.element_size(),
    )
