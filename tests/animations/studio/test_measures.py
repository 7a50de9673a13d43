"""What a film measured is kept until a run, a question or the code that measures has changed."""

import shutil

import pytest

from animations.studio import measures
from engine import derived
from engine.run.format import capture_path
from glasstune import Run

FILM = """
def ask(runs, of):
    def make():
        calls.append(of)
        return {"half": of / 2}
    return measured("half", runs, make, of=of)


def helper():
    from engine.part import half


class Scene(Base):
    shown = 1
"""


@pytest.fixture
def film(tmp_path, monkeypatch):
    """A film that measures: its file, a file of the engine that it needs, ask(runs, of), and what was really asked."""
    monkeypatch.setenv("GLASSTUNE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(derived, "ROOT", tmp_path)
    file, part, calls = tmp_path / "film.py", tmp_path / "engine" / "part.py", []
    part.parent.mkdir()
    part.write_text("x = 1\n")
    file.write_text(FILM)

    def ask(runs, of=84):
        derived.imported.cache_clear()
        measures._measured_with.cache_clear()
        names = {"measured": measures.measured, "calls": calls, "Base": object}
        exec(compile(file.read_text(), str(file), "exec"), names)
        return names["ask"](runs, of)

    return file, part, ask, calls


def test_it_is_measured_again_when_what_it_depends_on_has_changed(film, lora_run, tmp_path):
    file, part, ask, calls = film
    assert ask([lora_run]) == ask([lora_run]) == {"half": 42} and len(calls) == 1
    file.write_text("# a comment\n" + FILM.replace("shown = 1", "shown = 2"))
    assert ask([lora_run]) == {"half": 42} and len(calls) == 1, "scenes and comments measure nothing"
    file.write_text(FILM.replace("of / 2", "of // 2 + 1"))
    assert ask([lora_run]) == {"half": 43} and len(calls) == 2, "a mended measurement is not hidden by an old one"
    part.write_text("x = 2\n")
    ask([lora_run])
    assert len(calls) == 3, "code of the engine counts, too"
    ask([lora_run], of=10)
    assert len(calls) == 4
    copy = tmp_path / "copy"
    shutil.copytree(lora_run.path, copy)
    (copy / "run.json").write_text((copy / "run.json").read_text() + "\n")
    ask([Run.load(copy)])
    assert len(calls) == 5


def test_it_is_measured_again_while_the_run_is_trained(film, lora_run, tmp_path):
    """Meanwhile run.json stays as it is."""
    _, _, ask, calls = film
    copy, moved = tmp_path / "copy", tmp_path / "moved"
    shutil.copytree(lora_run.path, copy)
    *_, before, last = lora_run.steps
    later, end = capture_path(copy, last).read_bytes(), capture_path(copy, last)
    end.unlink()
    ask([Run.load(copy)])
    end.write_bytes(capture_path(copy, before).read_bytes())
    ask([Run.load(copy)])
    assert len(calls) == 2, "a step more"
    end.write_bytes(later)
    ask([Run.load(copy)])
    assert len(calls) == 3, "the same step, trained otherwise"
    with (copy / "answers.jsonl").open("a") as file:
        file.write((copy / "answers.jsonl").read_text().splitlines()[-1] + "\n")
    ask([Run.load(copy)])
    assert len(calls) == 4, "asked once more"
    shutil.copytree(copy, moved)
    ask([Run.load(moved)])
    assert len(calls) == 4, "what lies elsewhere is the same"
