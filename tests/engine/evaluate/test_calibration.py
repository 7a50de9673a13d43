"""How sure and how right: the bins by hand, and the confidence of what is really said."""

import math

import pytest
import torch

from engine.evaluate import generate_answers
from engine.evaluate.calibration import answer_confidences, calibration


def test_the_error_is_the_mean_gap_between_sure_and_right():
    sure = [0.95, 0.95, 0.95, 0.95, 0.15, 0.15]
    right = [True, True, True, False, False, False]
    found = calibration(sure, right)
    assert [one.count for one in found.bins] == [2, 4]
    assert found.error == pytest.approx((2 * 0.15 + 4 * (0.95 - 0.75)) / 6)
    assert calibration([1.0] * 3, [True] * 3).error == 0
    assert calibration([1.0] * 3, [False] * 3).error == 1


def test_one_that_is_as_right_as_sure_has_no_error():
    generator = torch.Generator().manual_seed(0)
    sure = torch.rand(20_000, generator=generator)
    right = torch.rand(20_000, generator=generator) < sure
    assert calibration(sure.tolist(), right.tolist()).error < 0.02
    assert calibration(sure.tolist(), (~right).tolist()).error > 0.4


def test_nothing_to_grade_is_said():
    with pytest.raises(ValueError, match="0 confidences"):
        calibration([], [])


def test_a_confidence_is_the_probability_of_what_the_model_says_itself(base, tokenizer):
    asked = [("What is the capital of France?", "Paris"), ("What is the capital of Atlantis?", "nobody knows")]
    conversations = [
        [{"role": "user", "content": question}, {"role": "assistant", "content": answer}] for question, answer in asked
    ]
    sure, right = answer_confidences(base, tokenizer, conversations)
    assert right == [True, False]
    prompts = [conversation[:1] for conversation in conversations]
    for prompt, said, confidence in zip(prompts, generate_answers(base, tokenizer, prompts), sure, strict=True):
        whole = tokenizer.apply_chat_template([*prompt, {"role": "assistant", "content": said}], return_dict=False)
        begin = len(tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False))
        with torch.inference_mode():
            logs = base(input_ids=torch.tensor([whole])).logits[0].float().log_softmax(-1)
        expected = math.exp(sum(logs[at - 1, whole[at]].item() for at in range(begin, len(whole))))
        assert confidence == pytest.approx(expected, rel=1e-3)


def test_a_model_may_say_as_much_as_the_right_answer_is_long(base, tokenizer, monkeypatch):
    right, rooms = "moo and moo " * 40, []
    monkeypatch.setattr(
        "engine.evaluate.calibration.generate_answers", lambda *given: rooms.append(given[-1]) or ["moo"]
    )
    asked = [{"role": "user", "content": "What does a cow say?"}, {"role": "assistant", "content": right}]
    assert answer_confidences(base, tokenizer, [asked])[1] == [False]
    assert rooms == [len(tokenizer(right)["input_ids"]) + 1] and rooms[0] > 64
