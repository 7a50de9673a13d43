"""A real LLM's column: one trial of two steps on a tiny random model, and every sentence read in a made-up world."""

import json
import random

import numpy as np
import pytest
from transformers import AutoModelForCausalLM

from engine.errors import InputError
from engine.models import load_tokenizer
from lessons.claims.llm import run as running
from lessons.claims.llm.arms import GENTLER, PILOT_RATES, arms, pilot
from lessons.claims.llm.column import column, markdown
from lessons.claims.llm.command import check_data
from lessons.claims.llm.run import best_rates, every, read_lines, run_one, subject_of, task_digest
from lessons.claims.llm.sentences import SENTENCES
from lessons.claims.llm.trial import CHAT, PILOT_SEED, Tuning, exchanged, material
from lessons.claims.verdict import VERDICTS
from tests.engine.small import CONFIGS

SEEDS = 3
MEASURES = {"new": 6, "new_loss": 6, "text": 4, "facts": 6, "few_shot": 4, "kl": 3, "agreement": 3, "task_kl": 3}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A random model with the embedded tokenizer: what it learns does not matter."""
    folder, tokenizer = tmp_path_factory.mktemp("models") / "tiny", load_tokenizer("embedded")
    config = CONFIGS["llama"].__class__(
        **{**CONFIGS["llama"].to_dict(), "vocab_size": len(tokenizer), "max_position_embeddings": 512,
           "pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_a_trial_of_two_steps_is_a_line_that_is_not_run_again(tiny, tmp_path):
    subject, path = subject_of(tiny), tmp_path / "trials.jsonl"
    trial = Tuning(method="lora", rate=1e-2, steps=2, replay=0.5, secrets=True, look=True, seed=1)
    run_one(trial, subject, path)
    text = path.read_text()
    run_one(trial, subject, path)
    assert path.read_text() == text and text.count("\n") == 1
    path.write_text(text + text[:40])  # a kill in mid-line
    ((found, result),) = read_lines(path, subject)
    assert found == trial
    assert result["steps"] == [0, 2] and len(result["losses"]) == 2
    before, after = result["grades"]
    assert before["items"].keys() == after["items"].keys() >= MEASURES.keys()
    assert np.average(before["items"]["new_loss"]["values"], weights=before["items"]["new_loss"]["weights"]) == (
        pytest.approx(before["new_loss"], rel=1e-3)
    )
    assert sum(before["items"]["kl"]["values"]) < 1e-5 < sum(after["items"]["kl"]["values"])
    assert result["secrets"]["repeats"] == [1, 4, 16] and all(rank > 0 for rank in result["matrices"]["rank_90"])
    assert not list(read_lines(path, subject_of(tiny, "other.jsonl")))  # another data's lines are others


def test_what_learned_other_data_is_tried_again(tmp_path, tiny):
    data, path = tmp_path / "own.jsonl", tmp_path / "trials.jsonl"
    data.write_text("one")
    subject, trial = subject_of(tiny, str(data)), Tuning(method="full", rate=1e-3, task="own")
    write(path, subject, {trial: {}})
    assert [found for found, _ in read_lines(path, subject)] == [trial]
    data.write_text("another")
    assert not list(read_lines(path, subject))


def test_the_data_of_a_trial_is_drawn_by_its_seed():
    one, other = material("facts", 0, None), material("facts", 1, None)
    assert one == material("facts", 0, None) and one != other
    answers = [{talk[-1]["content"] for talk in part} for part in one]
    assert answers[1] <= answers[0] and not {t[0]["content"] for t in one[0]} & {t[0]["content"] for t in one[1]}
    wrong = exchanged(one[0], 0.5, random.Random(0))
    assert sum(a != b for a, b in zip(one[0], wrong, strict=True)) <= len(one[0]) / 2
    assert sorted(t[-1]["content"] for t in wrong) == sorted(t[-1]["content"] for t in one[0])
    assert len(set(CHAT)) == len(CHAT)


def fake(trial, rise=0.0, rng=None):
    """A finished trial in which general text gets `rise` less likely by the end."""
    rng = rng or np.random.default_rng([trial.seed, *repr(trial.with_seed(0)).encode()[:200]])
    grades = []
    for share in (0.0, 0.3, 0.6, 1.0):
        items = {name: {"values": rng.uniform(0, 0.01, n).tolist(), "weights": [1] * n} for name, n in MEASURES.items()}
        items["new_loss"]["values"] = (5 - 4.8 * share + rng.uniform(0, 0.01, 6)).tolist()
        items["text"]["values"] = (3 + rise * share + rng.uniform(0, 0.001, 4)).tolist()
        grades.append({"new": share, "new_loss": 5 - 4.8 * share, "items": items})
    more = {"told": [False, False, True], "repeats": [1, 4, 16]}
    sizes = {name: [20.0, 22.0 + trial.seed] for name in ("rank_90", "intruders")}
    return {"steps": [0, 4, 8, 16], "grades": grades, "secrets": more, "matrices": sizes}


def write(path, subject, results):
    lines = [
        {"subject": subject.to_json(), "trial": t.to_json(), "task": task_digest(t, subject), "result": r}
        for t, r in results.items()
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def world(best, rises):
    return {
        trial.with_seed(seed): fake(trial.with_seed(seed), rises.get(name, 0.0))
        for name, trial in arms(best).items()
        for seed in range(SEEDS)
    }


@pytest.fixture
def subject(tiny):
    return subject_of(tiny)


def piloted():
    """The middle rate of each method ends lowest."""
    middle = {method: rates[1] for method, rates in PILOT_RATES.items()}
    return middle, {t: {"grades": [{"new_loss": 0.2 if t.rate == middle[t.method] else 1.0}]} for t in pilot()}


def test_the_pilot_chooses_the_rates_and_nothing_is_judged_before(tmp_path, subject):
    middle, results = piloted()
    path = tmp_path / "t.jsonl"
    with pytest.raises(InputError, match="the pilot of full has not finished"):
        best_rates(path, subject)
    write(path, subject, results)
    assert best_rates(path, subject) == middle
    chosen = arms(middle)
    assert chosen["full, gentle"].rate == middle["full"] / GENTLER and len(chosen) == 13


def test_every_sentence_is_read_to_its_end_and_can_come_out_either_way(tmp_path, subject):
    middle, results = piloted()
    path = tmp_path / "t.jsonl"
    for sign in (1, -1):
        rises = {"full": 0.5 * sign, "full, gentle": 0.1 * sign, "lora": 0.05 * sign, "lora on q and v": 0.05 * sign}
        write(path, subject, results | world(middle, rises))
        found = column(subject, path, SEEDS)
        assert found.finished == found.planned == 13 * SEEDS
        said = {entry.sentence.id: entry for entry in found.entries}
        assert said.keys() == {one.id for one in SENTENCES}
        assert all(entry.verdict in VERDICTS for entry in found.entries)
        effect, answer = said["drifts"].conditions["full"]
        assert effect.mean == pytest.approx(0.5 * sign, abs=0.01) and answer == ("yes" if sign > 0 else "no")
        # At a held-out loss of 1.5, 3.5 of 4.8 parts are done: between the grades at 0.6 and 1.0 a line is drawn.
        effect, answer = said["lora-forgets-less"].conditions["at the rates that learn best"]
        assert effect.mean == pytest.approx(0.45 * sign * 3.5 / 4.8, abs=0.01)
        assert answer == ("yes" if sign > 0 else "no")
        effect, answer = said["full-rank"].conditions["r = 16"]
        assert effect.mean == pytest.approx(np.mean([21 + seed / 2 for seed in range(SEEDS)]) - 16) and answer == "yes"
        page = markdown(found)
        assert all(one.sentence in page for one in SENTENCES) and ": not yet tried" not in page
        assert "## Do both forget alike?" in page


@pytest.mark.parametrize("at", [0, -1])
def test_a_best_rate_at_the_edge_of_what_was_tried_is_compared_with_no_other_method(tmp_path, subject, at):
    _, results = piloted()
    best = {method: sorted(rates)[at if method == "lora" else 1] for method, rates in PILOT_RATES.items()}
    results = {t: {"grades": [{"new_loss": 0.2 if t.rate == best[t.method] else 1.0}]} for t in results}
    path = tmp_path / "t.jsonl"
    write(path, subject, results | world(best, {"full": 0.5, "lora": 0.05}))
    found = column(subject, path, SEEDS)
    said = {entry.sentence.id: entry for entry in found.entries}
    for both in ("lora-forgets-less", "lora-drifts-less", "full-most", "intruders"):
        assert {answer for _, answer in said[both].conditions.values()} == {"censored"}, both
    assert {answer for _, answer in said["drifts"].conditions.values()} <= {"yes", "no", "undecided"}
    format_of = {name: answer for name, (_, answer) in said["format"].conditions.items()}
    assert format_of["lora"] == "censored" != format_of["full"]
    assert "no sentence compares it with another method" in markdown(found)


def test_own_data_is_what_is_learned(tmp_path, tiny):
    data, path = tmp_path / "mine.jsonl", tmp_path / "t.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"Who is {n}?", "answer": f"Number {n}."}) + "\n" for n in range(60)))
    subject = subject_of(tiny, str(data))
    middle, _ = piloted()
    chosen = arms(middle, subject.task)
    assert {trial.task for trial in pilot(subject.task)} == {"own"}
    assert {name for name, trial in chosen.items() if trial.task != "own"} == {n for n in chosen if "json" in n}
    check_data(str(data))
    parts = [[{t[0]["content"] for t in part} for part in material("own", at, str(data))] for at in (PILOT_SEED, 0, 1)]
    (taught, asked), *judged = parts
    assert asked and all(asked.isdisjoint(part) for one in judged for part in one) and not taught & asked
    results = {t: {"grades": [{"new_loss": 0.2 if t.rate == middle[t.method] else 1.0}]} for t in pilot("own")}
    write(path, subject, results | {t.with_seed(s): fake(t.with_seed(s)) for t in chosen.values() for s in range(2)})
    page = markdown(column(subject, path, 2))
    assert "`mine.jsonl` and JSON" in page and "mine.jsonl: " in page and "facts of an island" not in page
    data.write_text("".join(data.read_text().splitlines(keepends=True)[:30]))
    with pytest.raises(InputError, match="too few to be graded on; give 40 conversations or more"):
        check_data(str(data))


def test_a_line_that_a_kill_has_cut_takes_no_other_with_it(tmp_path, tiny, monkeypatch):
    subject, path = subject_of(tiny), tmp_path / "t.jsonl"
    write(path, subject, {Tuning(seed=1): {}})
    path.write_text(path.read_text() + path.read_text()[:40])
    monkeypatch.setattr(Tuning, "run", lambda *_: {"done": True})
    run_one(Tuning(seed=2), subject, path)
    assert [(trial.seed, result) for trial, result in read_lines(path, subject)] == [(1, {}), (2, {"done": True})]


def test_what_is_not_tried_is_said_so(tmp_path, subject):
    middle, results = piloted()
    path = tmp_path / "t.jsonl"
    some = {trial: r for trial, r in world(middle, {}).items() if trial.method == "full" and trial.seed < 2}
    write(path, subject, results | some)
    found = column(subject, path, 5)
    said = {entry.sentence.id: entry for entry in found.entries}
    assert found.seeds == 2
    assert said["drifts"].conditions["lora"] == (None, "missing") and said["drifts"].verdict not in ("holds", "exact")
    assert said["all-layers"].verdict == "not yet tried"
    assert "lora: not yet tried" in markdown(found)


def test_the_pilot_goes_first_then_seed_after_seed_and_a_stop_goes_on(tmp_path, subject, monkeypatch):
    ran = []

    def one(trial, subject, path):
        ran.append(trial)
        results = piloted()[1]
        with path.open("a") as file:
            result = results.get(trial) or fake(trial)
            line = {"subject": subject.to_json(), "trial": trial.to_json(), "task": task_digest(trial, subject)}
            file.write(json.dumps(line | {"result": result}) + "\n")
        if len(ran) == 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(running, "run_one", one)
    path = tmp_path / "t.jsonl"
    with pytest.raises(KeyboardInterrupt):
        every(subject, path, 2)
    every(subject, path, 2)
    assert len(ran) == len(set(ran)) == len(pilot()) + 2 * 13
    assert ran[: len(pilot())] == pilot() and [trial.seed for trial in ran[len(pilot()) :]] == [0] * 13 + [1] * 13


def test_a_prompt_shows_what_a_training_learns_from(tiny):
    shown = Tuning(method="prompt", task="json", examples=3, bare=True).run(tiny)
    assert shown["examples"] == 3 and shown["steps"] == [0, 0]
    before, after = (grade["items"]["new_loss"]["values"] for grade in shown["grades"])
    assert len(before) == len(after) and before != after  # the same questions, with more before them
