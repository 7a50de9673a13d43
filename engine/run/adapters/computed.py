"""What does an adapter change whose formula is not written here? PEFT computes it from its base: merged minus base.

The base is loaded with the adapter in it, a weight's change is made when it is asked for. torch is loaded only here.
"""

import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import InputError
from engine.run.adapters.adapter import Adapter
from engine.run.adapters.changes import Change, Weight
from engine.run.delta import PEFT_PREFIX, Read
from engine.run.info import Module

if TYPE_CHECKING:
    from engine.merging import Merged

# As PEFT calls them in its settings.
METHODS = (
    "ADAMSS", "BOFT", "C3A", "DEFT", "DELORA", "FOURIERFT", "FROD", "GLORA", "GRALORA", "HIRA", "HRA", "MISS", "OFT",
    "OSF", "PEANUT", "PSOFT", "PVERA", "RANDLORA", "ROAD", "SHIRA", "SUPERTUNING", "TINYLORA", "UNILORA", "VBLORA",
    "WAVEFT",
)  # fmt: skip


def is_computed(adapter: Adapter) -> bool:
    return adapter.method.upper() in METHODS


def add_computed(adapter: Adapter, base: Path) -> list[str]:
    """Give the adapter the change of every weight that it moves in the model of this folder.

    Returns the names of the tensors that are no part of that: weights that were saved whole. Raises InputError if the
    model or the adapter in it cannot be loaded, or not merged.
    """
    from engine.adapted import adapted, begins

    # isort: split
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import get_peft_model_state_dict

    from engine.merging import find_merged
    from engine.recording.names import names_of

    with warnings.catch_warnings(action="ignore", category=UserWarning):  # of kernels that are not needed here
        try:
            model, adapter.beside = adapted(adapter, base)
        except InputError as error:
            raise InputError(
                f"{adapter.folder} is {adapter.method.upper()}, whose change PEFT computes from its base: {error}; "
                "where that cannot be mended, merge it and compare the two checkpoints"
            ) from None
        layers = {path: layer for path, layer in model.named_modules() if isinstance(layer, BaseTunerLayer)}
        begun = begins(adapter, layers.values()) if layers else False
    adapter.begun = True if begun is False else "before" if begun else "unknown"
    clean, known = names_of(model), get_peft_model_state_dict(model)
    names = list(adapter.tensors.entries)
    adapter.foreign += [name for name in names if name not in known]
    rest = [name for name in names if name.startswith(PEFT_PREFIX)]
    shared = [name for name in names if not name.startswith(PEFT_PREFIX)]  # of all its layers
    for path, layer in layers.items():
        at = f"{PEFT_PREFIX}{clean(path)}."
        own = [name for name in rest if name.startswith(at) and ".base_layer." not in name]
        rest = [name for name in rest if name not in own]
        for inside, change in find_merged(layer, clean(path)).items():
            name = clean(f"{path}.base_layer.{inside}")
            about = Module(kind="delta", shape=change.shape, parameter=name, base_parameter=name,
                           transposed=change.transposed)  # fmt: skip
            parts = tuple(name for name in (*own, *shared) if "F" in adapter.tensors.entries[name].dtype)  # no places
            made = Change(parts, None, partial(_delta, change), partial=True)
            adapter.add(name.removesuffix(".weight"), about, made)
            adapter.loaded[name.removesuffix(".weight")] = partial(_weight, change)
    adapter.notes.append(f"PEFT computed the change of {adapter.method}, merged minus base, from {base}")
    return rest


def _delta(change: "Merged", read: Read, weight: Weight) -> np.ndarray:
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        found = change().cpu().numpy()
    return found.T if change.transposed else found


def _weight(change: "Merged") -> np.ndarray:
    found: np.ndarray = change.base().cpu().numpy()
    return found.T if change.transposed else found
