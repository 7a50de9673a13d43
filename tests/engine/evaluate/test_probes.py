"""General probes: each measure against the same number computed another way; they share nothing with what is taught."""

import json
import math
import re

import pytest
import torch
from torch.nn import functional as F

from engine.data import load
from engine.errors import InputError
from engine.evaluate import PROBE, Evaluator
from engine.evaluate.probes import LIKELIEST, Prober, Probes, general, probes_of
from engine.school.tasks import TASKS

FEW = Probes(
    "few",
    texts=("What is the capital of France?", "Mia was a clever fox. One day Mia went to the garden."),
    choices=(("The capital of France is", ("Paris", "Berlin", "Madrid")), ("The dog says", ("woof", "moo"))),
    continued=(("big -> small; wet -> dry; rich ->", "poor"),),
    asked=(("What is the opposite of hot?", r"cold"), ("Say the word dog.", r"a thing that is never said")),
)


def logs_of(model, ids):
    with torch.inference_mode():
        return F.log_softmax(model(input_ids=torch.tensor([ids])).logits[0].float(), -1)


def nats(model, tokenizer, prompt, answer):
    """The loss of what follows a prompt, token by token."""
    before, ids = tokenizer(prompt)["input_ids"], tokenizer(f"{prompt} {answer}")["input_ids"]
    logs = logs_of(model, ids)
    return sum(-logs[at - 1, ids[at]].item() for at in range(len(before), len(ids)))


@pytest.fixture
def prober(tokenizer):
    return Prober(tokenizer, FEW, on_task=[[{"role": "user", "content": "Translate to Spanish: dog"}]])


def moved(model, by=0.03):
    """The same model with other weights."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += by * parameter.std() * torch.randn_like(parameter) if parameter.ndim == 2 else 0
    return model


def test_text_facts_and_patterns_are_what_the_model_says_one_by_one(base, tokenizer, prober):
    found = prober(base)
    for text, value, weight in zip(
        FEW.texts, found.measures["text"].values, found.measures["text"].weights, strict=True
    ):
        ids = tokenizer(text)["input_ids"]
        logs = logs_of(base, ids)
        each = [-logs[at - 1, ids[at]].item() for at in range(1, len(ids))]
        assert (value, weight) == (pytest.approx(sum(each) / len(each), rel=1e-4), len(each))
    for (prompt, options), value in zip(FEW.choices, found.measures["facts"].values, strict=True):
        costs = torch.tensor([nats(base, tokenizer, prompt, option) for option in options])
        assert value == pytest.approx((-costs).softmax(0)[0].item(), rel=1e-3)
    prompt, answer = FEW.continued[0]
    ids = tokenizer(f"{prompt} {answer}")["input_ids"]
    said = logs_of(base, ids).argmax(-1)[:-1].tolist()
    first = len(tokenizer(prompt)["input_ids"])
    assert found.measures["few_shot"].values == [float(said[first - 1 :] == ids[first:])]
    assert found.exact["facts"] == sum(
        min(options, key=lambda o, p=prompt: nats(base, tokenizer, p, o)) == options[0]
        for prompt, options in FEW.choices
    ) / len(FEW.choices)


def test_the_base_agrees_with_itself_and_the_others_divergence_is_a_lower_bound_of_the_whole(base, tokenizer, prober):
    first = prober(base)
    assert first.measures["kl"].mean == first.measures["task_kl"].mean == pytest.approx(0, abs=1e-6)
    assert first.measures["agreement"].mean == 1
    rows = prober.answers["general"].rows
    before = [logs_of(base, row.ids) for row in rows]
    later = prober(moved(base))
    for row, was, kl, same in zip(
        rows, before, later.measures["kl"].values, later.measures["agreement"].values, strict=True
    ):
        places = [at for at, label in enumerate(row.labels[1:]) if label != -100]
        now = logs_of(base, row.ids)
        whole = (was.exp() * (was - now)).sum(1)[places].mean().item()
        assert 0 < kl <= whole * (1 + 1e-4) + 1e-6
        assert same == pytest.approx((was.argmax(1) == now.argmax(1))[places].float().mean().item())
        some, at = places[0], was[places[0]].topk(LIKELIEST).indices
        assert was[some, at].exp().sum() > 0.5  # what is kept is most of it
    assert later.measures["text"].mean > first.measures["text"].mean


def test_instructions_are_checked_by_their_pattern_and_shown(base, prober):
    found = prober(base)
    rows = {row["prompt"]: row for row in found.answers}
    for asked, pattern in FEW.asked:
        assert rows[asked]["correct"] == (re.fullmatch(pattern, rows[asked]["answer"]) is not None)
    assert found.measures["instructions"].values[1] == 0
    prober.in_words = False
    again = prober(base)
    assert "instructions" not in again.measures and not again.answers


def test_what_the_base_said_is_kept_for_another_day(base, tokenizer, prober, tmp_path):
    prober(base)
    prober.keep(tmp_path / "said.safetensors")
    tuned = moved(base)
    other = Prober(tokenizer, FEW)
    other.recall(tmp_path / "said.safetensors")
    assert other(tuned).measures["kl"] == prober(tuned).measures["kl"]
    lost = Prober(tokenizer, FEW)
    lost.recall(tmp_path / "nothing.safetensors")
    assert not {"kl", "agreement"} & lost(tuned).measures.keys()
    (tmp_path / "broken.safetensors").write_bytes(b"x" * 40)
    with pytest.raises(InputError, match="cannot be understood"):
        lost.recall(tmp_path / "broken.safetensors")


def test_an_evaluator_has_them_among_the_skills(base, tokenizer, prober):
    found = Evaluator(tokenizer, {}, [], prober=prober)(base)
    assert found.exact.keys() == {f"{PROBE}facts", f"{PROBE}few-shot", f"{PROBE}instructions"}
    assert found.loss.keys() == {f"{PROBE}text", f"{PROBE}facts", f"{PROBE}few-shot"}
    assert found.graded[f"{PROBE}facts"] == len(FEW.choices)
    assert json.loads(json.dumps(found.measured)) == found.measured and "kl" in found.measured


def test_ours_are_many_of_each_kind_and_all_apart():
    ours = general()
    assert (len(ours.texts), len(ours.choices), len(ours.continued), len(ours.asked)) == (20, 60, 40, 24)
    assert len({*ours.texts}) == 20 and len({prompt for prompt, _ in ours.choices}) == 60
    assert all(len(set(options)) == 4 for _, options in ours.choices)
    assert all(len(text.split()) > 40 for text in ours.texts)
    assert ours.first(3).count == 12


def test_they_share_no_question_with_the_tasks():
    ours = general()
    asked = {prompt.lower() for prompt, _ in (*ours.choices, *ours.continued, *ours.asked)}
    for task in TASKS:
        data = load(task)
        assert not asked & {talk[0]["content"].lower() for part in (data.train, data.heldout) for talk in part}


@pytest.mark.parametrize(
    "line, said",
    [
        ({"text": " "}, "line 2: no probe"),
        ({"choose": "x", "options": ["a"]}, "at least two options"),
        ({"choose": "x", "options": ["a", "a"]}, "no two alike"),
        ({"continue": "x"}, "line 2: no probe"),
        ({"ask": "x", "pattern": "("}, "no regular expression"),
        ({"ask": "x", "pattern": "a{1000000000}"}, "line 2: .*written out it has"),
        ({"ask": "x", "pattern": 0}, "line 2: its pattern is 0"),
        ({"instruction": "x", "output": "y"}, "line 2: no probe"),
    ],
)
def test_a_line_that_is_none_is_named(tmp_path, line, said):
    file = tmp_path / "mine.jsonl"
    file.write_text('{"text": "one two"}\n' + json.dumps(line) + "\n")
    with pytest.raises(InputError, match=said):
        probes_of(file)


def test_a_users_own_file(tmp_path, base, tokenizer):
    file = tmp_path / "mine.jsonl"
    file.write_text('{"ask": "What is the capital of France?"}\n{"text": "The dog sat."}\n')
    mine = probes_of(file)
    assert (mine.name, mine.count) == ("mine", 2)
    found = Prober(tokenizer, mine)(base)
    assert found.measures.keys() == {"text", "kl", "agreement"} and math.isfinite(found.measures["text"].mean)
    with pytest.raises(InputError, match="no file of probes"):
        probes_of(tmp_path / "other.jsonl")


@pytest.mark.parametrize("options", [("Paris", "Paris in France"), ("moo moo", "moo", "woof")])
def test_options_of_which_one_begins_another_are_refused(tokenizer, options):
    """The shorter could never be the less likely, whatever the model knows."""
    with pytest.raises(InputError, match=r"probe 'The cow says': one of its options .* is the beginning of another"):
        Prober(tokenizer, Probes("mine", choices=(("The cow says", options),)))
    Prober(tokenizer, Probes("mine", choices=(("The cow says", tuple(f"{option}." for option in options)),)))
