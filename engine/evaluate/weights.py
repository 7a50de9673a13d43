"""How does a model get the weights of a moment in training? The base's, and a run's change of them added.

Every captured step is a model that can be asked again. Of a QLoRA run the base is the one before quantisation, as in
`engine.models.load_tuned`, unless the model was prepared otherwise.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from engine.models import load_model
from engine.offline import offline
from engine.recording.names import names_of
from engine.run.run import Run


class ChangedModel:
    """A run's base model in float32, whose weights can be given any change: `model` is the one that is asked.

    Raises InputError for a base that is not at hand.
    """

    def __init__(self, run: Run) -> None:
        with offline():
            self.run, self.model = run, load_model(run.base)
        self.modules = run.info.modules
        self._weights = {name: self.model.get_parameter(about.in_base) for name, about in self.modules.items()}
        self._start = {name: weight.detach().clone() for name, weight in self._weights.items()}

    def change(self, changes: Mapping[str, np.ndarray]) -> PreTrainedModel:
        """W0 + delta-W for every module; changes: module -> (out, in), or as its parameter is shaped."""
        for name, weight in self._weights.items():
            change = torch.from_numpy(np.asarray(changes[name], np.float32))
            weight.data = self._start[name] + (change.T if self.modules[name].transposed else change)
        return self.model

    def at(self, step: int | None) -> PreTrainedModel:
        """The model as it was at a captured step (default: the last). Raises InputError for one that was not, or for a
        matrix that was only sketched."""
        return self.change({name: self.run.delta(name, step) for name in self.modules})


def models_at(run: Run, steps: Sequence[int]) -> Iterator[tuple[int, PreTrainedModel]]:
    """(step, the model as it was then) for captured steps: one model, whose weights are set anew each time.

    Raises InputError as `ChangedModel`.
    """
    changed = ChangedModel(run)
    for step in steps:
        yield step, changed.at(step)


def adapt(model: Any, run: Run, step: int | None = None) -> dict[str, Any]:
    """Give a model with LoRA adapters the factors of a captured step (default: the last). Its LoRA layers by module."""
    clean = names_of(model)
    layers = {clean(path): layer for path, layer in model.named_modules() if hasattr(layer, "lora_A")}
    for name in run.modules:
        factors, (adapter,) = run.factors(name, step), layers[name].active_adapters
        layers[name].lora_A[adapter].weight.data.copy_(torch.from_numpy(factors.A))
        layers[name].lora_B[adapter].weight.data.copy_(torch.from_numpy(factors.B))
    return layers
