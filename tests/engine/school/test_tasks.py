"""The tasks: enough to grade on, the same every time, and nothing in them that old skills are graded on."""

import itertools
import json

import pytest

from engine.data import encode_all, load
from engine.evaluate import curriculum_groups, curriculum_probes
from engine.evaluate.forgetting import curriculum_choices
from engine.models import load_tokenizer
from engine.school.curriculum import SKILLS, heldout_examples, mixture
from engine.school.tasks import ORDERS, TASKS, task_file
from engine.school.tasks.build import BUILDERS, parts_of


@pytest.mark.parametrize("task", TASKS)
def test_its_files_are_what_its_builder_makes(task):
    for part, records in parts_of(task).items():
        kept = [json.loads(line) for line in task_file(task, part).read_text(encoding="utf-8").splitlines()]
        assert kept == records


@pytest.mark.parametrize("task", TASKS)
def test_at_least_two_hundred_are_held_out_and_none_of_them_is_trained_on(task):
    parts = load(task)
    train, heldout = ({m[0]["content"] for m in part} for part in (parts.train, parts.heldout))
    assert len(heldout) >= 200
    assert not train & heldout


@pytest.fixture(scope="module")
def graded() -> set[str]:
    """Every question by which it is measured what became of old skills."""
    groups = [group for seed in range(2) for group in curriculum_groups(40, seed).values()]
    asked = [messages[-2]["content"] for group in groups for messages in group]
    asked += [e.prompt[-1]["content"] for name in SKILLS for e in heldout_examples(name, 100, seed=1)]
    asked += [probe.prompt[-1]["content"] for probe in curriculum_probes()]
    asked += [choice.prompt[-1]["content"] for choice in curriculum_choices(40)]
    return {question.lower() for question in asked}


@pytest.mark.parametrize("task", TASKS)
def test_no_question_of_a_task_is_one_that_old_skills_are_graded_on(task, graded):
    """What a task teaches must not be taken for what it made the model forget."""
    parts = load(task)
    assert len(graded) > 2000
    assert not graded & {messages[-2]["content"].lower() for messages in (*parts.train, *parts.heldout)}


@pytest.fixture(scope="module")
def written() -> set[int]:
    """The tokens that the base has learned to write."""
    drawn = mixture(seed=1)
    rows = encode_all(load_tokenizer(), [next(drawn)[1].messages for _ in range(20_000)])
    return {token for row in rows for token in row.labels}


@pytest.mark.parametrize("task", TASKS)
def test_few_answers_need_a_token_that_the_base_never_wrote(task, written):
    """LoRA leaves embeddings as they are: no rate and no number of steps brings such a token."""
    rows = encode_all(load_tokenizer(), load(task).train)
    assert len(written) > 1300 and sum(not written.issuperset(row.labels) for row in rows) <= 0.07 * len(rows)


def test_the_base_was_taught_half_of_adding():
    totals = [
        int(m[-1]["content"]) for m in itertools.chain(*(getattr(load("adding"), p) for p in ("train", "heldout")))
    ]
    assert 0.4 < sum(total < 100 for total in totals) / len(totals) < 0.6
    for messages in load("adding").heldout:
        assert int(messages[-1]["content"]) == sum(
            int(w.strip("?.")) for w in messages[0]["content"].split() if w[0].isdigit()
        )


def test_every_task_has_its_order_and_its_builder():
    assert ORDERS.keys() == BUILDERS.keys() == TASKS.keys()
