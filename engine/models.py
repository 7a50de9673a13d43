"""Which model is fine-tuned? The embedded one, a folder, or a Hub id: all through transformers' own loading."""

import engine.quietly  # noqa: F401

# isort: split
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from engine.errors import InputError, first_line
from engine.run.base import EMBEDDED, EMBEDDED_FOLDER
from engine.run.run import Run


def canonical(source: str | Path) -> str:
    """One name for one model: the embedded model's own folder, however it is written, is "embedded"."""
    path = Path(source).expanduser()
    return EMBEDDED if path.is_dir() and path.resolve() == EMBEDDED_FOLDER.resolve() else str(source)


def resolve(source: str | Path) -> str:
    """What transformers is asked for: a folder's path or a Hub id. Raises InputError for a folder that is no model."""
    if source == EMBEDDED:
        return str(EMBEDDED_FOLDER)
    path = Path(source).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise InputError(f"{path} is no model folder: it has no config.json")
        return str(path)
    if path.is_file() or path.is_absolute() or str(source).startswith((".", "~")):
        raise InputError(f"{source} is no model folder; give a folder with config.json, a Hub id, or {EMBEDDED!r}")
    return str(source)


def load_tokenizer(source: str | Path = EMBEDDED) -> PreTrainedTokenizerBase:
    """The model's tokenizer, or the one saved with an adapter; with a padding token whatever the model brings."""
    try:
        saved = (Path(source) / "tokenizer_config.json").is_file()
        tokenizer = AutoTokenizer.from_pretrained(str(source) if saved else resolve(source))
    except Exception as error:
        raise InputError(f"no tokenizer could be loaded from {source!r}: {first_line(error)}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(source: str | Path = EMBEDDED, **kwargs: Any) -> PreTrainedModel:
    """A causal language model in float32 (or as `kwargs` say), on the CPU until a trainer moves it."""
    folder = resolve(source)
    try:
        with without_bars():
            AutoConfig.from_pretrained(folder)
            return AutoModelForCausalLM.from_pretrained(folder, **{"dtype": torch.float32, **kwargs})
    except Exception as error:  # whatever transformers makes of a broken folder
        raise InputError(f"no model could be loaded from {source!r}: {first_line(error)}") from error


def load_tuned(run: Run) -> PreTrainedModel:
    """What a run made: its base with its adapter in PEFT's wrapper (in float32, for QLoRA too), or its whole model."""
    if (run.path / "model").is_dir():
        return load_model(run.path / "model")
    if not (run.path / "adapter").is_dir():
        raise InputError(f"{run.path} holds no trained adapter or model; it was stopped early or made with save=False")
    with without_peft_warnings():
        return PeftModel.from_pretrained(load_model(run.base), str(run.path / "adapter"))


@contextmanager
def without_peft_warnings() -> Iterator[None]:
    """PEFT asks transformers by a name that is on its way out, and says that it sees a Conv1D: nothing to be mended."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".is_gradient_checkpointing.", FutureWarning)
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to", UserWarning)
        yield


@contextmanager
def without_bars() -> Iterator[None]:
    """transformers' own progress bars off: for a small model they come and go in the same instant."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
