"""The dial: at 0 the base answers, at 1 the run; cut to its own rank the change is whole."""

import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")

from animations.studio import dial


@pytest.fixture(autouse=True)
def few(monkeypatch, tmp_path):
    monkeypatch.setenv("GLASSTUNE_RUNS", str(tmp_path))  # what is measured is kept there
    for name, value in {"NEW": 6, "OLD": 1, "WATCHED": 3}.items():
        monkeypatch.setattr(dial, name, value)


def test_the_ends_of_the_dial_are_what_the_run_recorded(lora_run):
    known = dial.scaled(lora_run, (0.0, 1.0))
    recorded = lora_run.answers
    for setting, step in zip(known.settings, (recorded.step.min(), recorded.step.max()), strict=True):
        answers = recorded[recorded.step == step].set_index("prompt").answer
        assert setting.said and all(answers[prompt] == said for prompt, said in setting.said.items())
    assert known.asked["new"] == 6 and known.near(0.4).at == 0.0


def test_cut_to_its_rank_nothing_is_lost(lora_run):
    rank = lora_run.factors(lora_run.modules[0]).A.shape[0]
    known, whole = dial.cut(lora_run, [0, rank]), dial.scaled(lora_run, (0.0, 1.0))
    assert [(one.new, one.old, one.said) for one in known.settings] == [
        (one.new, one.old, one.said) for one in whole.settings
    ]
