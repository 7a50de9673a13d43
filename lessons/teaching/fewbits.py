"""What becomes of a model whose weights are kept in few bits? Its layers put through that, its answers graded again,
and a step of its training timed."""

import engine.quietly  # noqa: F401

# isort: split
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engine.data import Conversations, Encoded, collate
from engine.evaluate import OPEN_ENDED, curriculum_groups, encode_last_answer, last_answer, perplexity, score_answers
from engine.measure.quantize import KINDS, quantization_error
from engine.run.base import EMBEDDED, base_weight
from lessons.teaching.subject import matrices, model


def errors_by_block(source: str, names: Sequence[str]) -> pd.DataFrame:
    """What four bits change in these matrices, beside each of them, in per cent, on average: size of a block x kind."""
    sizes = (32, 64, 128, 256)
    weights = [base_weight(source, f"{name}.weight") for name in names]
    found = {
        kind: [np.mean([100 * quantization_error(w, kind, size).relative for w in weights]) for size in sizes]
        for kind in KINDS
    }
    return pd.DataFrame(found, index=pd.Index(sizes, name="weights in a block"))


def questions_to_grade(tokenizer: PreTrainedTokenizerBase, task: Conversations, each: int) -> list[Encoded]:
    """So many of each old skill of the embedded model; of another one, whose skills nobody knows, the task's held-out
    questions."""
    if model() == EMBEDDED:
        groups = curriculum_groups(each).items()
        asked = [talk for skill, talks in groups if skill not in OPEN_ENDED for talk in talks]
    else:
        asked = [talk for talk in task.heldout if last_answer(talk)][:100]
    return [row for row in (encode_last_answer(tokenizer, talk) for talk in asked) if row.trained]


def put_through(base: PreTrainedModel, change: Callable[[np.ndarray], np.ndarray]) -> PreTrainedModel:
    """The base with every linear layer's weights put through `change`."""
    network = deepcopy(base)
    for name in matrices(network):
        parameter = network.get_submodule(name).weight
        assert isinstance(parameter, torch.Tensor)
        parameter.data = torch.from_numpy(change(parameter.detach().numpy()))
    return network


def quality(network: PreTrainedModel, rows: list[Encoded], tokenizer: PreTrainedTokenizerBase) -> dict[str, float]:
    """Of all answers together: "perplexity", and "exactly right (%)"."""
    losses, right, counts = score_answers(network, rows, tokenizer.pad_token_id)
    return {"perplexity": perplexity(losses, counts), "exactly right (%)": 100 * float(np.mean(right))}


def whole_numbers(matrix: np.ndarray, bits: int) -> np.ndarray:
    """A matrix in blocks of 64, whole numbers as levels: 2 bits are -1, 0 and 1 times the block's largest."""
    blocks = matrix.reshape(-1, 64)
    steps = 2 ** (bits - 1) - 1
    scales = np.abs(blocks).max(axis=1, keepdims=True) / steps
    return (np.round(blocks / np.maximum(scales, 1e-38)) * scales).reshape(matrix.shape).astype(np.float32)


def milliseconds_a_step(
    networks: Mapping[str, PreTrainedModel], rows: Sequence[Encoded], tokenizer: PreTrainedTokenizerBase, times: int
) -> pd.Series:
    """A step without the optimizer, forward and backward, of each: the median of `times`. In turns, so that a busy
    machine slows all of them; the first turn warms up and is not counted."""
    batch = collate(list(rows), tokenizer.pad_token_id)

    def step(network: PreTrainedModel) -> float:
        began = time.perf_counter()
        network(**{name: value.to(network.device) for name, value in batch.items()}).loss.backward()
        if network.device.type == "cuda":
            torch.cuda.synchronize(network.device)  # what was asked of it is not yet done
        return 1000 * (time.perf_counter() - began)

    taken = [{name: step(network) for name, network in networks.items()} for _ in range(times + 1)]
    return pd.DataFrame(taken[1:]).median()
