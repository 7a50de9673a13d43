"""Where do a base model's own weights lie? The embedded one, a folder, or a Hub id that is already downloaded."""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np

from engine.errors import InputError
from engine.reading import check_name
from engine.run.pairing import find_name
from engine.run.tensors import Tensors

EMBEDDED = "embedded"
EMBEDDED_FOLDER = Path(__file__).parents[1] / "base"


@cache
def embedded_digest() -> str:
    """Which embedded base model it is, in sixteen digits: what was made from another base has to be made again."""
    with (EMBEDDED_FOLDER / "model.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def base_folder(source: str) -> Path:
    """The folder that holds a base model's files: the embedded one, a folder, or a Hub id already downloaded."""
    if source == EMBEDDED:
        return EMBEDDED_FOLDER
    if (folder := check_name(source)).is_dir():
        return folder
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(source, local_files_only=True))
    except Exception:
        raise InputError(
            f"the base model {source!r} is neither a folder here nor downloaded; its weights cannot be shown"
        ) from None


def base_weight(source: str, parameter: str) -> np.ndarray:
    """One parameter of a base model, from its safetensors files, in float32. Raises InputError if it is not there."""
    return weight_of(Tensors(base_folder(source)), parameter)


def weight_of(tensors: Tensors, parameter: str) -> np.ndarray:
    """The same where the files are open already. Raises InputError too if it is packed in a way that is not read."""
    name = find_name(parameter, tensors)
    if name is not None:
        return tensors.read(name)
    if parameter in tensors.refused:
        raise InputError(f"{parameter} of {tensors.path} is packed by {tensors.refused[parameter]}, which is not read")
    raise InputError(f"{tensors.path} holds no {parameter}; is it the base that this run began with?")
