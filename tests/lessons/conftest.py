"""What the lessons' tests share: a home that is not the developer's, and a stage on which somebody types."""

import io
import json

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, Qwen2Config

from engine.models import load_tokenizer
from engine.terminal import Terminal
from lessons.teaching import stage
from tests.lessons.small import LESSON


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Where answers are kept during a test."""
    monkeypatch.setenv("GLASSTUNE_HOME", str(tmp_path / "home"))
    for name in ("LESSON_MODEL", "LESSON_DATA"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture
def watched(tmp_path):
    """A stage with somebody there: what is typed is given, what is said is kept."""
    typed: list[str] = []
    said = io.StringIO()
    console = Terminal(file=said, width=100)
    console.input = lambda *_, **__: typed.pop(0)
    before = stage.current()
    stage.configure(stage.Session(lesson="test", out=tmp_path, console=console, interactive=True))
    yield typed, said
    stage.configure(before)


@pytest.fixture(scope="session")
def own(tmp_path_factory):
    """What a teacher may bring: two model folders (GPT-2 and Qwen, weights random) and a file of examples."""
    folder = tmp_path_factory.mktemp("own")
    tokenizer = load_tokenizer("embedded")
    shared = {
        "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.eos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }  # fmt: skip
    configs = (
        GPT2Config(n_embd=64, n_layer=2, n_head=4, n_positions=256, **shared),
        Qwen2Config(
            hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            max_position_embeddings=256, **shared,
        ),
    )  # fmt: skip
    for config in configs:
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder / config.model_type)
        tokenizer.save_pretrained(folder / config.model_type)
    records = [
        {"instruction": f"Which colour has thing {n}?", "output": ("red", "blue", "green")[n % 3]} for n in range(80)
    ]
    (folder / "colours.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return [folder / config.model_type for config in configs], folder / "colours.jsonl"


@pytest.fixture
def small(tmp_path):
    """A lesson's file that trains nothing."""
    path = tmp_path / "small.py"
    path.write_text(LESSON)
    return path
