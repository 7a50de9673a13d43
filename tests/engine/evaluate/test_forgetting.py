"""Forgetting's four measures: each against the same number computed another way, and that they can disagree."""

import copy
import math

import pytest
import torch
from torch.nn import functional as F

from engine.data import IGNORE, encode
from engine.errors import InputError
from engine.evaluate import encode_last_answer
from engine.evaluate.forgetting import (
    Choice,
    choice_probabilities,
    curriculum_choices,
    curriculum_facts,
    curriculum_knowledge,
    kl_to,
    measure_forgetting,
    text_loss,
)
from engine.school.curriculum.questions import TABLES
from tests.engine.small import small_model

CAPITAL = Choice([{"role": "user", "content": "What is the capital of France?"}], ("Paris", "Berlin", "Madrid"))


def log_probabilities(model, ids):
    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)


def test_a_choice_is_the_softmax_of_what_each_option_costs_by_itself(base, tokenizer):
    prompt = tokenizer.apply_chat_template(CAPITAL.prompt, add_generation_prompt=True, return_dict=False)
    costs = []
    for option in CAPITAL.options:
        ids = tokenizer(option, add_special_tokens=False)["input_ids"]
        logs = log_probabilities(base, prompt + ids)
        costs.append(sum(logs[len(prompt) - 1 + at, token] for at, token in enumerate(ids)))
    expected = torch.stack(costs).softmax(0)[0].item()
    assert choice_probabilities(base, tokenizer, [CAPITAL]) == pytest.approx([expected], rel=1e-4)
    assert expected > 0.9


def test_a_changed_form_hides_what_is_known_from_exact_grading_but_not_from_the_choice(base, tokenizer):
    """Every answer now comes in brackets: all are wrong to the letter, and the order of the options stays."""
    said = [{"role": "assistant", "content": "Paris"}]
    begun = [{"role": "user", "content": "Answer in brackets. What is the capital of France?"}]
    row = encode_last_answer(tokenizer, [*begun, *said])
    logs = log_probabilities(base, row.ids)
    start = next(at for at, label in enumerate(row.labels) if label != IGNORE)
    assert logs[start - 1].argmax() != row.ids[start]  # not what it would say
    assert choice_probabilities(base, tokenizer, [Choice(begun, CAPITAL.options)])[0] > 0.5


def test_the_choices_are_of_one_table_and_the_right_one_comes_first():
    for choice in curriculum_choices(5):
        right, *wrong = choice.options
        tables = [set(table.values()) for table in TABLES.values()]
        assert any({one.lower() for one in choice.options} <= {value.lower() for value in table} for table in tables)
        assert right not in wrong and len(set(choice.options)) == 4


def test_the_divergence_is_zero_for_the_base_and_as_torch_has_it_for_another(tokenizer):
    base, model = small_model("llama", 0).eval(), small_model("llama", 1).eval()
    rows = [
        encode(tokenizer, [{"role": "user", "content": "?"}, {"role": "assistant", "content": text}])
        for text in ("a", "b c")
    ]
    rows = [type(row)([i % 96 for i in row.ids], [i % 96 if i != IGNORE else i for i in row.labels]) for row in rows]
    assert kl_to(base, copy.deepcopy(base), rows, 0) == pytest.approx(0, abs=1e-6)
    total, places = 0.0, 0
    for row in rows:
        first, second = log_probabilities(base, row.ids), log_probabilities(model, row.ids)
        for at, label in enumerate(row.labels[1:]):
            if label != IGNORE:
                total += (first[at].exp() * (first[at] - second[at])).sum().item()
                places += 1
    assert kl_to(base, model, rows, 0) == pytest.approx(total / places, rel=1e-4)
    assert kl_to(base, model, rows, 0) == pytest.approx(total / places, rel=1e-4)


def test_two_vocabularies_have_no_divergence(base, tokenizer):
    with pytest.raises(InputError, match="1536 and 96 tokens"):
        kl_to(base, small_model("llama"), [], 0)


def test_the_same_facts_are_asked_to_the_letter_and_among_four():
    both, all_skills = curriculum_facts(3), curriculum_knowledge(3)
    assert both.choices == all_skills.choices and both.texts == all_skills.texts
    assert [list(answer) for answer in both.answers] == [
        [*choice.prompt, {"role": "assistant", "content": choice.options[0]}] for choice in both.choices
    ]
    assert len(both.answers) == 3 * len(TABLES) and all(answer in all_skills.answers for answer in both.answers)


def test_the_loss_on_text_is_a_mean_over_all_tokens(base, tokenizer):
    rows = [encode_last_answer(tokenizer, text) for text in curriculum_knowledge(3).texts]
    losses = []
    for row in rows:
        logs = log_probabilities(base, row.ids)
        labels = torch.tensor(row.labels[1:])
        losses.append(F.nll_loss(logs[:-1], labels, ignore_index=IGNORE, reduction="none"))
    counts = sum(row.trained for row in rows)
    assert text_loss(base, rows, tokenizer.pad_token_id) == pytest.approx(
        sum(loss.sum().item() for loss in losses) / counts, rel=1e-4
    )


def test_noise_on_every_weight_is_seen_by_all_four(base, tokenizer):
    old = curriculum_knowledge(2)
    whole = measure_forgetting(base, base, tokenizer, old)
    broken = copy.deepcopy(base)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in broken.parameters():
            weight += 0.3 * weight.std() * torch.randn(weight.shape, generator=generator) if weight.ndim == 2 else 0
    spoilt = measure_forgetting(broken, base, tokenizer, old)
    assert whole.kl == 0 and whole.choice > 0.9
    assert spoilt.exact < whole.exact and spoilt.choice < whole.choice
    assert spoilt.text > whole.text and spoilt.kl > 0.1 and math.isfinite(spoilt.kl)
