"""Trials: run once, kept whole, gone on with after a stop; and what the real ones measure."""

import json
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest

from glasstune import InputError, LoRA
from lessons.claims.__main__ import main
from lessons.claims.claim import Claim, NotYet, Results
from lessons.claims.compact import unpack_bits, unpack_nats, unpack_shares
from lessons.claims.intervals import mean_effect
from lessons.claims.ledger import CLAIMS, trials_behind
from lessons.claims.run import in_order, run_claims, run_trials, wanted
from lessons.claims.store import SHIPPED, Store, _version, plain, settings_of, trial_from, version_of
from lessons.claims.trials import Trial
from lessons.claims.trials.accumulated import Accumulated
from lessons.claims.trials.adapters import Overlap, Switching
from lessons.claims.trials.canaries import OF_EACH, REPEATS, Canaries
from lessons.claims.trials.prompting import Prompting
from lessons.claims.trials.questions import asked_both_ways, new_questions, old_knowledge
from lessons.claims.trials.sizes import Sizes
from lessons.claims.trials.training import Training, exchanged, material, moments
from lessons.claims.verdict import Says

RAN: list[tuple[int, bool]] = []


@dataclass(frozen=True)
class Count(Trial):
    """Says that it ran; from its third seed on it may be told to fail."""

    fails: bool = False
    second: bool = False

    def run(self):
        if self.fails and self.seed >= 2:
            raise RuntimeError("out of luck")
        RAN.append((self.seed, self.second))
        return {"value": float(self.seed), "wild": float("nan")}


def claim_of(*trials):
    def read(r):
        for trial in trials:
            rows = r(trial)
        return mean_effect([row["value"] for row in rows])

    says = Says("more", 0, "why not")
    return Claim("c", "It counts.", "count", "", says, {"all": read}, design="d", wrong="w", student="s")


def readers(*claims):
    return [read for claim in claims for read in claim.conditions.values()]


def test_what_has_finished_is_not_run_again(tmp_path):
    RAN.clear()
    claim = claim_of(Count())
    assert run_claims([claim], Store(tmp_path / "t.jsonl"), seeds=2) == []
    store = Store(tmp_path / "t.jsonl")
    assert run_claims([claim], store, seeds=4) == [] and [seed for seed, _ in RAN] == [0, 1, 2, 3]
    assert store.get(Count()).result == {"value": 0.0, "wild": None}
    assert len((tmp_path / "t.jsonl").read_text().splitlines()) == 4


def test_one_reading_may_ask_for_more_once_the_first_is_there(tmp_path):
    RAN.clear()
    store, claim = Store(tmp_path / "t.jsonl"), claim_of(Count(), Count(second=True))
    assert wanted(readers(claim), store, 2) == [Count(), Count(seed=1)]
    run_claims([claim], store, seeds=2)
    assert RAN == [(0, False), (1, False), (0, True), (1, True)]
    with pytest.raises(NotYet) as more:
        Results(lambda trial: None, 3).each(Count(), Count(second=True))
    assert len(more.value.trials) == 6  # all at once, so that they can run side by side


def test_a_line_cut_short_by_a_kill_is_tried_again(tmp_path):
    file, claim = tmp_path / "t.jsonl", claim_of(Count())
    run_claims([claim], Store(file), seeds=2)
    file.write_text(file.read_text()[:-30])
    RAN.clear()
    run_claims([claim], Store(file), seeds=2)
    assert RAN == [(1, False)] and Store(file).found.keys() == {Count(), Count(seed=1)}


def test_what_another_base_or_other_code_made_is_tried_again(tmp_path, monkeypatch):
    store = Store(tmp_path / "t.jsonl")
    run_claims([claim_of(Count())], store, seeds=1)
    assert store.finished(Count())
    monkeypatch.setattr("lessons.claims.store.embedded_digest", lambda: "another")
    assert not store.finished(Count()) and store.get(Count()) is not None
    monkeypatch.undo()
    monkeypatch.setattr("lessons.claims.store.version_of", lambda trial: "other")
    assert not store.finished(Count())


def test_another_task_in_the_same_place_is_tried_again(tmp_path, monkeypatch):
    def written(task, part):
        return tmp_path / f"{part}.jsonl"

    monkeypatch.setattr(
        "lessons.claims.store.task_files", lambda task: [written(task, "train"), written(task, "heldout")]
    )
    seen = set()
    for text in ("one", "another"):
        for part in ("train", "heldout"):
            written("json", part).write_text(text)
        _version.cache_clear()
        seen |= {version_of(Training(task="json")), version_of(Training(task="shown: past"))}
    _version.cache_clear()
    assert len(seen) == 3  # two of the task in files, one of what the curriculum shows


def test_one_that_fails_is_named_and_the_others_go_on(tmp_path):
    store = Store(tmp_path / "t.jsonl")
    (first, second) = run_claims([claim_of(Count(fails=True))], store, seeds=4)
    assert "seed=2" in first and "RuntimeError: out of luck" in second
    assert store.found.keys() == {Count(fails=True), Count(1, fails=True)}


def test_the_shipped_file_holds_each_trial_once_and_no_others(tmp_path):
    store = Store(tmp_path / "t.jsonl")
    for trial in (Count(), Count(), Count(seed=7), Count(seed=1)):
        store.put(trial, trial.run())
    store.tidy(lambda store: [Count(seed=1), Count(), Count(seed=3)])
    kept = [json.loads(line)["trial"]["seed"] for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert kept == [0, 1]


def test_what_another_process_finished_meanwhile_is_kept(tmp_path):
    ours, theirs = Store(tmp_path / "t.jsonl"), Store(tmp_path / "t.jsonl")
    ours.put(Count(), Count().run())
    theirs.put(Count(seed=1), Count(seed=1).run())
    ours.tidy(lambda store: list(store.found))
    assert Store(ours.file).found.keys() == {Count(), Count(seed=1)}


def test_results_that_answered_other_questions_do_not_end_the_ledger(tmp_path, monkeypatch):
    def read(r):
        return mean_effect([row["unheard of"] for row in r(Count())])

    monkeypatch.setitem(CLAIMS, "c", replace(claim_of(), conditions={"all": read}))
    store = Store(tmp_path / "t.jsonl")
    for seed in range(5):
        store.put(Count(seed=seed), Count(seed=seed).run())
    store.put(Count(seed=0, second=True), {})  # which it might have looked at next
    assert set(trials_behind(store)) == store.found.keys()


def test_while_a_claim_lacks_trials_none_is_thrown_away(tmp_path, monkeypatch):
    """What it would look at next, once it is chosen by those, is not known: five seeds of it may lie there."""

    def read(r):
        chosen = r.need([Count(seed=100), Count(seed=101)])  # of which one has not run yet
        return mean_effect([row["value"] for row in [*chosen, *r(Count(second=True))]])

    monkeypatch.setitem(CLAIMS, "c", replace(claim_of(), conditions={"all": read}))
    store = Store(tmp_path / "t.jsonl")
    for trial in (Count(seed=100), *(Count(seed=seed, second=True) for seed in range(5))):
        store.put(trial, trial.run())
    store.tidy(trials_behind)
    assert len(Store(store.file).found) == 6


def test_a_store_that_cannot_be_written_says_so():
    with pytest.raises(InputError, match="cannot be written"):
        Store(__import__("pathlib").Path("/dev/null/x")).put(Count(), {})


def test_settings_come_back_as_the_same_trial():
    trials = [
        Training(),
        Training(seed=1),
        Training(rank=4),
        Training(task="json"),
        Sizes(targets=("q_proj",)),
        Count(),
    ]
    for trial in trials:
        assert trial_from(json.loads(json.dumps(settings_of(trial)))) == trial
    assert len({json.dumps(settings_of(trial)) for trial in trials}) == len(trials)


def test_claims_share_their_trials_and_arithmetic_comes_first(tmp_path):
    store = Store(tmp_path / "t.jsonl")
    each = [wanted(readers(claim), store, 5, at_least=10_000) for claim in CLAIMS.values()]
    every = wanted(readers(*CLAIMS.values()), store, 5, at_least=10_000)
    assert len(every) == len(set(every)) < sum(map(len, each)) / 1.5
    assert in_order(CLAIMS.values())[0].exact and {t.seed for t in every if isinstance(t, Sizes)} == {0}


def test_numbers_are_kept_to_six_digits():
    assert plain({"a": [1 / 3, float("inf"), 7, "x"]}) == {"a": [0.333333, None, 7, "x"]}


def test_noise_exchanges_answers_and_keeps_their_number():
    conversations = material("spanish")[0][:40]
    noisy = exchanged(conversations, 0.5, 0)
    answers = [[c[-1]["content"] for c in group] for group in (conversations, noisy)]
    assert sorted(answers[0]) == sorted(answers[1])
    assert 10 <= sum(a != b for a, b in zip(*answers, strict=True)) <= 20
    assert [c[:-1] for c in noisy] == [c[:-1] for c in conversations]


def test_what_is_chosen_by_and_what_is_judged_by_share_no_question():
    for task in ("spanish", "json", "adding", "notes", "island"):
        judged, chosen = ({json.dumps(m) for m in new_questions(task, side)} for side in ("judge", "choose"))
        assert len(judged) >= 100 and len(chosen) >= 50 and not judged & chosen
    judged, chosen = old_knowledge("judge"), old_knowledge("choose")
    for kind in ("answers", "choices", "texts"):
        assert not {str(one) for one in getattr(judged, kind)} & {str(one) for one in getattr(chosen, kind)}
    for at, choice in zip(asked_both_ways("judge"), judged.choices, strict=True):
        assert judged.answers[at][:-1] == choice.prompt and judged.answers[at][-1]["content"] == choice.options[0]


def test_a_training_is_graded_question_by_question_and_the_same_again():
    trial = Training(steps=20, batch=8, rate=1e-3, matrices=True)
    first, again = trial.run(), trial.run()
    assert first == again and first["steps"] == [0, 10, 20] == [0, *moments(20)]
    start, end = first["at"][0], first["at"][-1]
    assert unpack_bits(start["new"]).sum() == 0 and unpack_bits(start["exact"]).mean() > 0.9
    assert unpack_nats(end["new_loss"]).mean() < unpack_nats(start["new_loss"]).mean()
    assert len(unpack_bits(start["new"])) == len(new_questions("spanish", "judge")) == 160
    assert len(unpack_shares(start["choice"])) == len(old_knowledge("judge").choices)
    assert start["kl"] < 1e-3 < end["kl"]
    assert first["changes"]["relative"] > 0 and len(first["changes"]["intruders"]) == 3


def test_a_training_may_end_when_it_has_learned():
    ended = Training(steps=400, until=0.01, rate=2e-3, old=False).run()
    assert ended["steps"][-1] < 400 and unpack_bits(ended["at"][-1]["new"]).mean() >= 0.01
    assert all(unpack_bits(grades["new"]).mean() < 0.01 for grades in ended["at"][:-1])


def test_the_rate_is_constant_unless_it_is_told_to_fall():
    assert Training().settings().trainer == {"lr_scheduler_type": "constant_with_warmup"}
    assert Training(schedule="linear").settings().trainer is None


def test_lora_changes_no_more_directions_than_its_rank():
    trial = Training(method="lora", rank=2, steps=3, batch=4, old=False, matrices=True)
    assert trial.trained() == LoRA(r=2, alpha=16)  # fixed, so that ranks can be compared
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
    assert ranks["chance"] == [1 / 128, 2 / 128, 2 / 128]
    assert all(0 <= phi <= 1 for row in ranks["phi"] for phi in row)
    secrets = Canaries(examples=16).run()
    assert [len(unpack_bits(said)) for said in secrets["told"]] == [OF_EACH] * len(REPEATS)
    assert not unpack_bits(secrets["before"]).any()
    prompted = Prompting(task="notes", examples=4).run()
    assert len(unpack_bits(prompted["new"])) == len(new_questions("notes", "judge"))
    assert len(unpack_bits(prompted["form"])) == 60
    assert Sizes().run()["share"] == pytest.approx(102_400 / 1_262_976, rel=1e-3)


def test_a_claim_end_to_end(tmp_path, monkeypatch, capsys):
    small = CLAIMS["full-rank"]
    trial = Training(steps=2, batch=4, old=False)
    conditions = {"r = 8": lambda r: mean_effect([row["steps"][-1] for row in r(trial)])}
    monkeypatch.setitem(CLAIMS, small.id, replace(small, conditions=conditions))
    monkeypatch.setattr("lessons.claims.store.SHIPPED", tmp_path / "none")  # whose forty claims are not drawn, too
    out = tmp_path / "claims.json"
    arguments = [small.id, "--store", str(tmp_path / "t.jsonl"), "--out", str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    kept = json.loads(out.read_text(encoding="utf-8"))[small.id]
    assert list(kept["conditions"]) == ["r = 8"] and small.id in printed
    assert small.sentence in out.with_suffix(".md").read_text(encoding="utf-8")
    before = (tmp_path / "t.jsonl").stat().st_mtime_ns
    assert main([*arguments, "--no-run"]) == 0
    assert (tmp_path / "t.jsonl").stat().st_mtime_ns == before


def test_a_backend_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.util.joblib", None)
    with pytest.raises(InputError, match=r"ray backend needs ray.*\[ray\]"):
        run_trials([Count()], Store(tmp_path / "t.jsonl"), jobs=2, backend="ray")


def test_it_runs_on_two_processes(tmp_path, monkeypatch):
    store = tmp_path / "t.jsonl"
    monkeypatch.setattr("lessons.claims.store.SHIPPED", tmp_path / "none")
    assert main(["one-per-cent", "--jobs", "2", "--store", str(store), "--out", str(tmp_path / "claims.json")]) == 0
    assert "one-per-cent" in json.loads((tmp_path / "claims.json").read_text())
    assert np.isfinite([kept.result["share"] for kept in Store(store).found.values()]).all()


def test_no_trial_asks_for_more_examples_than_there_are():
    """It would be given fewer, and a card would say a number that was never tried."""
    asked = [trial for trial in Store(SHIPPED).found if isinstance(trial, Training | Prompting)]
    assert asked
    assert not [trial for trial in asked if trial.examples > len(material(trial.task)[0])]
