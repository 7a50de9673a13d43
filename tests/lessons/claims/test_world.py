"""Every claim, read to its end, in a made-up world whose truth is known: the same is not called different there.

Trainings are curves: what is learned and forgotten follows from rate x steps, forgetting grows with the rate besides,
and LoRA is full fine-tuning at a tenth of its rate. No model is loaded.
"""

from zlib import crc32

import numpy as np
import pytest

from lessons.claims import intervals
from lessons.claims.compact import pack_bits, pack_nats, pack_shares
from lessons.claims.ledger import CLAIMS, rows_of
from lessons.claims.run import in_order, wanted
from lessons.claims.store import SHIPPED, Store
from lessons.claims.trials.accumulated import Accumulated
from lessons.claims.trials.adapters import Overlap, Switching
from lessons.claims.trials.canaries import Canaries
from lessons.claims.trials.prompting import Prompting
from lessons.claims.trials.quantised import KINDS, Quantised
from lessons.claims.trials.questions import asked_both_ways
from lessons.claims.trials.sizes import Sizes
from lessons.claims.trials.training import Training, moments
from lessons.claims.verdict import CENSORED, DEPENDS, EXACT, FAILS, HOLDS, NO_ROOM, OPEN

NEW, OLD = 160, max(asked_both_ways("judge")) + 1
SIZES = Store(SHIPPED)  # of models of billions of weights: arithmetic, which took some seconds
CHOICES = len(asked_both_ways("judge"))


def asked(share, count, rng, names):
    """Right or wrong: each question has a difficulty of its own, which is the same in every trial."""
    hard = np.random.default_rng(list(names.encode())).random(count)
    return hard + 0.05 * rng.normal(size=count) < share


def grades(trial, step, rng):
    rate = trial.rate / (10 if trial.method != "full" else 1)
    done = rate * step * (1 - trial.mix / 2) * 40
    learned = 0.97 * (1 - np.exp(-done)) * (1 - trial.noise / 2)
    kept = 1 - (0.25 + 150 * rate) * (1 - np.exp(-done)) * (1 - trial.mix)
    loss = 3 * np.exp(-done) + (rate * 300) ** 2 + (0.002 * step if trial.examples == 32 else 0)
    return {
        "new": pack_bits(asked(learned, NEW, rng, "new")),
        "new_loss": pack_nats(np.clip(loss + 0.05 * rng.normal(size=NEW), 0, None)),
        "exact": pack_bits(asked(kept, OLD, rng, "old")),
        "choice": pack_shares(np.clip(1 - (1 - kept) / 3 + 0.02 * rng.normal(size=CHOICES), 0, 1)),
        "text": pack_nats(np.clip(2 - kept + 0.02 * rng.normal(size=6), 0, None)),
        "kl": float(1 - kept),
    }


def training(trial):
    rng = np.random.default_rng(crc32(repr(trial).encode()))
    steps, found = [0], [grades(trial, 0, rng)]
    for step in moments(trial.steps, finely=bool(trial.until)):
        steps.append(step)
        found.append(grades(trial, step, rng))
    spread = {"relative": 0.1, "effective_rank": 40.0, "rank_90": 40.0 + rng.normal(), "intruders": [1.0, 2.0, 3.0]}
    return {"steps": steps, "at": found, "form": pack_bits([True] * 60), "changes": spread}


def result(trial):
    rng = np.random.default_rng(crc32(repr(trial).encode()))
    match trial:
        case Training():
            return training(trial)
        case Prompting():
            share = 0.9 if trial.told or trial.examples >= 16 else 0.5
            return {"new": pack_bits(asked(share, NEW, rng, "new")), "form": pack_bits(rng.random(60) < 0.5)}
        case Canaries():
            return {"told": [pack_bits([False] * 8), pack_bits([True] * 4 + [False] * 4), pack_bits([True] * 8)]}
        case Quantised():
            one = {
                "exact": pack_bits([True] * 600), "loss": pack_nats([0.1] * 600), "choice": pack_shares([0.9] * 200),
                "text": pack_nats([1.0] * 40),
            }  # fmt: skip
            return dict.fromkeys(KINDS, one)
        case Overlap():
            return {"phi": [[0.8, 0.7], [0.5, 0.5], [0.2, 0.2]], "directions": [1, 2, 8], "chance": [0.1, 0.1, 0.1]}
        case Switching():
            return {"off": 0, "back": 0, "joined": 0, "moved": 9}
        case Accumulated():
            return {"difference": 1e-6 * (1 + rng.random()), "shuffled": 1.0}
        case Sizes():
            return SIZES.found[trial].result if SIZES.finished(trial) else trial.run()
    raise AssertionError(trial)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """All claims, tried there; and how many trials that took."""
    store = Store(tmp_path_factory.mktemp("world") / "t.jsonl")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(intervals, "DRAWS", 150)  # enough here, and it is read a hundred times
    readers = [read for claim in in_order(CLAIMS.values()) for read in claim.conditions.values()]
    while waiting := wanted(readers, store, 5, at_least=50):
        for trial in waiting:
            store.put(trial, result(trial))
    yield {row.id: row for row in rows_of(store)}, store
    monkeypatch.undo()


def test_every_claim_is_read_to_its_end(world):
    rows, store = world
    assert rows.keys() == CLAIMS.keys()
    assert not [row.id for row in rows.values() if row.missing]
    assert 300 < len(store.found) < 900  # what a ledger costs: some seconds each


def test_what_is_so_there_is_found(world):
    rows, _ = world
    said = {name: row.verdict for name, row in rows.items()}
    more = rows["grows-with-steps"].conditions.values()  # by less than matters where what is lost is nearly all lost
    assert all(one.effect.high > 0 for one in more) and "yes" in [one.answer for one in more]
    for name in ("specialist", "grows-with-rate", "mixing", "gentle-rate", "lora-rate-higher"):
        answers = [one.answer for one in rows[name].conditions.values()]
        assert "yes" in answers and "no" not in answers, rows[name]
    assert said["lora-rate"] == HOLDS and said["full-rank"] == HOLDS and said["domain"] == HOLDS
    for name in ("switch-off", "share-a-base", "memory-65b", "memory-steps", "decay-shrinks-little"):
        assert said[name] == EXACT
    assert said["one-per-cent"] == DEPENDS


def test_what_is_the_same_there_is_not_called_different(world):
    rows, _ = world
    for name in ("lora-forgets-less", "lora-drifts-less", "full-most", "less-by-rank", "masking", "warmup-learns"):
        assert rows[name].verdict in (FAILS, OPEN, NO_ROOM, CENSORED), (name, rows[name].conditions)
    assert rows["nf4-best"].verdict in (FAILS, OPEN) and rows["intruders"].verdict == FAILS
    assert rows["leaks"].verdict == OPEN and rows["leaks-repeats"].verdict == HOLDS
