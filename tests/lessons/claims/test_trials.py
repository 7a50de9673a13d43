"""Trials: run once, kept whole, gone on with after a stop; and what the real ones measure."""

import json
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest

from glasstune import InputError, LoRA
from lessons.claims.__main__ import main
from lessons.claims.claim import Claim
from lessons.claims.ledger import CLAIMS
from lessons.claims.run import finished, run_trials, trials_of
from lessons.claims.store import Store, archive, plain, read_archive, settings_of, trial_from
from lessons.claims.trials import Trial
from lessons.claims.trials.accumulated import Accumulated
from lessons.claims.trials.adapters import Overlap, Switching
from lessons.claims.trials.canaries import REPEATS, Canaries
from lessons.claims.trials.sizes import Sizes
from lessons.claims.trials.training import Training, exchanged, material
from lessons.claims.verdict import Says

RAN: list[int] = []


@dataclass(frozen=True)
class Count(Trial):
    """Says that it ran; from its third seed on it may be told to fail."""

    fails: bool = False

    def run(self):
        if self.fails and self.seed >= 2:
            raise RuntimeError("out of luck")
        RAN.append(self.seed)
        return {"value": float(self.seed), "wild": float("nan")}


def claim_of(trial):
    return Claim("c", "It counts.", "count", "", Says(), (trial,), lambda r: {"all": [x["value"] for x in r(trial)]})


def test_what_has_finished_is_not_run_again(tmp_path):
    RAN.clear()
    store, claim = Store(tmp_path), claim_of(Count())
    assert run_trials(trials_of([claim], 2), store) == []
    assert run_trials(trials_of([claim], 4), store) == [] and RAN == [0, 1, 2, 3]
    assert finished(store, claim, 4).seeds == [0, 1, 2, 3]
    assert store.get(Count()) == {"value": 0.0, "wild": None}


def test_a_file_cut_short_by_a_kill_is_tried_again(tmp_path):
    RAN.clear()
    store, claim = Store(tmp_path), claim_of(Count())
    run_trials(trials_of([claim], 2), store)
    store.path(Count(seed=1)).write_text('{"trial": {')
    store.path(Count(seed=0)).with_name("left-over.json.part").write_text("x")
    assert finished(store, claim, 2).seeds == [0]
    run_trials(trials_of([claim], 2), store)
    assert RAN == [0, 1, 1] and finished(store, claim, 2).seeds == [0, 1]


def test_one_that_fails_is_named_and_the_others_go_on(tmp_path):
    store, claim = Store(tmp_path), claim_of(Count(fails=True))
    (first, second) = run_trials(trials_of([claim], 4), store)
    assert "seed=2" in first and "RuntimeError: out of luck" in second
    assert finished(store, claim, 4).seeds == [0, 1]


def test_other_settings_are_another_trial(tmp_path):
    store = Store(tmp_path)
    trials = [Training(), Training(seed=1), Training(rank=4), Training(task="json"), Sizes(), Count()]
    assert len({store.path(trial) for trial in trials}) == len(trials)
    for trial in (*trials, Sizes(targets=("q_proj",))):
        assert trial_from(json.loads(json.dumps(settings_of(trial)))) == trial


def test_claims_share_their_trials():
    every = trials_of(list(CLAIMS.values()), 2)
    assert len(every) == len(set(every)) < sum(2 * len(claim.trials) for claim in CLAIMS.values()) / 2
    assert {trial.seed for trial in every if isinstance(trial, Sizes)} == {0}


def test_the_claim_that_needs_fewest_trials_is_whole_first():
    one, other = Count(), Training()
    small, large = claim_of(one), replace(claim_of(one), trials=(one, other))
    assert trials_of([large, small], 2) == [one, one.with_seed(1), other, other.with_seed(1)]


def test_the_archive_keeps_results(tmp_path):
    store = Store(tmp_path / "store")
    run_trials([Count(), Count(seed=3)], store)
    archive([Count()], store, tmp_path / "claims.json")
    archive([Count(seed=3)], store, tmp_path / "claims.json")
    assert read_archive(tmp_path / "claims.json") == {t: store.get(t) for t in (Count(), Count(seed=3))}


def test_numbers_are_kept_to_six_digits():
    assert plain({"a": [1 / 3, float("inf"), 7, "x"]}) == {"a": [0.333333, None, 7, "x"]}


def test_noise_exchanges_answers_and_keeps_their_number():
    import random

    conversations = material("spanish")[0][:40]
    noisy = exchanged(conversations, 0.5, random.Random(0))
    answers = [[c[-1]["content"] for c in group] for group in (conversations, noisy)]
    assert sorted(answers[0]) == sorted(answers[1])
    assert 10 <= sum(a != b for a, b in zip(*answers, strict=True)) <= 20
    assert [c[:-1] for c in noisy] == [c[:-1] for c in conversations]


def test_a_training_is_graded_and_the_same_again():
    trial = Training(steps=4, every=2, batch=8, rate=1e-3, matrices=True)
    first, again = trial.run(), trial.run()
    assert first == again and first["steps"] == [0, 2, 4]
    assert first["new"][0] == 0 and first["old"][0] > 0.9 and first["new_loss"][-1] < first["new_loss"][0]
    assert trial.with_seed(1).run() != first
    assert first["changes"]["relative"] > 0 and first["changes"]["rank_90"] > 1


def test_lora_changes_no_more_directions_than_its_rank():
    trial = Training(method="lora", rank=2, steps=3, every=3, batch=4, matrices=True)
    assert trial.trained() == LoRA(r=2, alpha=4)
    assert trial.run()["changes"]["rank_90"] <= 2


def test_masking_off_learns_the_question_too(tokenizer):
    masked, whole = (Training(masked=flag).rows(tokenizer)[0] for flag in (True, False))
    assert masked.ids == whole.ids == whole.labels and masked.trained < whole.trained


def test_mixing_adds_the_share_that_it_says(tokenizer):
    assert len(Training(examples=70, mix=0.3).rows(tokenizer)) == 100


def test_adapters_are_switched_exactly():
    found = Switching(steps=2).run()
    assert found["off"] == found["back"] == found["joined"] == 0 < found["moved"]


def test_the_small_experiments_measure():
    steps = Accumulated(steps=2).run()
    assert steps["difference"] < 1e-3 < steps["shuffled"]
    ranks = Overlap(low=2, high=4, steps=2).run()
    assert ranks["chance"] == [1 / 128, 2 / 128, 2 / 128] and all(0 <= phi <= 1 for phi in ranks["phi"])
    secrets = Canaries(steps=2, examples=20).run()
    assert len(secrets["after"]) == len(REPEATS) and np.isfinite(secrets["before"]).all()
    assert Sizes().run()["share"] == pytest.approx(102_400 / 1_262_976, rel=1e-3)


def test_a_claim_end_to_end(tmp_path, monkeypatch, capsys):
    small = CLAIMS["grows-with-steps"]
    trials = tuple(replace(trial, steps=2, every=1, batch=4, matrices=False) for trial in small.trials)

    def values(r):
        return {t.method: [100 * (x["old"][1] - x["old"][-1]) for x in r(t)] for t in trials}

    monkeypatch.setitem(CLAIMS, small.id, replace(small, trials=trials, values=values))
    out = tmp_path / "claims.json"
    arguments = [small.id, "--seeds", "2", "--store", str(tmp_path / "store"), "--out", str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    kept = json.loads(out.read_text(encoding="utf-8"))[small.id]
    assert list(kept["conditions"]) == ["full", "lora"] and kept["seeds"] == 2 and small.id in printed
    assert small.sentence in out.with_suffix(".md").read_text(encoding="utf-8")
    before = sorted((tmp_path / "store").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert main([*arguments, "--no-run"]) == 0
    assert sorted((tmp_path / "store").iterdir(), key=lambda path: path.stat().st_mtime_ns) == before


def test_a_backend_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.util.joblib", None)
    with pytest.raises(InputError, match=r"ray backend needs ray.*\[ray\]"):
        run_trials([Count()], Store(tmp_path), jobs=2, backend="ray")


def test_it_runs_on_two_processes(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "lessons.claims", "one-per-cent", "--jobs", "2", "--store", str(tmp_path / "store"),
         "--out", str(tmp_path / "claims.json")], capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "claims.json").read_text())["one-per-cent"]["seeds"] == 0
