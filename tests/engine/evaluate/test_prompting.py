"""Prompts alone: what stands before a question, and how its answer is graded."""

import pytest

from engine.data import Conversations
from engine.evaluate import generate_answers
from engine.evaluate.prompting import brackets, measure_prompts, shown, told
from glasstune import InputError


@pytest.fixture(scope="module")
def task():
    return brackets(train=12, heldout=4)


def test_brackets_hold_a_part_out_and_are_the_same_every_time(task):
    questions = [{c[0]["content"] for c in part} for part in (task.train, task.heldout)]
    assert [len(part) for part in questions] == [12, 4] and not questions[0] & questions[1]
    assert task == brackets(train=12, heldout=4)
    assert all(c[1]["content"][0] + c[1]["content"][-1] == "[]" for c in task.train + task.heldout)


def test_what_is_shown_is_from_the_training_part_and_stands_first(task):
    for asked, conversation in zip(task.heldout, shown(task, 3), strict=True):
        assert conversation[-2:] == asked and len(conversation) == 2 * 3 + 2
        examples = [conversation[at : at + 2] for at in (0, 2, 4)]
        assert all(example in task.train for example in examples)
        assert len({example[0]["content"] for example in examples}) == 3
    assert shown(task, 0) == task.heldout
    with pytest.raises(InputError, match="12 examples"):
        shown(task, 13)


def test_an_order_stands_before_the_question(task):
    asked, answer = told("Answer in brackets.", task.heldout[0])
    assert asked["content"] == f"Answer in brackets. {task.heldout[0][0]['content']}" and answer == task.heldout[0][1]


def test_scores_are_those_of_the_models_own_words(base, tokenizer, task):
    ordered = [told("Answer in brackets.", conversation) for conversation in task.heldout]
    found = measure_prompts(base, tokenizer, ordered)
    said = generate_answers(base, tokenizer, [conversation[:-1] for conversation in ordered])
    right = [text == conversation[-1]["content"] for text, conversation in zip(said, ordered, strict=True)]
    assert found.exact == sum(right) / len(right)
    assert found.tokens > measure_prompts(base, tokenizer, task.heldout).tokens
    alone = Conversations("one", task.train, task.heldout[:1])
    assert measure_prompts(base, tokenizer, shown(alone, 4)).tokens > found.tokens
