"""Stated corruption: so many answers are wrong, no more, and the questions are as they were."""

import pytest

from engine.data import load
from engine.data.noise import with_wrong_answers
from engine.evaluate import last_answer
from glasstune import InputError

DATA = load("spanish").train[:80]


@pytest.mark.parametrize("share, wrong", [(0, 0), (0.25, 20), (1, 80)])
def test_exactly_that_share_is_wrong(share, wrong):
    changed = with_wrong_answers(DATA, share, seed=3)
    pairs = [(last_answer(old), last_answer(new)) for old, new in zip(DATA, changed, strict=True)]
    assert sum(old[1] != new[1] for old, new in pairs) == wrong
    assert all(old[0] == new[0] for old, new in pairs)
    assert {new[1] for _, new in pairs} <= {old[1] for old, _ in pairs}, "wrong answers are others' right ones"


def test_the_same_seed_corrupts_the_same_and_leaves_the_data_alone():
    before = [list(conversation) for conversation in DATA]
    assert with_wrong_answers(DATA, 0.5, 1) == with_wrong_answers(DATA, 0.5, 1) != with_wrong_answers(DATA, 0.5, 2)
    assert before == [list(conversation) for conversation in DATA]


def test_what_cannot_be_corrupted_is_refused():
    with pytest.raises(InputError, match="share is 2"):
        with_wrong_answers(DATA, 2)
    with pytest.raises(InputError, match="no two different answers"):
        with_wrong_answers(DATA[:1], 0.5)
