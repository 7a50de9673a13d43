"""How does a model get out of a GGUF file (llama.cpp's format, often of four bits) and into transformers' own form?

transformers reads the file, its weights spread out to float32, but will neither save nor train what it has read: so the
state goes into a fresh model of the same configuration. A tied head stays tied, the tokenizer and its chat template
come from the same file. For a Run whose base matrices are to be shown, convert it once:

    python -c "from engine.gguf import convert; convert('model.gguf', 'folder')"
"""

import contextlib
import copy
import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.initialization import no_init_weights

from engine.errors import InputError
from engine.files import whole
from engine.reading import check_name

SUFFIX = ".gguf"
_OF_LOADING = ("quantization_config",)  # what transformers notes of a model that it has read from such a file


def find_gguf(path: Path) -> Path | None:
    """The file itself, or the only one of a folder that is no model in transformers' own form; else None.

    Raises InputError for a folder of several.
    """
    if path.is_file():
        return path if path.suffix.lower() == SUFFIX else None
    if not path.is_dir() or (path / "config.json").is_file():
        return None
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == SUFFIX)
    if len(files) > 1:
        raise InputError(f"{path} holds {len(files)} GGUF files; name one of them, such as {files[0]}")
    return files[0] if files else None


def load_gguf_config(file: Path) -> PretrainedConfig:
    with _reading(file):
        return AutoConfig.from_pretrained(str(file.parent), gguf_file=file.name)


def load_gguf_tokenizer(file: Path) -> PreTrainedTokenizerBase:
    with _reading(file):
        return AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)


def load_gguf(file: Path, dtype: torch.dtype | str = torch.float32, **options: Any) -> PreTrainedModel:
    """The model, as if it had been loaded from transformers' own files: it can be trained and saved.

    options: what the fresh model is made with, e.g. attn_implementation. Raises InputError where the package `gguf` is
    missing, and for what can only be done while transformers' own files are read.
    """
    if options.get("quantization_config") is not None:
        raise InputError(
            f"{file} is quantised in its own way already; engine.gguf.convert makes a folder of it, for QLoRA's way"
        )
    dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    with _reading(file):
        read = AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype=dtype)
    config = copy.deepcopy(read.config)
    for name in _OF_LOADING:
        if hasattr(config, name):
            delattr(config, name)
    config.name_or_path = str(file)
    with no_init_weights():
        fresh = AutoModelForCausalLM.from_config(config, dtype=dtype, **options)
    fresh.load_state_dict(read.state_dict())
    fresh.tie_weights()
    fresh.generation_config = read.generation_config
    return fresh.eval()


def convert(file: str | Path, folder: str | Path) -> Path:
    """Write the model of a GGUF file as a folder in transformers' own form, in float32; all of it or nothing.

    Raises InputError if there is no such file, or something lies at `folder`.
    """
    found, folder = find_gguf(check_name(file)), check_name(folder)
    if found is None:
        raise InputError(f"{file} is no GGUF file")
    if folder.exists():
        raise InputError(f"{folder} is there already; give another folder, or move it away")
    folder.parent.mkdir(parents=True, exist_ok=True)
    model, tokenizer = load_gguf(found), load_gguf_tokenizer(found)
    with whole(folder) as part, _without_bars():
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
    return folder


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Raises InputError without the package that reads such files."""
    if importlib.util.find_spec("gguf") is None:
        raise InputError(f"{file} is a GGUF file, and the package that reads it is missing: pip install gguf")
    with _without_bars():
        yield


def _without_bars() -> contextlib.AbstractContextManager[Any]:
    """Progress bars that nothing turns off go nowhere."""
    return contextlib.redirect_stderr(io.StringIO())
