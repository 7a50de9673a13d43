"""Capture in anyone's training: a step is an optimizer step, nothing is changed, nothing is written twice."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn
from transformers import EarlyStoppingCallback, LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from engine.run.format import capture_path
from glasstune import CaptureCallback, InputError, Run, capture

ROWS = [{"input_ids": row, "labels": row} for row in torch.randint(3, 60, (24, 8)).tolist()]


def make(seed: int = 0, **options) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = {"vocab_size": 60, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
              "num_attention_heads": 2, "max_position_embeddings": 32, "pad_token_id": 0}  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(**config | options))


def weights(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: p.detach().float().numpy().copy() for name, p in model.named_parameters()}


def trainer_of(out, model, callback, kind=Trainer, steps: int = 4, more=(), **arguments) -> Trainer:
    settings = {
        "max_steps": steps, "per_device_train_batch_size": 4, "report_to": [], "save_strategy": "no", "logging_steps": 1,
        "disable_tqdm": True, "dataloader_pin_memory": False, "learning_rate": 1e-2, "use_cpu": True, "seed": 5,
        **arguments,
    }  # fmt: skip
    trainer = kind(model, TrainingArguments(str(out), **settings), train_dataset=ROWS, eval_dataset=ROWS[:4],
                   callbacks=[callback, *more])  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    return trainer


def check(run: Run, before: dict[str, np.ndarray], model: nn.Module) -> None:
    """The last capture is the difference that training made."""
    after = weights(model)
    for module, about in run.info.modules.items():
        name = about.parameter
        np.testing.assert_allclose(run.delta(module), after[name] - before[name], atol=1e-7)
        assert run.norms.loc[run.steps[-1], module] == pytest.approx(
            np.linalg.norm(after[name] - before[name]), rel=1e-4
        )


# What transformers 5.0 calls gradient checkpointing, newer ones call activation checkpointing.
CHECKPOINTING = next(
    name for name in ("activation_checkpointing", "gradient_checkpointing") if hasattr(TrainingArguments, name)
)
WAYS = {
    "plain": {},
    "accumulating": {"gradient_accumulation_steps": 3},
    "clipped": {"max_grad_norm": 0.01},
    "bf16": {"bf16": True},
    "checkpointing": {CHECKPOINTING: True},
    "compiled": {"torch_compile": True, "torch_compile_backend": "eager"},
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_training_gives_the_same_kind_of_run(way, tmp_path):
    model = make()
    before = weights(model)
    callback = CaptureCallback(tmp_path / "run", every=1, say=False)
    trainer_of(tmp_path / "t", model, callback, **WAYS[way]).train()
    run = callback.run
    assert run is not None and run.steps == [0, 1, 2, 3, 4] and list(run.metrics.index) == [1, 2, 3, 4]
    assert next(iter(run.info.modules)) == "model.embed_tokens"  # the model's own names, whatever wraps it
    check(run, before, model)
    assert run.status == "finished" and None not in (
        run.info.seconds.total,
        run.info.seconds.capture,
        run.info.seconds.beside,
    )


def test_capturing_changes_nothing_of_the_training(tmp_path):
    plain, watched = make(), make()
    trainer_of(tmp_path / "a", plain, PrinterCallback()).train()
    trainer_of(tmp_path / "b", watched, CaptureCallback(tmp_path / "run", every=1, budget="100KB", say=False)).train()
    assert all(torch.equal(p, q) for p, q in zip(plain.parameters(), watched.parameters(), strict=True))


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing. is deprecated:FutureWarning")  # TRL's own default
def test_in_trls_sft_trainer(tmp_path, tokenizer):
    trl = pytest.importorskip("trl")
    from datasets import Dataset
    from peft import LoraConfig

    texts = Dataset.from_dict({"text": ["The capital of France is Paris.", "One and one is two."] * 4})
    arguments = trl.SFTConfig(
        str(tmp_path / "t"), max_steps=2, per_device_train_batch_size=2, report_to=[], save_strategy="no", use_cpu=True,
        disable_tqdm=True, logging_steps=1, max_length=32, dataloader_pin_memory=False, bf16=False,
    )  # fmt: skip
    callback = CaptureCallback(tmp_path / "run", every=1, say=False)
    model = make(vocab_size=len(tokenizer))
    lora = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    trainer = trl.SFTTrainer(model, arguments, train_dataset=texts, processing_class=tokenizer, peft_config=lora,
                             callbacks=[callback])  # fmt: skip
    trainer.train()
    run = callback.run
    assert run is not None and run.steps == [0, 1, 2] and run.method == "lora" and len(run.modules) == 4
    layer = trainer.model.base_model.model.get_submodule(run.modules[0])
    np.testing.assert_allclose(run.delta(run.modules[0]), layer.get_delta_weight("default").detach().numpy(), atol=1e-6)


def test_the_trainers_own_evaluations_are_kept(tmp_path):
    callback = CaptureCallback(tmp_path / "run", every=1, say=False)
    trainer = trainer_of(tmp_path / "t", make(), callback, eval_strategy="steps", eval_steps=2)
    trainer.train()
    assert callback.run is not None and list(callback.run.skill_losses["held out"].index) == [2, 4]
    trainer.evaluate()  # after training, nothing is open any more


@pytest.mark.parametrize("when", ["steps", "epoch"])
def test_early_stopping_ends_the_run_where_training_ended(when, tmp_path):
    model = make()
    before = weights(model)
    callback = CaptureCallback(tmp_path / "run", every=50, say=False)
    stop = EarlyStoppingCallback(early_stopping_patience=1, early_stopping_threshold=100.0)
    trainer = trainer_of(
        tmp_path / "t", model, callback, steps=40, more=[stop], eval_strategy=when, eval_steps=1, save_steps=1,
        save_strategy=when, load_best_model_at_end=True, metric_for_best_model="loss", greater_is_better=True,
    )  # fmt: skip
    held = {}
    stop.on_step_end = lambda args, state, control, **rest: held.update(weights(rest["model"]))
    trainer.train()
    run = callback.run
    assert run is not None and run.steps == [0, run.info.steps] and run.status == "finished"
    # The Trainer has put the best step's weights back; the run's last step is still what training came to.
    name = run.info.modules[run.modules[0]].parameter
    np.testing.assert_allclose(run.delta(run.modules[0]), held[name] - before[name], atol=1e-7)
    assert np.abs(weights(model)[name] - held[name]).max() > 1e-6


@pytest.mark.parametrize("lora", [False, True])
def test_a_resumed_training_is_one_continuous_run(lora, tmp_path):
    def model_of():
        if not lora:
            return make()
        from peft import LoraConfig, get_peft_model

        return get_peft_model(make(), LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))

    def go(name, **options):
        callback = CaptureCallback(tmp_path / name, every=1, say=False)
        trainer = trainer_of(tmp_path / f"{name}-t", model_of(), callback, steps=6, save_strategy="steps", save_steps=2)
        trainer.train(**options)
        return callback.run

    whole = go("whole")
    go("cut")
    run = Run.load(tmp_path / "cut")
    for name in ("norms.jsonl", "metrics.jsonl"):  # as if it had been killed: steps 5 and 6 are after the checkpoint
        with (run.path / name).open("a") as file:
            file.write('{"step": 6, "ev')
    (run.path / "captures" / "step-000007.safetensors.part").write_bytes(b"half")
    run = go("cut", resume_from_checkpoint=str(tmp_path / "cut-t" / "checkpoint-4"))
    assert run.info.resumed == (4,) and run.steps == whole.steps == [0, 1, 2, 3, 4, 5, 6]
    assert list(run.metrics.index) == [1, 2, 3, 4, 5, 6] and list(run.norms.index) == run.steps
    lines = [json.loads(line)["step"] for line in (run.path / "norms.jsonl").read_text().splitlines()]
    assert lines == sorted(set(lines)) and not list(run.path.glob("captures/*.part"))
    for step in run.steps:
        for module in run.modules:
            np.testing.assert_allclose(run.delta(module, step), whole.delta(module, step), atol=1e-6)


def test_resuming_without_a_run_begins_one_there(tmp_path):
    callback = CaptureCallback(tmp_path / "a", say=False)
    trainer_of(tmp_path / "t", make(), callback, save_strategy="steps", save_steps=2).train()
    later = CaptureCallback(tmp_path / "b", every=1, say=False)
    trainer_of(tmp_path / "t", make(), later).train(resume_from_checkpoint=str(tmp_path / "t" / "checkpoint-2"))
    assert later.run is not None and later.run.steps == [2, 3, 4] and later.run.info.began_at == 2
    assert not later.run.delta(later.run.modules[0], 2).any()


def test_another_trainings_run_is_not_continued(tmp_path):
    with capture(make(), tmp_path / "run", say=False) as recorder:
        recorder.step()
    held = sorted(file.name for file in (tmp_path / "run").rglob("*"))
    other = make(num_hidden_layers=3)
    with (
        pytest.raises(InputError, match=r"cannot be continued from step 1: .* was not trained"),
        capture(other, tmp_path / "run", resumed=1, say=False),
    ):
        pass
    with pytest.raises(InputError, match="already holds another run"), capture(make(), tmp_path / "run", say=False):
        pass
    assert sorted(file.name for file in (tmp_path / "run").rglob("*")) == held


def folders(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("kind", ["whole", "lora", "summarised"])
def test_another_training_of_the_same_shape_is_not_continued_and_keeps_its_captures(kind, tmp_path):
    def model_of(seed):
        torch.manual_seed(seed)
        model = make()
        if kind != "lora":
            return model
        from peft import LoraConfig, get_peft_model

        return get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))

    options = {"every": 1, "total": 4, **({"budget": "90KB"} if kind == "summarised" else {})}
    mine = model_of(0)
    with pytest.raises(InputError, match="stopped by hand"), capture(mine, tmp_path / "run", say=False, **options) as r:
        for _ in range(2):
            stir(mine)
            r.step(loss=1.0)
        raise InputError("stopped by hand")
    run = Run.load(tmp_path / "run")
    assert run.is_sketched(run.modules[0]) is (kind == "summarised") and run.steps == [0, 1, 2]
    held = folders(run.path)
    for other in (model_of(1), model_of(0)):  # the same base, too, trained otherwise
        torch.manual_seed(7)
        stir(other)
        for step in (1, 2):
            said = rf"cannot be continued from step {step}: it holds another training's run, for the weights of that"
            with pytest.raises(InputError, match=said):
                loop(other, run.path, 1, resumed=step, **options)
            assert folders(run.path) == held
    with torch.no_grad():  # a checkpoint that keeps fewer bits
        for parameter in mine.parameters():
            parameter.copy_(parameter.bfloat16())
    assert loop(mine, run.path, 1, resumed=2, **options).steps == [0, 1, 2, 3]


def stir(model):
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 1e-2 * torch.randn_like(parameter)


def test_where_a_step_was_not_captured_another_seed_is_another_training(tmp_path):
    def go(seed, **options):
        callback = CaptureCallback(tmp_path / "run", every=3, say=False)
        trainer = trainer_of(tmp_path / "t", make(), callback, save_strategy="steps", save_steps=2, seed=seed)
        trainer.train(**options)

    go(5)
    held = folders(tmp_path / "run")
    again = {"resume_from_checkpoint": str(tmp_path / "t" / "checkpoint-2")}
    with pytest.raises(InputError, match="from step 2: it holds a run with seed 5, and this one has 6; give another"):
        go(6, **again)
    assert folders(tmp_path / "run") == held
    go(5, **again)


def loop(model, out, steps: int, rate: float = 1e-2, **options) -> Run:
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    batch = torch.tensor([row["input_ids"] for row in ROWS[:4]])
    with capture(model, out, say=False, **options) as recorder:
        for _ in range(steps):
            with torch.autocast("cpu", torch.bfloat16):
                loss = model(input_ids=batch, labels=batch).loss
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            recorder.step(loss=loss, learning_rate=rate)
    assert recorder.run is not None
    return recorder.run


def test_a_plain_loop_resumes_too(tmp_path):
    whole = loop(make(), tmp_path / "whole", 5, every=1)
    model = make()
    loop(model, tmp_path / "run", 3, every=1)
    run = loop(model, tmp_path / "run", 2, every=1, resumed=3)
    assert run.steps == [0, 1, 2, 3, 4, 5] and list(run.metrics.index) == [1, 2, 3, 4, 5]
    for module in run.modules:
        np.testing.assert_allclose(run.delta(module, 5), whole.delta(module, 5), atol=1e-6)


def test_a_compiled_model_and_a_bare_module_in_a_plain_loop(tmp_path):
    model = make()
    before = weights(model)
    check(loop(torch.compile(model, backend="eager"), tmp_path / "a", 2), before, model)
    bare = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    with capture(bare, tmp_path / "b", say=False) as recorder:
        nn.init.ones_(bare[0].weight)
        recorder.step()
    assert recorder.run is not None and recorder.run.modules == ["0", "2"] and recorder.run.delta("0").any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_other_types(dtype, tmp_path):
    model = make().to(dtype)
    before = weights(model)
    with capture(model, tmp_path / "run", every=1, say=False) as recorder, torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.25 * torch.randn_like(parameter)
        recorder.step()
    assert recorder.run is not None
    check(recorder.run, before, model)


def test_a_capture_is_an_ordinary_safetensors_file(tmp_path):
    run = loop(make(), tmp_path / "run", 2)
    held = load_file(capture_path(run.path, 2))
    assert {value.dtype for value in held.values()} == {np.dtype("float32")}
    assert set(held) == {about.parameter for about in run.info.modules.values()}


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_model_on_a_gpu(tmp_path):
    model = make().cuda()
    before = {name: p.detach().cpu().numpy().copy() for name, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    batch = torch.tensor([row["input_ids"] for row in ROWS[:4]], device="cuda")
    held = {}
    with capture(model, tmp_path / "run", every=1, say=False) as recorder:
        for step in range(1, 6):
            loss = model(input_ids=batch, labels=batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            held[step] = {name: p.detach().clone() for name, p in model.named_parameters()}
            recorder.step(loss=loss)
    run = recorder.run
    assert run is not None and list(run.metrics.index) == [1, 2, 3, 4, 5]
    for step, values in held.items():
        for module, about in run.info.modules.items():
            true = values[about.parameter].cpu().numpy() - before[about.parameter]
            np.testing.assert_allclose(run.delta(module, step), true, atol=1e-7)
