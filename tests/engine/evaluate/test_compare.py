"""A run beside its base: the same questions, the numbers that each side's own answers give."""

import json
import sys
import types

import pandas as pd
import pytest
from peft.tuners.lora import LoraLayer

from engine.data import load
from engine.evaluate import Said, generate_answers
from engine.evaluate.__main__ import main
from engine.evaluate.compare import compare, questions_of, show
from engine.evaluate.harness import run_tasks
from engine.evaluate.judging import judge
from engine.evaluate.metrics import json_with, score
from engine.evaluate.surprise import measure_perplexity
from engine.models import load_model, load_tuned
from engine.terminal import Terminal
from glasstune import Full, InputError, LoRA, finetune
from tests.engine.small import BRIEF

HELD = load("spanish").heldout


@pytest.mark.parametrize("kind", ["lora_run", "full_run"])
def test_each_side_is_the_model_that_it_says(request, kind, tokenizer):
    run = request.getfixturevalue(kind)
    found = compare(run, metrics=["exact", "token_f1", json_with("a"), "perplexity"], limit=6, max_new_tokens=4)
    prompts = [c[:-1] for c in HELD[:6]]
    for side, model in (("base", load_model("embedded")), ("tuned", load_tuned(run))):
        said = generate_answers(model, tokenizer, prompts, 4)
        assert list(found.answers[side]) == said
        assert found.scores[side]["token_f1"] == score(said, list(found.answers.expected))["token_f1"]
        nats = measure_perplexity(model, tokenizer, HELD[:6]).value
        assert found.scores[side]["perplexity"].value == pytest.approx(nats, rel=1e-5)
        whole = [len(tokenizer(text)["input_ids"]) + 1 for text in generate_answers(model, tokenizer, prompts, 64)]
        assert found.answers_cut[side] == sum(length > 4 for length in whole), "with their ends they are longer"
    assert 0 < sum(found.answers_cut.values()) < 12
    assert list(found.table.index) == ["exact", "token_f1", "json (a)", "perplexity"]
    assert (found.table.change == found.table.tuned - found.table.base).all()
    assert found.trained_on == 0 and found.prompts_cut == 0


def test_what_is_asked_is_said_where_it_is_not_what_was_trained(qlora_run, lora_run, tmp_path, capsys):
    """A QLoRA run's base is asked in float32; and an answer that is cut is no answer."""
    found = compare(qlora_run, metrics=["exact"], limit=3, max_new_tokens=1)
    assert found.answers_cut == {"base": 3, "tuned": 3}
    show(found, Terminal())
    said = " ".join(capsys.readouterr().out.split())
    assert "note: 3 of base's, 3 of tuned's answers are cut at 1 tokens (max_new_tokens)" in said
    assert f"{qlora_run.name} was trained beside a base in four bits" in said
    assert compare(lora_run, metrics=["perplexity"], limit=2).notes == ()
    judging = judge(qlora_run, "base", count=2, out=tmp_path / "j.jsonl", max_new_tokens=4)
    assert "in four bits" in judging.info["notes"][0]


def test_a_note_says_the_length_that_an_answer_really_had(lora_run, base, tmp_path, monkeypatch):
    """The context may have less room than was asked for."""

    def cut(model, tokenizer, prompts, room):
        return [Said(f"{n}", True) for n, _ in enumerate(prompts)]

    for place in ("compare", "sides"):
        monkeypatch.setattr(f"engine.evaluate.{place}.generate", cut)
    length = base.config.max_position_embeddings // 2
    assert compare(lora_run, metrics=["exact"], limit=2, max_new_tokens=10**6).max_new_tokens == length
    judging = judge(lora_run, "base", count=2, out=tmp_path / "j.jsonl", max_new_tokens=10**6)
    said = [f"2 of 2 answers of {name} are cut at {length} tokens (max_new_tokens)" for name in ("lora", "base")]
    assert judging.info["notes"] == said


def test_perplexity_alone_generates_nothing(lora_run, monkeypatch):
    monkeypatch.setattr("engine.evaluate.compare.generate", lambda *a: pytest.fail("nobody asked for answers"))
    found = compare(lora_run, metrics=["perplexity"], limit=3)
    assert list(found.answers.columns) == ["prompt", "expected"]


def test_the_questions_are_those_that_the_run_did_not_train_on(tmp_path):
    file = tmp_path / "mine.jsonl"
    records = [{"prompt": f"Ask {n}", "completion": f"say {n}"} for n in range(40)]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    options = {**BRIEF, "steps": 1, "save": False, "batch_size": 4, "seed": 3}
    run = finetune("embedded", str(file), Full(), out=tmp_path / "run", **options)
    name, graded, trained_on = questions_of(run, None)
    assert (name, len(graded), trained_on) == ("mine", 4, 0)
    assert questions_of(run, str(file))[1:] == (graded, 0)  # naming the same file again is no other data
    held = {c[0]["content"] for c in graded}
    assert questions_of(run, records)[2] == 36 and len(questions_of(run, records)[1]) == 40
    assert questions_of(run, [r for r in records if r["prompt"] in held])[2] == 0
    with pytest.raises(InputError, match="nothing to grade in dataset"):
        questions_of(run, [{"messages": [{"role": "user", "content": "hi"}]}])
    file.write_text("".join(json.dumps(record) + "\n" for record in records[:4]))
    with pytest.raises(InputError, match="has changed since it was trained on"):
        questions_of(run, None)
    small = finetune("embedded", str(file), Full(), out=tmp_path / "small", **options)
    with pytest.raises(InputError, match="held nothing out"):
        questions_of(small, None)
    file.unlink()
    with pytest.raises(InputError, match=r"the data of run run is not at hand .*; give data to grade on"):
        questions_of(run, None)
    run = finetune("embedded", records[:4], Full(), out=tmp_path / "few", **options)
    with pytest.raises(InputError, match="the data of run few is not at hand"):
        questions_of(run, None)
    assert questions_of(run, records[:4])[2] is None


def test_a_metric_that_does_not_apply_is_said_before_anything_is_computed(lora_run, monkeypatch, capsys):
    monkeypatch.setattr("engine.evaluate.sides.load_tuned", lambda run: pytest.fail("too late"))
    assert main([str(lora_run.path), "--metrics", "accuracy"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: metric 'accuracy' does not apply") and said.count("\n") == 1


def test_the_command_line(lora_run, tmp_path, capsys):
    out = tmp_path / "said.jsonl"
    common = [str(lora_run.path), "--limit", "3", "--max-new-tokens", "6"]
    assert (
        main(
            [
                *common,
                "--json-keys",
                "a",
                "--regex",
                "[a-z]+",
                "--metrics",
                "exact",
                "engine.evaluate.metrics:token_f1",
                "--answers",
                str(out),
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    for word in ("exact", "token_f1", "json (a)", "format /[a-z]+/", "base", "tuned", "points", "Wilson"):
        assert word in said
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 3 and set(rows[0]) == {"prompt", "expected", "base", "tuned"}
    for wrong, why in (
        (["--answers", str(out)], "already exists"),
        (["--metrics", "bleu"], "no metric called 'bleu'"),
        (["--limit", "0"], "--limit is 0"),
        (["--regex", "("], "no regular expression"),
        (["--data", "klingon"], "no task and no file"),
    ):
        assert main([str(lora_run.path), *wrong]) == 2
        printed = capsys.readouterr()
        assert why in printed.err and printed.err.count("\n") == 1 and not printed.out


def test_a_run_without_its_result(tmp_path):
    run = finetune("embedded", "spanish", LoRA(r=2), out=tmp_path / "r", steps=1, skills=0, save=False, progress=False)
    with pytest.raises(InputError, match="holds no trained adapter or model"):
        compare(run, limit=2)


def test_lm_eval_is_asked_for_only_when_it_is_used(lora_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(
        InputError, match=r"lm-evaluation-harness is not at hand .*; install it with pip install lm_eval"
    ):
        run_tasks(lora_run, ["hellaswag"])


@pytest.mark.parametrize("given", [
    ["--data", "spanish"], ["--metrics", "exact"], ["--json-keys", "a"], ["--regex", ""], ["--max-new-tokens", "4"],
    ["--answers", "mine.jsonl"],
])  # fmt: skip
def test_what_does_nothing_beside_lm_eval_is_refused(given, capsys):
    assert main(["nowhere", "--lm-eval", "toy", *given]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {given[0]} does nothing beside --lm-eval") and said.count("\n") == 1


def test_lm_evals_numbers_for_both_sides(lora_run, monkeypatch, capsys):
    """A stand-in for the harness, which checks that each side comes with the right adapter."""
    asked = []

    class HFLM:
        def __init__(self, pretrained, tokenizer, batch_size):
            self.model = pretrained

    def simple_evaluate(wrapped, tasks, limit, log_samples, **options):
        if "nonsense" in tasks:
            raise KeyError("nonsense")
        layer = next(m for m in wrapped.model.modules() if isinstance(m, LoraLayer))
        asked.append((tasks, limit, options))
        value = 0.25 if layer.disable_adapters else 0.75
        return {"results": {"toy": {"alias": "toy", "acc,none": value, "acc_stderr,none": 0.1, "sample_len": 3}}}

    fake, models, face = (
        types.ModuleType(name) for name in ("lm_eval", "lm_eval.models", "lm_eval.models.huggingface")
    )
    fake.simple_evaluate, face.HFLM = simple_evaluate, HFLM
    for module in (fake, models, face):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    frame = run_tasks(lora_run, ["toy"], limit=5, num_fewshot=2)
    pd.testing.assert_frame_equal(
        frame, pd.DataFrame({"task": ["toy"], "metric": ["acc"], "base": [0.25], "tuned": [0.75]})
    )
    assert asked == [(["toy"], 5, {"num_fewshot": 2})] * 2
    assert main([str(lora_run.path), "--lm-eval", "toy", "--limit", "4"]) == 0
    assert "0.7500" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"has no such task \(nonsense\)"):
        run_tasks(lora_run, ["nonsense"])
