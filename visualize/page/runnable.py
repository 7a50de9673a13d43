"""Can the browser run this model? If it is a plain Llama that reads text and is asked as Glasstune's own."""

from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.reading import read_json, read_text
from engine.run.base import EMBEDDED_FOLDER
from engine.run.run import Run

_WHOLE = ("factors", "grains", "deltas")  # forms of changes that can be added to a weight


def is_runnable(folder: Path, config: dict[str, Any] | None, tokenizer: dict[str, Any] | None) -> bool:
    """Whether engine/forward.js computes what the model in `folder` does, and engine/tokenizer.js reads as it does.

    config, tokenizer: what its config.json and its tokenizer.json hold; None where they cannot be read.
    """
    own = json_of(EMBEDDED_FOLDER / "tokenizer.json")
    return _is_plain_llama(config or {}) and _asked_as(folder, tokenizer) == _asked_as(EMBEDDED_FOLDER, own)


def plays(run: Run, form: str) -> bool:
    """Whether a runnable base plays a run whose changes are packed so: all are there whole, each of a weight of its own
    (an output layer that is tied to the embedding has none)."""
    return form in _WHOLE and all(about.in_base == f"{name}.weight" for name, about in run.info.modules.items())


def _is_plain_llama(config: dict[str, Any]) -> bool:
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    return (
        config.get("model_type") == "llama"
        and isinstance(rope, dict)
        and rope.get("rope_type", rope.get("type", "default")) == "default"
        and config.get("hidden_act", "silu") == "silu"
        and not config.get("attention_bias")
        and not config.get("mlp_bias")
    )


def _asked_as(folder: Path, about: dict[str, Any] | None) -> Any:
    """How a conversation becomes tokens, but for the vocabulary: what must be as in the embedded model."""
    if about is None:
        return folder  # as no other
    try:
        words = sorted(one["content"] for one in about["added_tokens"])
        return about["model"]["type"], about["normalizer"], about["pre_tokenizer"], words, _template(folder)
    except (KeyError, TypeError):
        return folder


def _template(folder: Path) -> Any:
    file = folder / "chat_template.jinja"
    try:
        if file.is_file():
            return read_text(file).strip()
    except InputError:
        return None
    return (json_of(folder / "tokenizer_config.json") or {}).get("chat_template")


def json_of(path: Path) -> dict[str, Any] | None:
    """What a file holds, if it can be read."""
    try:
        return read_json(path)
    except InputError:
        return None
