"""What the lessons' tests share: a home that is not the developer's, and a stage on which somebody types."""

import io

import pytest
from rich.console import Console

from lessons import stage


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
    console = Console(file=said, width=100)
    console.input = lambda *_, **__: typed.pop(0)
    before = stage.current()
    stage.configure(stage.Stage(lesson="test", out=tmp_path, console=console, interactive=True))
    yield typed, said
    stage.configure(before)
