"""Does anything move? Two real optimizer steps on real batches, after which everything is as it was before.

Two, because LoRA's B begins at zero: at the first step only B has a gradient, at the second A has one, too.
"""

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import Trainer

from engine.inspect.finding import Finding
from engine.models import kept_modes, kept_trainable
from engine.preflight.rows import conversations
from engine.recording.schedule import readable

_RATE = 1e-3  # of the two steps; large enough for B to leave zero, and nothing of it stays
_ADAM = ("adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw_apex_fused")
# What of a batch says who sees whom.
_OF_ATTENTION = (
    "attention_mask", "position_ids", "token_type_ids", "seq_idx", "cu_seq_lens_q", "cu_seq_lens_k", "max_length_q",
    "max_length_k",
)  # fmt: skip


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Weights, buffers, modes, gradients and random states are afterwards what they were, to the bit."""
    trained = [(p, p.detach().clone()) for p in model.parameters() if p.requires_grad]
    buffers = [(b, b.detach().clone()) for b in model.buffers()]
    gradients = [(p, p.grad) for p in model.parameters()]
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        with kept_modes(model):
            yield
    finally:
        with torch.no_grad():
            for tensor, before in (*trained, *buffers):
                tensor.copy_(before)
        for parameter, gradient in gradients:
            parameter.grad = gradient
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
    return [*_about_losses(losses, vocabulary(model)), *_about_gradients(list(named), reached)]


def vocabulary(model: Any) -> int | None:
    """How many tokens its embedding has rows for; None of a model that does not say which that is."""
    embedding = _embedding(model)
    return None if embedding is None else len(embedding)


def _embedding(model: Any) -> torch.Tensor | None:
    try:
        found = model.get_input_embeddings().weight
    except Exception:  # a stranger's model may raise anything
        return None
    return found if isinstance(found, torch.Tensor) else None


def _about_losses(losses: list[float], tokens: int | None) -> list[Finding]:
    """tokens: in the vocabulary, where that is known."""
    first = losses[0]
    if not all(map(math.isfinite, losses)):
        return [Finding("fault", f"the loss is no number in two steps: {losses[0]:.3g}, {losses[1]:.3g}", _BROKEN)]
    if first == 0:
        return [Finding("fault", "the loss of the first batch is exactly 0: no token is learned", _BROKEN)]
    if tokens is None:
        return [Finding("fine", f"the first loss is {first:.3g} nats a token")]
    even = math.log(tokens)
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


def about_memory(model: nn.Module, optim: str) -> list[Finding]:
    """What weights, gradients and Adam's moments take; of other optimizers, and of activations, nothing is known before
    they are there. optim: the Trainer's name for its optimizer."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    gradients = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    said = f"weights {readable(weights)}, gradients {readable(gradients)}, "
    if optim in _ADAM:
        moments = 2 * gradients
        said += f"Adam's two moments {readable(moments)}: {readable(weights + gradients + moments)}"
        return [Finding("fine", f"{said}, and the activations of a batch besides")]
    said += f"{readable(weights + gradients)} together"
    return [Finding("fine", f"{said}, and what {optim} keeps and the activations of a batch besides")]


def about_packing(model: Any, batches: Iterable[Mapping[str, Any]], begin: int | None) -> list[Finding]:
    """Can one conversation see another that shares its row? Tried: the first is changed, and the second listened to,
    with the very masks and positions that the collator gives.

    begin: the token that begins a text, if the collator does not say where one does. Nothing is found where no row
    holds two.
    """
    for batch in batches:
        for at, (first, *others) in enumerate(conversations(batch, begin)):
            if others:
                return [_tried(model, batch, at, first, others[0])]
    return []


@torch.no_grad()
def _tried(model: Any, batch: Mapping[str, Any], at: int, first: list[int], second: list[int]) -> Finding:
    model.eval()
    embedding, tokens = _embedding(model), vocabulary(model)
    device = (next(model.parameters()) if embedding is None else embedding).device
    count = len(batch["input_ids"])
    # Of what is said of all rows, the one; what is said of the batch (`cu_seq_lens_q`) is said of a single row.
    given = {name: value for name, value in batch.items() if name in _OF_ATTENTION}
    beside = {
        name: value[at : at + 1].to(device) if isinstance(value, torch.Tensor) and len(value) == count > 1
        else value.to(device) if isinstance(value, torch.Tensor) else value
        for name, value in given.items()
    }  # fmt: skip
    same = batch["input_ids"][at : at + 1].to(device)
    changed = same.clone()
    changed[0, first[1:]] = (changed[0, first[1:]] + 1) % (tokens or int(same.max()) + 1)
    with kept_trainable(model):
        heard = [model(input_ids=ids, use_cache=False, **beside).logits[0, second].float() for ids in (same, changed)]
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
_PACKED = (
    "use a packing that keeps them apart (position_ids from 0 and no attention_mask, with sdpa or flash attention), or "
    "no packing"
)
