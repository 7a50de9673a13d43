"""Does anything move? Two real optimizer steps on real batches, after which everything is as it was before.

Two, because LoRA's B begins at zero: at the first step only B has a gradient, at the second A has one, too.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import Trainer

from engine.inspect.finding import Finding
from engine.models import kept_trainable
from engine.preflight.rows import Row
from engine.recording.schedule import readable

_RATE = 1e-3  # of the two steps; large enough for B to leave zero, and nothing of it stays


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Weights, buffers, modes, gradients and random states are afterwards what they were, to the bit."""
    trained = [(p, p.detach().clone()) for p in model.parameters() if p.requires_grad]
    buffers = [(b, b.detach().clone()) for b in model.buffers()]
    gradients = [(p, p.grad) for p in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, before in (*trained, *buffers):
                tensor.copy_(before)
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for module, training in modes:
            module.training = training
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


def about_steps(trainer: Trainer, batches: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """What two steps show: losses, and the parameters that never got a gradient. To be called inside `untouched`."""
    model = trainer.model
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not named:
        return [Finding("fault", "nothing is trainable: no parameter has requires_grad set", _NOTHING)]
    for parameter in named.values():
        parameter.grad = None
    optimizer = torch.optim.AdamW(named.values(), lr=_RATE, weight_decay=0.0)
    reached: set[str] = set()
    losses = []
    model.train()
    for batch in (batches[0], batches[-1]):
        inputs = trainer._prepare_inputs(dict(batch))
        with trainer.compute_loss_context_manager():
            loss = trainer.compute_loss(model, inputs)
        losses.append(float(loss.detach()))
        if not loss.requires_grad:
            return [Finding("fault", "the loss depends on no trainable parameter, so nothing can be learned", _CUT_OFF)]
        loss.backward()
        reached |= {name for name, p in named.items() if p.grad is not None and bool((p.grad != 0).any())}
        optimizer.step()
        optimizer.zero_grad()
    return [*_about_losses(losses, _vocabulary(model)), *_about_gradients(list(named), reached)]


def _vocabulary(model: Any) -> int:
    return int(model.get_input_embeddings().weight.shape[0])


def _about_losses(losses: list[float], vocabulary: int) -> list[Finding]:
    first, even = losses[0], math.log(vocabulary)
    if not all(map(math.isfinite, losses)):
        return [Finding("fault", f"the loss is no number in two steps: {losses[0]:.3g}, {losses[1]:.3g}", _BROKEN)]
    if first == 0:
        return [Finding("fault", "the loss of the first batch is exactly 0: no token is learned", _BROKEN)]
    if first > even:
        said = f"the first loss is {first:.3g} nats a token, above that of an even guess ({even:.3g})"
        return [Finding("doubt", said, _SURPRISED)]
    return [Finding("fine", f"the first loss is {first:.3g} nats a token (an even guess: {even:.3g})")]


def _about_gradients(names: list[str], reached: set[str]) -> list[Finding]:
    never = [name for name in names if name not in reached]
    if not never:
        return [Finding("fine", f"all {len(names)} trainable tensors get a gradient within two steps")]
    if len(never) == len(names):
        return [Finding("fault", f"none of {len(names)} trainable tensors gets a gradient in two steps", _CUT_OFF)]
    some = f"{never[0]}{f' and {len(never) - 1} more' if len(never) > 1 else ''}"
    return [Finding("fault", f"{len(never)} of {len(names)} trainable tensors never get a gradient: {some}", _UNUSED)]


def about_memory(model: nn.Module) -> list[Finding]:
    """What weights, gradients and Adam's moments take; of activations nothing is known before they are there."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    trained = [p for p in model.parameters() if p.requires_grad]
    gradients = sum(p.numel() * p.element_size() for p in trained)
    moments = 2 * gradients
    said = (
        f"weights {readable(weights)}, gradients {readable(gradients)}, Adam's two moments {readable(moments)}: "
        f"{readable(weights + gradients + moments)}, and the activations of a batch besides"
    )
    return [Finding("fine", said)]


def about_packing(model: Any, rows: Sequence[Row], begin: int | None) -> list[Finding]:
    """Can one conversation see another that shares its row? Tried: the first is changed, and the second listened to.

    Where a conversation begins is told by positions that start anew, or by the beginning-of-text token.
    """
    for row in rows:
        starts = [place for place in range(1, len(row.ids)) if _begins(row, place, begin)]
        if starts:
            return [_tried(model, row, starts[0])]
    return []


def _begins(row: Row, place: int, begin: int | None) -> bool:
    if row.positions is not None:
        return row.positions[place] == 0
    return begin is not None and row.ids[place] == begin and row.ids[place - 1] != begin


@torch.no_grad()
def _tried(model: Any, row: Row, start: int) -> Finding:
    model.eval()
    size = _vocabulary(model)
    device = model.get_input_embeddings().weight.device
    same = torch.tensor([row.ids], device=device)
    changed = same.clone()
    changed[0, 1:start] = (changed[0, 1:start] + 1) % size
    extra = {} if row.positions is None else {"position_ids": torch.tensor([row.positions], device=device)}
    with kept_trainable(model):
        heard = [model(input_ids=ids, use_cache=False, **extra).logits[0, start:].float() for ids in (same, changed)]
    away = float((heard[0] - heard[1]).abs().max())
    if away > 1e-3 * float(heard[0].abs().max()):
        said = "conversations that share a row see each other: changing the first changes what is said to the second"
        return Finding("fault", said, _PACKED)
    return Finding("fine", "conversations that share a row do not see each other (tried on one)")


_NOTHING = "call get_peft_model, or set requires_grad_(True) on what should be trained, before making the Trainer"
_CUT_OFF = (
    "with gradient checkpointing over a frozen model call model.enable_input_require_grads(), or use_reentrant=False; "
    "see that no layer runs under torch.no_grad()"
)
_UNUSED = "see that these layers are used in the forward pass, and are not behind a detach() or a frozen router"
_BROKEN = "look at the labels of the batch above, and at the model's number format: bf16 instead of fp16"
_SURPRISED = "the text is foreign to the model: see that the chat template is its own, and that labels are not shifted"
_PACKED = "use a packing that keeps them apart (position_ids from 0, with sdpa or flash attention), or no packing"
