"""Does the film of forgetting say what was measured, and what the ledger's words mean?"""

import json
import shutil
from types import SimpleNamespace
from typing import get_args

import pandas as pd
import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")

from animations import forgetting
from animations.forgetting import MEANT
from animations.studio import findings
from animations.studio.preview import walk
from engine.run.info import Chosen, Data, MixedIn, RunInfo
from glasstune import InputError, Run
from lessons.claims.verdict import Answer


def test_every_answer_of_the_ledger_that_is_neither_yes_nor_no_is_explained():
    assert set(MEANT) == set(get_args(Answer)) - {"yes", "no"}


def run_of(task="spanish", method="lora", digest="d", mix=None, mixed_in=None, kinds=("lora",), source=None, each=200):
    """each: on how many questions its task and every one of its two old skills were graded."""
    info = RunInfo(
        data=Data(name=task, source=source or task, digest=digest, mixed_in=mixed_in), settings=Chosen(mix=mix)
    )
    modules = dict(enumerate(kinds))
    skills = pd.DataFrame({task: [0.9], "sum": [0.5], "sort": [0.5]})
    graded = pd.DataFrame({name: [each] for name in (*skills, "story")} if each else {})
    return SimpleNamespace(
        info=info, task=task, method=method, modules=list(modules), kind=modules.__getitem__, skills=skills,
        graded=graded,
    )  # fmt: skip


def path_of(*kept):
    return pd.DataFrame({"learned": 0.9, "kept": kept}, index=range(len(kept)))


@pytest.mark.parametrize(
    "run, alone, untaught",
    [
        (run_of(), True, True),
        (run_of(mix=0.5, mixed_in=MixedIn(name="curriculum")), False, False),
        (run_of("alpaca"), True, False),  # which may hold old skills
        (run_of(digest=None), False, False),  # somebody else's training
        (run_of(source="mine/spanish.jsonl"), True, False),  # a file that is called like our task
    ],
)
def test_only_what_is_recorded_is_said_of_what_was_trained_on(run, alone, untaught):
    assert (findings.is_alone(run), findings.is_untaught(run)) == (alone, untaught)
    said = findings.outcome(run, path_of(0.9, 0.2, 0.6), 1)
    assert said.startswith("From 20 % back to 60 %") and ("not erased" in said) == untaught
    assert ("other data" in said) == findings.is_mixed(run)


@pytest.mark.parametrize("method, kinds, adapter", [
    ("lora", ("lora",), True), ("lora", ("lora", "delta"), True), ("ia3", ("delta",), True), ("oft", ("delta",), True),
    ("full", ("delta",), False), ("partial", ("delta",), False), ("unknown", ("lora",), True),
])  # fmt: skip
def test_what_lies_beside_the_old_weights_can_be_taken_off(method, kinds, adapter):
    assert findings.is_adapter(run_of(method=method, kinds=kinds)) == adapter


@pytest.mark.parametrize("answers, correct, said", [
    ("aa", (1, 1), "never changed"),
    ("aba", (1, 0, 1), "the first one again"),
    ("aba", (0, 0, 0), "the first one again"),
    ("abc", (1, 0, 1), "the last one is right, too"),
    ("abc", (0, 0, 1), "the last one is right."),
    ("abc", (1, 0, 0), "The right one is gone"),
    ("abc", (0, 1, 0), "The last one is wrong"),
])  # fmt: skip
def test_of_an_answer_is_said_what_became_of_it(answers, correct, said):
    assert said in findings.told(pd.DataFrame({"answer": list(answers), "correct": [bool(one) for one in correct]}))


@pytest.mark.parametrize("kept, said", [
    ((0.0, 0.0, 0.0), "next to nothing to forget"), ((0.9, 0.9, 0.9), "Nothing was forgotten"),
    ((0.9, 0.3, 0.3), "did not return"), ((0.9, 0.3, 0.6, 0.3), "more was lost"),
])  # fmt: skip
def test_a_floor_is_no_finding(kept, said):
    assert said in findings.outcome(run_of(), path_of(*kept), 1)


@pytest.mark.parametrize("each, kept, said", [
    (10, (0.9, 0.5, 0.65), "65 % after, which may be"), (10, (0.9, 0.1, 0.25), "25 % after: what came back may"),
    (10, (0.9, 0.9, 0.9), "90 % after, which may be"), (10, (0.9, 0.5, 0.6, 0.5), "50 % after: it did not"),
    (10, (0.9, 0.1, 0.6), "not erased"), (200, (0.9, 0.1, 0.25), "not erased"), (0, (0.9, 0.1, 0.6), "is not known"),
    (0, (0.9, 0.9, 0.9), "is not known"), (200, (0.9, 0.88, 0.88), "which may be chance"), (200, (0.9, 0.5, 0.9), "back"),
])  # fmt: skip
def test_what_chance_may_have_done_is_no_finding(each, kept, said):
    run = run_of(each=each)
    assert said in findings.outcome(run, path_of(*kept), 1)
    assert findings.has_returned(run, path_of(*kept), 1) == (said in ("not erased", "back"))


def test_a_skill_with_few_questions_weighs_as_much_as_one_with_many():
    run = run_of()
    assert findings.old_asked(run) == 400
    run.graded["sort"] = 2
    assert findings.old_asked(run) == 7
    run.graded["sort"] = float("nan")
    assert findings.old_asked(run) == 0


def test_a_run_that_was_asked_nothing_old_in_words_is_refused(lora_run):
    run = Run.load(lora_run.path)
    run.answers = run.answers[run.answers.skill == run.task]
    with pytest.raises(InputError, match="no answer in words to an old question"):
        forgetting.check(run)
    run = Run.load(lora_run.path)
    run.skills = run.skills.iloc[:1]
    with pytest.raises(InputError, match="was graded once"):
        forgetting.check(run)


@pytest.mark.parametrize("scene", [forgetting.Tiles, forgetting.Curves])
def test_two_evaluations_of_one_old_skill_are_enough(scene, lora_run, tmp_path, monkeypatch):
    """Nothing comes after a single tile, and after the last step there is nothing to guess."""
    few = tmp_path / "few"
    shutil.copytree(lora_run.path, few)
    first, last = lora_run.skills.index[[0, -1]]
    kept = [json.loads(line) for line in (few / "metrics.jsonl").read_text().splitlines()]
    kept = [one for one in kept if one["event"] != "eval" or one["step"] in (first, last)]
    for one in (one for one in kept if one["event"] == "eval"):
        one["exact"] = {name: one["exact"][name] for name in ("spanish", "capital")}
    (few / "metrics.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in kept))
    monkeypatch.setenv("GLASSTUNE_FILM_RUNS", json.dumps({"lora": str(few)}))
    said = [caption.text for caption in walk(scene, lambda _: None, width=240, height=136).captions]
    assert said and not any("A, B or C?" in text for text in said)


def test_the_ledgers_intervals_are_said_to_be_the_embedded_models(walked):
    """A film of somebody's own model shows them, too."""
    words = [word.text for word in walked(forgetting.Helps).beats[0].words]
    assert "computed: the embedded model, 95 % intervals" in words
