"""A run's own data, read again: the very same, or one sentence that says what is the matter."""

import json

import pytest

from engine.data.of_run import data_of
from engine.data.records import digest, hold_out, load
from engine.errors import InputError
from engine.evaluate.compare import questions_of
from engine.run.run import Run

SEED = 3


@pytest.fixture
def told(tmp_path):
    """Writes the run.json of a run that was trained on some records, and what else it says of its data."""

    def write(**data):
        info = {"format": "glasstune-run", "version": 2, "settings": {"seed": SEED}, "data": data}
        (tmp_path / "run.json").write_text(json.dumps(info))
        return Run.load(tmp_path)

    return write


@pytest.fixture
def source(tmp_path):
    lines = [json.dumps({"prompt": f"What is {n}?", "completion": f"It is {n}."}) for n in range(40)]
    (tmp_path / "mine.jsonl").write_text("\n".join(lines))
    return tmp_path / "mine.jsonl"


def test_it_is_what_was_trained_on_and_held_out(told, source):
    expected = hold_out(load(source), SEED)
    run = told(name="mine", source=str(source), digest=digest(expected), train=36, heldout=4)
    assert data_of(run) == expected and len(expected.heldout) == 4


def test_a_change_since_is_said(told, source):
    run = told(name="mine", source=str(source), digest=digest(hold_out(load(source), SEED)), train=36, heldout=4)
    source.write_text(source.read_text().replace("It is 7.", "It is 8."))
    with pytest.raises(InputError, match=r"has changed since it was trained on: .*mine\.jsonl is not what it was"):
        data_of(run)
    with pytest.raises(InputError, match=r"has changed since.*give data to grade on"):
        questions_of(run, None)
    with pytest.raises(InputError, match=r"has changed since.*give other data to grade on"):
        questions_of(run, source)  # most of it was learned, and which is not known any more


def test_without_a_digest_the_counts_must_do(told, source):
    assert len(data_of(told(source=str(source), train=36, heldout=4)).train) == 36
    with pytest.raises(InputError, match="has changed since"):
        data_of(told(source=str(source), train=35, heldout=5))


def test_a_place_of_which_a_run_says_nothing_else_is_not_read(told, source):
    """It could be any file of the reader's."""
    with pytest.raises(InputError, match="but not what was in it; name it yourself"):
        data_of(told(source=str(source)))
    with pytest.raises(InputError, match="but not what was in it; name it yourself"):
        data_of(told(source=str(source), train=36))
    assert len(data_of(told(), source).train) == 36


def test_a_source_that_is_gone_is_said(told, source):
    run = told(name="mine", source=str(source), train=36, heldout=4)
    source.unlink()
    with pytest.raises(InputError, match=r"the data of run .* is not at hand .*mine.jsonl"):
        data_of(run)


def test_what_is_only_called_like_a_task_is_not_that_task(told):
    run = told(name="spanish", source=None, train=8, heldout=4)
    with pytest.raises(InputError, match=r"is not at hand \(it came from Python"):
        data_of(run)
    with pytest.raises(InputError, match="give data to grade on"):
        questions_of(run, None)


def test_it_may_lie_elsewhere_now(told, source, tmp_path):
    run = told(name="mine", source="/gone.jsonl", digest=digest(hold_out(load(source), SEED)))
    assert data_of(run, source).train == hold_out(load(source), SEED).train
