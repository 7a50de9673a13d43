"""What goes into a matrix when the model reads a question? The true input of one layer, at every token."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from engine.data import render, with_template
from engine.evaluate import evaluating
from engine.evaluate.sides import tokenizer_of
from engine.evaluate.weights import ChangedModel
from engine.messages import Message
from engine.run.run import Run


def inputs_of(run: Run, module: str, prompt: Sequence[Message]) -> tuple[np.ndarray, list[int]]:
    """(tokens, in) float32, and the tokens' ids: what the layer is given while the run's last model reads the prompt.

    Raises InputError as `engine.evaluate.weights.ChangedModel`, and for a module that was not captured.
    """
    run.module(module)
    changed, tokenizer = ChangedModel(run), tokenizer_of(run)
    model, seen = changed.at(None), dict[str, Any]()
    layer = model.get_submodule(module)
    handle = layer.register_forward_pre_hook(lambda _, given: seen.update(x=given[0]))
    text = render(with_template(tokenizer), list(prompt), add_generation_prompt=True, tokenize=False)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    try:
        with evaluating(model):
            model(input_ids=torch.tensor([ids]))
    finally:
        handle.remove()
    return seen["x"][0].float().numpy(), ids
