"""Fine-tuning and its capture: the invariants that every picture stands on."""

import json
import time

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, GPT2Config, Trainer, TrainingArguments

from engine.data import Conversations, collate, encode_all, load
from engine.evaluate import curriculum_groups
from engine.models import load_model, load_tuned
from engine.run.base import EMBEDDED_FOLDER
from engine.run.format import capture_path
from engine.training.prepare import left_out, prepare
from engine.training.request import Request
from glasstune import CaptureCallback, Full, InputError, LoRA, Run, capture, finetune
from tests.children import FORKS

BASE = load_file(EMBEDDED_FOLDER / "model.safetensors")


def test_delta_is_zero_at_step_0_and_not_at_the_end(any_run):
    assert any_run.steps[0] == 0
    assert all(not any_run.delta(module, 0).any() for module in any_run.modules)
    assert all(any_run.delta(module).any() for module in any_run.modules)


def test_only_b_moves_on_the_first_step(lora_run):
    for module in lora_run.modules:
        before, after = lora_run.factors(module, 0), lora_run.factors(module, 1)
        assert np.array_equal(before.A, after.A) and before.A.any()
        assert not before.B.any() and after.B.any()


def test_rank_is_at_most_r(lora_run):
    for module in lora_run.modules:
        assert np.linalg.matrix_rank(lora_run.delta(module), tol=1e-5) <= 4


def test_deltas_have_the_shape_of_the_base_weights(any_run):
    for module in any_run.modules:
        assert any_run.delta(module).shape == any_run.shape(module) == BASE[f"{module}.weight"].shape
        assert np.array_equal(any_run.weight(module), BASE[f"{module}.weight"])


def test_frozen_weights_are_unchanged_and_adapter_off_is_the_base_bit_for_bit(lora_run, base, tokenizer):
    tuned = load_tuned(lora_run)
    frozen = {n.removeprefix("base_model.model.").replace(".base_layer", ""): p for n, p in tuned.named_parameters()}
    for name, weight in BASE.items():
        assert np.array_equal(frozen[name].detach().numpy(), weight)
    batch = tokenizer("Translate to Spanish: dog", return_tensors="pt", return_token_type_ids=False)
    with torch.inference_mode(), tuned.disable_adapter():
        assert torch.equal(tuned(**batch).logits, base(**batch).logits)


def test_merged_equals_unmerged(lora_run, tokenizer):
    batch = tokenizer("Translate to Spanish: dog", return_tensors="pt", return_token_type_ids=False)
    with torch.inference_mode():
        unmerged = load_tuned(lora_run)(**batch).logits
        merged = load_tuned(lora_run).merge_and_unload()
        torch.testing.assert_close(merged(**batch).logits, unmerged, atol=1e-4, rtol=1e-4)
    for module in lora_run.modules:
        whole = merged.get_submodule(module).weight.detach().numpy()
        np.testing.assert_allclose(whole, lora_run.weight(module) + lora_run.delta(module), atol=1e-6)


def test_captured_delta_is_the_difference_of_the_saved_weights(full_run):
    saved = load_file(full_run.path / "model" / "model.safetensors")
    for module in full_run.modules:
        assert np.array_equal(full_run.delta(module), saved[f"{module}.weight"] - BASE[f"{module}.weight"])


def test_full_captures_every_weight_once(full_run):
    captured = load_file(capture_path(full_run.path, full_run.steps[-1]))
    assert sum(value.size for value in captured.values()) == sum(value.size for value in BASE.values())


def test_the_captured_adapter_is_the_saved_one(lora_run):
    saved = load_file(lora_run.path / "adapter" / "adapter_model.safetensors")
    captured = load_file(capture_path(lora_run.path, lora_run.steps[-1]))
    assert saved.keys() == captured.keys()
    assert all(np.array_equal(saved[name], captured[name]) for name in saved)


def test_scaling_is_pefts_own(lora_run):
    tuned: PeftModel = load_tuned(lora_run)
    for module in lora_run.modules:
        layer = tuned.get_submodule(f"base_model.model.{module}")
        np.testing.assert_allclose(
            layer.get_delta_weight("default").detach().numpy(), lora_run.delta(module), atol=1e-6
        )


def test_qloras_base_is_really_4_bit(tmp_path):
    import bitsandbytes as bnb

    from engine.training.methods import QLoRA

    model = QLoRA(r=2).prepare("embedded")
    layers = [m for m in model.modules() if isinstance(m, bnb.nn.Linear4bit)]
    assert len(layers) == 7 * model.config.num_hidden_layers
    for layer in layers:
        assert layer.weight.dtype == torch.uint8 and layer.weight.quant_state.quant_type == "nf4"
        assert layer.weight.numel() * 2 == layer.in_features * layer.out_features  # two weights a byte
        assert layer.weight.quant_state.nested  # double quantisation
    adapters = [p for n, p in model.named_parameters() if "lora_" in n]
    assert adapters and all(p.dtype == torch.bfloat16 and p.requires_grad for p in adapters)


def test_qlora_counts_the_bases_weights_not_its_bytes(qlora_run, lora_run):
    assert qlora_run.info.model.parameters == lora_run.info.model.parameters


def test_same_seed_same_run(lora_run, tmp_path):
    again = finetune(
        "embedded", "spanish", LoRA(r=4), out=tmp_path / "again", steps=25, skills=3, batch_size=16, progress=False
    )
    assert (again.path / "metrics.jsonl").read_bytes() == (lora_run.path / "metrics.jsonl").read_bytes()
    assert (again.path / "answers.jsonl").read_bytes() == (lora_run.path / "answers.jsonl").read_bytes()
    for step in lora_run.steps:
        assert capture_path(again.path, step).read_bytes() == capture_path(lora_run.path, step).read_bytes()


def test_metrics_hold_every_step(any_run):
    steps = any_run.info.steps
    assert list(any_run.metrics.index) == list(range(1, steps + 1))
    assert {"loss", "learning_rate", "grad_norm"} <= set(any_run.metrics.columns)
    assert any_run.status == "finished"
    assert any_run.skills.index[0] == 0 and any_run.skills.index[-1] == steps
    assert any_run.skills.columns[-1] == "spanish" and "story" not in any_run.skills
    assert "story" in any_run.skill_losses
    assert any_run.skills.to_numpy().min() >= 0 and any_run.skills.to_numpy().max() <= 1


def test_answers_are_what_the_model_says(lora_run, tokenizer):
    from engine.evaluate import generate_answers

    last = lora_run.answers[lora_run.answers.step == lora_run.info.steps]
    prompts = [[{"role": "user", "content": text}] for text in last.prompt]
    assert list(last.answer) == generate_answers(load_tuned(lora_run), tokenizer, prompts)
    assert list(last.correct) == list(last.answer == last.expected)


def _train(out, model, tokenizer, steps, callbacks, **arguments):
    rows = encode_all(tokenizer, load("spanish").train[:64])
    settings = TrainingArguments(
        str(out), max_steps=steps, per_device_train_batch_size=8, report_to=[], save_strategy="no", disable_tqdm=True,
        logging_steps=1, remove_unused_columns=False, dataloader_pin_memory=False, seed=5, **arguments,
    )  # fmt: skip
    trainer = Trainer(
        model,
        settings,
        train_dataset=rows,
        data_collator=lambda b: collate(b, tokenizer.pad_token_id),
        callbacks=callbacks,
    )
    trainer.train()
    return trainer


def test_the_callback_works_in_anyones_trainer_and_a_step_is_an_optimizer_step(base, tokenizer, tmp_path):
    callback = CaptureCallback(tmp_path / "run", every=1)
    _train(tmp_path / "t", base, tokenizer, 4, [callback], gradient_accumulation_steps=2)
    run = callback.run
    assert run is not None and run.steps == [0, 1, 2, 3, 4] and run.method == "full"
    module = run.modules[-1]
    np.testing.assert_array_equal(
        run.delta(module), base.get_submodule(module).weight.detach().numpy() - BASE[f"{module}.weight"]
    )


def test_capturing_does_not_change_the_training(tokenizer, tmp_path):
    plain = _train(tmp_path / "a", load_model("embedded"), tokenizer, 4, []).model
    watched = _train(tmp_path / "b", load_model("embedded"), tokenizer, 4, [CaptureCallback(tmp_path / "run")]).model
    assert all(torch.equal(p, q) for p, q in zip(plain.parameters(), watched.parameters(), strict=True))


def test_capture_in_a_plain_loop(base, tokenizer, tmp_path):
    rows = encode_all(tokenizer, load("spanish").train[:8])
    optimizer = torch.optim.AdamW(base.parameters(), lr=1e-3)
    with capture(base, tmp_path / "run", every=2) as recorder:
        for _ in range(5):
            loss = base(**collate(rows, tokenizer.pad_token_id)).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            recorder.step(loss=loss)
    run = Run.load(tmp_path / "run")
    assert run.steps == [0, 2, 4, 5] and list(run.metrics.index) == [1, 2, 3, 4, 5]
    assert run.metrics.loss.iloc[-1] < run.metrics.loss.iloc[0]


def test_a_loop_that_fails_leaves_a_run_that_says_so(base, tmp_path):
    with pytest.raises(ZeroDivisionError), capture(base, tmp_path / "run"):
        _ = 1 / 0
    run = Run.load(tmp_path / "run")
    assert run.status == "stopped" and run.steps == [0]


def test_a_killed_run_opens(tmp_path):
    out = tmp_path / "killed"
    options = {"out": out, "steps": 5000, "every": 1, "skills": 0, "progress": False}
    process = FORKS.Process(target=finetune, args=("embedded", "spanish", LoRA(r=2)), kwargs=options)
    process.start()
    try:
        deadline = time.monotonic() + 120
        while len(list(out.glob("captures/*.safetensors"))) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        process.kill()
        process.join()
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"step": 99, "event": "tr')  # a line that the kill cut off
    run = Run.load(out)
    assert run.status == "running" and len(run.steps) >= 4
    assert all(run.delta(run.modules[0], step).shape == run.shape(run.modules[0]) for step in run.steps)
    assert len(run.metrics) >= 2 and 99 not in run.metrics.index


def test_mixing_in_the_curriculum_adds_its_share(tmp_path):
    run = finetune(
        "embedded", "spanish", Full(), out=tmp_path / "r", steps=1, mix=0.5, skills=0, progress=False, save=False
    )
    assert run.info.settings.mix == 0.5
    with pytest.raises(InputError, match="no trained adapter or model"):
        load_tuned(run)


def test_conversations_are_data_and_answers_may_be_left_out(tmp_path):
    whole = load("spanish")
    few = Conversations("few", whole.train[:8], whole.heldout[:4])
    options = {"steps": 1, "skills": 1, "save": False, "answers": False, "progress": False, "batch_size": 4}
    run = finetune("embedded", few, LoRA(r=2), out=tmp_path / "run", **options)
    assert run.task == "few" and run.info.data.train == 8 and run.info.data.heldout == 4
    assert run.answers.empty and list(run.skills.index) == [0, 1] and "few" in run.skills


def test_a_model_has_no_place_for_more_than_it_reads_at_once(tmp_path, tokenizer):
    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "eos_token_id")}
    model = GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, n_positions=48, **ids)
    AutoModelForCausalLM.from_config(model).save_pretrained(tmp_path / "gpt2")
    tokenizer.save_pretrained(tmp_path / "gpt2")
    file = tmp_path / "cats.jsonl"
    file.write_text(
        "".join(json.dumps({"prompt": f"thing {n}", "completion": "a cat " * 40}) + "\n" for n in range(20))
    )
    options = {"model": str(tmp_path / "gpt2"), "data": str(file), "steps": 1, "skills": 0, "learning_rate": 1e-3}
    with pytest.raises(InputError, match=r"reads 48 tokens at once, and 20 of 20 examples have more, up to \d+: give"):
        finetune(**options, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert finetune(**options, out=tmp_path / "run", max_length=48).status == "finished"


@pytest.mark.parametrize(("name", "called"), [("story", "story (yours)"), ("sort", "sort (yours)"), ("mine", "mine")])
def test_data_called_like_an_old_skill_takes_the_place_of_none(name, called, tmp_path):
    file = tmp_path / f"{name}.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"Say {n}", "completion": str(n)}) + "\n" for n in range(30)))
    for data in (file, Conversations(name, *[load(str(file)).train] * 2)):
        prepared = prepare(Request("embedded", data, LoRA(r=1), out=tmp_path / "run", skills=1))
        graded = prepared.evaluator(prepared.model())
        assert {*curriculum_groups(1), called} == graded.loss.keys() and called in graded.exact
        assert any("called" in sentence for sentence in left_out(prepared)) == (name != called)


def test_the_shell_command(tmp_path, capsys):
    from engine.finetune import main

    out = tmp_path / "run"
    assert main(["--method", "lora", "--data", "spanish", "--out", str(out), "--steps", "2", "--r", "2"]) == 0
    assert str(out) in capsys.readouterr().out
    info = json.loads((out / "run.json").read_text())
    assert info["method"]["r"] == 2 and info["settings"]["steps"] == 2
