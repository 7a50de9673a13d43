"""What is kept of a lesson is what it would give: of the same sources, model, data and student."""

import pytest

from lessons.site import executed
from lessons.teaching.course import FOLDER


def test_every_source_is_there():
    assert all(list(FOLDER.parent.glob(name)) for name in executed._SOURCES)
    found = {
        path.relative_to(FOLDER.parent).as_posix() for name in executed._SOURCES for path in FOLDER.parent.glob(name)
    }
    assert {
        "lessons/claims/verdict.py", "lessons/handout/packed.py", "lessons/teaching/asking.py", "engine/base/config.json",
        "lessons/locale/de/LC_MESSAGES/lora.mo",
    } <= found  # fmt: skip


@pytest.fixture
def digest(small, monkeypatch):
    monkeypatch.delenv("GLASSTUNE_STUDENT", raising=False)
    return lambda: executed._digest(small, False, "en")


def test_another_student_model_or_data_is_another_course(digest, tmp_path, monkeypatch):
    folder, file = tmp_path / "model", tmp_path / "data.jsonl"
    folder.mkdir()
    seen = [digest()]
    assert digest() == seen[0]
    for name, value in (("GLASSTUNE_STUDENT", "Ada"), ("LESSON_MODEL", str(folder)), ("LESSON_DATA", str(file))):
        monkeypatch.setenv(name, value)
        seen.append(digest())
    for path in (folder / "model.safetensors", file):
        for text in ("one", "two"):  # of one size
            path.write_text(text)
            seen.append(digest())
    assert len(set(seen)) == len(seen) == 8
    file.touch()
    assert digest() == seen[-1], "its bytes, not its date"
