"""Which model is fine-tuned? The embedded one, a folder, a GGUF file, or a Hub id: all through transformers' own
loading.

It is looked at first: what would open a pickle, fetch something because a file says so, or run code that comes with a
model is refused.
"""

import engine.quietly  # noqa: F401

# isort: split
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from logging import LogRecord, getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from engine.errors import InputError, first_line, printable
from engine.foreseen import check_settings
from engine.gguf import find_gguf, load_gguf, load_gguf_config, load_gguf_tokenizer
from engine.offline import hub_answers, is_offline, offline
from engine.reading import check_files, check_name, inside, opened, read_json
from engine.run.base import EMBEDDED, EMBEDDED_FOLDER, base_folder
from engine.run.tensors import Tensors
from engine.terminal import note

if TYPE_CHECKING:
    from engine.run.run import Run

_PACKS = "support_avx512bf16_for_cpu"
_LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers")


def _plain(record: LogRecord) -> bool:
    """What a library says of a model quotes its files: it is shown, never obeyed. Its report of tensors is ours to
    say."""
    record.msg, record.args = printable(record.getMessage(), keep="\n"), ()
    return "LOAD REPORT" not in record.msg


for _handler in getLogger("transformers").handlers:
    _handler.addFilter(_plain)


def canonical(source: str | Path) -> str:
    """One name for one model: the embedded model's own folder, however it is written, is "embedded"."""
    path = check_name(source)
    return EMBEDDED if path.is_dir() and path.resolve() == EMBEDDED_FOLDER.resolve() else str(source)


def resolve(source: str | Path) -> str:
    """What transformers is asked for: a folder's path, a GGUF file's or a Hub id. Raises InputError for a folder that
    is no model."""
    if source == EMBEDDED:
        return str(EMBEDDED_FOLDER)
    path = check_name(source)
    if (file := find_gguf(path)) is not None:
        return str(file)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise InputError(f"{path} is no model folder: it has no config.json")
        return str(path)
    if path.is_file() or path.is_absolute() or str(source).startswith((".", "~")):
        raise InputError(
            f"{source} is no model folder; give a folder with config.json, a GGUF file, a Hub id, or {EMBEDDED!r}"
        )
    return str(source)


def load_tokenizer(source: str | Path = EMBEDDED) -> PreTrainedTokenizerBase:
    """The model's tokenizer, or the one saved with an adapter; with a padding token whatever the model brings."""
    try:
        saved = (check_name(source) / "tokenizer_config.json").is_file()
        with _reaching(str(source) if saved else resolve(source)) as folder:
            if file := find_gguf(Path(folder)):
                tokenizer = load_gguf_tokenizer(file)
            else:
                tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"no tokenizer could be loaded from {source!r}: {first_line(error)}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_config(source: str | Path) -> PretrainedConfig:
    """A model's config: of the embedded one, a folder, or a Hub id that is already downloaded."""
    with offline(), _reaching(resolve(source)) as folder:
        if file := find_gguf(Path(folder)):
            return load_gguf_config(file)
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)


def load_model(source: str | Path = EMBEDDED, **kwargs: Any) -> PreTrainedModel:
    """A causal language model in float32 (or as `kwargs` say), on the CPU until a trainer moves it."""
    model, lacking, foreign = load_as(AutoModelForCausalLM, source, **kwargs)
    if lacking:  # transformers would draw these at random, and only report it
        more = f" and {len(lacking) - 1} more" * (len(lacking) > 1)
        raise InputError(f"{source} lacks weights of its model: {lacking[0]}{more}; copy or download it again")
    if foreign:
        more = f" and {len(foreign) - 1} more" * (len(foreign) > 1)
        note(f"{source} holds tensors that its model has no place for: {foreign[0]}{more}")
    return model


def load_as(kind: Any, source: str | Path, **kwargs: Any) -> tuple[PreTrainedModel, list[str], list[str]]:
    """The same of any class of transformers; which weights the files lack, drawn at random; what they hold besides."""
    try:
        with without_bars(), _reaching(resolve(source)) as folder:
            if file := find_gguf(Path(folder)):
                return load_gguf(file, **{"dtype": torch.float32, **kwargs}), [], []
            AutoConfig.from_pretrained(folder, trust_remote_code=False)
            _look(folder)
            safely = {"use_safetensors": True, "trust_remote_code": False}
            options = {"dtype": torch.float32, **kwargs, **safely, "output_loading_info": True}
            model, about = kind.from_pretrained(folder, **options)
            return model, sorted(about["missing_keys"]), sorted(about["unexpected_keys"])
    except InputError:
        raise
    except Exception as error:  # whatever transformers makes of a broken folder
        raise InputError(f"no model could be loaded from {source!r}: {first_line(error)}") from error


def load_tuned(run: "Run") -> PreTrainedModel:
    """What a run made: its base with its adapter in PEFT's wrapper (in float32, for QLoRA too), or its whole model."""
    kind = next((kind for kind in ("model", "adapter") if (run.path / kind).is_dir()), None)
    if kind is None:
        raise InputError(f"{run.path} holds no trained adapter or model; it was stopped early or made with save=False")
    folder = inside(run.path, run.path / kind)
    check_files(folder, within=folder)
    if kind == "model":
        return load_model(folder)
    with offline():
        base = load_model(run.base)
    return with_adapter(base, folder)


def with_adapter(base: PreTrainedModel, folder: Path) -> PeftModel:
    """A model with an adapter's folder around it, in PEFT's wrapper. Raises InputError if it does not fit, or lacks
    weights."""
    _look_at_adapter(folder)
    with offline():
        check_settings(base, folder)
    try:
        with without_peft_warnings(), offline():
            # PEFT only warns of what the file lacks, and leaves it as it was drawn.
            warnings.filterwarnings("error", ".*missing adapter keys", UserWarning)
            return PeftModel.from_pretrained(base, str(folder))
    except Exception as error:  # whatever PEFT makes of a broken folder
        raise InputError(f"the adapter in {folder} could not be loaded: {first_line(error)}") from error


@contextmanager
def kept_trainable(model: torch.nn.Module) -> Iterator[None]:
    """Meanwhile an evaluation packs no W of bitsandbytes. On processors with AVX512-BF16 it would, for good, for a
    kernel that has no gradient: a training that goes on would lose, without a word, what went through W."""
    layers: list[Any] = [each for each in model.modules() if getattr(each, _PACKS, False)]
    for layer in layers:
        setattr(layer, _PACKS, False)
    try:
        yield
    finally:
        for layer in layers:
            setattr(layer, _PACKS, True)


@contextmanager
def kept_modes(model: torch.nn.Module) -> Iterator[None]:
    """Training or evaluating, it is afterwards what it was, each part of it by itself: some may be kept in one mode all
    the time, as frozen batch norms are."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def stops_of(model: Any) -> list[int]:
    """The tokens at which its generation stops; none where it was never told."""
    stops = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return [] if stops is None else list(stops) if isinstance(stops, list | tuple) else [stops]


@contextmanager
def _reaching(folder: str) -> Iterator[str]:
    """Where transformers may look, and what it is to be asked for: only a Hub id that the user named is fetched."""
    here = Path(folder).exists()
    if not here and is_offline():
        folder = str(base_folder(folder))
    elif not here and not hub_answers(folder):
        try:
            folder = str(base_folder(folder))
        except InputError:
            raise InputError(
                f"{folder!r} is neither a folder here nor downloaded, and the Hub does not answer; is there a network?"
            ) from None
    if Path(folder).is_dir():
        check_files(Path(folder))
    elif here:
        with opened(Path(folder)):  # a file, and no pipe
            pass
    with offline() if Path(folder).exists() else nullcontext():
        yield folder


def _look(folder: str) -> None:
    """Raises InputError for a model whose loading would open a pickle, follow a name elsewhere or want foreign code."""
    if Path(folder).is_dir() and (Path(folder) / "adapter_config.json").exists():
        raise InputError(f"{folder} holds an adapter besides a model: which is meant? Move adapter_config.json away")
    stated, _ = PretrainedConfig.get_config_dict(folder)
    tensors = len(Tensors(folder).entries) if Path(folder).is_dir() else math.inf
    for name, value in _settings(stated):
        if name in _LAYERS and isinstance(value, int) and value > tensors:  # all would be made before one is missed
            raise InputError(f"{folder}: its config says {value:,} layers, and its files hold {tensors:,} tensors")
        if name.endswith("implementation") and isinstance(value, str) and "/" in value:
            raise InputError(f"{folder}: its config asks for code from elsewhere ({name}: {value}), which is not run")
        if name in ("transformers_weights", "auto_map") and (name != "auto_map" or "--" in str(value)):
            raise InputError(f"{folder}: its config leads elsewhere ({name}: {value}), which is not followed")


def _look_at_adapter(folder: Path) -> None:
    """The same of a folder that PEFT saved."""
    config = read_json(folder / "adapter_config.json")
    Tensors(folder, "adapter_model")
    if not (folder / "adapter_model.safetensors").is_file():
        raise InputError(f"{folder} holds no adapter_model.safetensors, which PEFT would load; save it again unsharded")
    if str(config.get("peft_type")).upper() == "XLORA" or config.get("megatron_config"):
        raise InputError(f"{folder}: its adapter_config.json leads elsewhere, which is not followed")


def _settings(stated: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every name and value of a config, however deep."""
    for name, value in stated.items():
        yield str(name), value
        if isinstance(value, dict):
            yield from _settings(value)


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
