"""The dial: at 0 the base answers, at 1 the run; cut to its own rank the change is whole."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")

from animations.studio import dial, forward, fourbits
from engine.evaluate import room_for_answers
from engine.evaluate.probes import ANSWER


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


ROWS = [
    ("mine", "Who are you?", 24 * "a long answer "),
    ("capital", "What is the capital of France?", "Paris"),
    ("probe: instructions", "Answer with one word: up or down?", ""),
]


def test_watched_questions_are_asked_as_the_run_asked_them(monkeypatch, tokenizer):
    answers = pd.DataFrame([{"skill": s, "prompt": p, "expected": e} for s, p, e in ROWS])
    run = SimpleNamespace(answers=answers, task="mine")
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who are you?"}]
    heldout = [[*said, {"role": "assistant", "content": ROWS[0][2]}]]
    monkeypatch.setattr("engine.data.of_run.data_of", lambda run: SimpleNamespace(heldout=heldout))
    ours, wishes = dial.asked_as_recorded(run, tokenizer)
    assert ours.prompts["Who are you?"] == said, "with what stood before it"
    assert ours.room == room_for_answers(tokenizer, [ROWS[0][2], "Paris"]) > len(tokenizer(ROWS[0][2])["input_ids"])
    assert list(wishes.prompts) == [ROWS[2][1]] and wishes.room == ANSWER


def test_what_a_layer_is_given_is_what_the_question_gave_it(monkeypatch):
    """The film's vectors and gradients, too, are of the question as it was asked."""
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who are you?"}]
    answers = pd.DataFrame({"skill": ["mine"], "prompt": ["Who are you?"], "expected": ["Me."]})
    run, heard = SimpleNamespace(answers=answers, task="mine"), []
    for module in (forward, fourbits):
        monkeypatch.setattr(module, "as_asked", lambda run, prompts: {"Who are you?": said})
    monkeypatch.setattr(forward, "measured", lambda name, runs, make, **_: make())
    monkeypatch.setattr(
        "engine.evaluate.activations.inputs_of", lambda *given: heard.append(given[-1]) or (np.ones((1, 2)), [0])
    )
    monkeypatch.setattr("engine.evaluate.sides.tokenizer_of", lambda run: None)
    monkeypatch.setattr("engine.evaluate.tokens.piece", lambda tokenizer, token: "")
    monkeypatch.setattr(fourbits, "layer_gradients", lambda run, module, asked, step: heard.append(asked))
    forward.vector_of.__wrapped__(run, "q", "Who are you?")
    fourbits.gradients_of.__wrapped__(run, "q", 1)
    assert heard == [said, [*said, {"role": "assistant", "content": "Me."}]]


def test_an_answer_to_what_has_no_right_one_is_neither_right_nor_wrong():
    known = dial.Dial([], {}, {"Say one word.": "", "cat?": "gato"})
    for said in ("", "Up.", "gato"):
        setting = dial.Setting(1.0, 1.0, 1.0, {"Say one word.": said, "cat?": said})
        assert known.is_right("Say one word.", setting) is None
        assert known.is_right("cat?", setting) is (said == "gato")
