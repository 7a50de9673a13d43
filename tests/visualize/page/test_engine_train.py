"""Training in the page is torch's: gradients, AdamW's steps, schedule and clipping; and it can be kept and gone back to."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, TrainerCallback

from engine.data import collate, encode_all, load
from engine.training.methods import Full, LoRA
from engine.training.settings import Settings
from engine.training.trainer import make_trainer
from tests.visualize.page.node import ask
from tests.visualize.page.test_engine_forward import weights_of


def spanish(tokenizer, count):
    return encode_all(tokenizer, load("spanish").train[:count])


def plain(rows):
    return [{"ids": row.ids, "labels": row.labels} for row in rows]


def adapters_of(model):
    """A and B by the names that the page uses."""
    return {
        name.removeprefix("base_model.model.").removesuffix(".default.weight"): parameter
        for name, parameter in model.named_parameters()
        if "lora_" in name
    }


def as_arrays(tensors):
    return {name: tensor.detach().numpy().copy() for name, tensor in tensors.items()}


def assert_close(made, expected, relative):
    """Every tensor within `relative` of the expected one, as a whole and in its largest entries."""
    assert made.keys() == expected.keys()
    for name, value in expected.items():
        difference = made[name].reshape(value.shape) - value
        assert np.linalg.norm(difference) <= relative * np.linalg.norm(value), name
        assert np.abs(difference).max() <= relative * np.abs(value).max(), name


@pytest.mark.parametrize("kernels", [{}, {"wasm": False}], ids=["wasm", "plain"])
def test_every_gradient_of_full_fine_tuning(base, tokenizer, kernels, tmp_path):
    rows = spanish(tokenizer, 6)
    loss = base(**collate(rows, tokenizer.pad_token_id)).loss
    loss.backward()
    said, made = ask("gradients", tmp_path, rows=plain(rows), method={"name": "full"}, kernels=kernels)
    assert said == pytest.approx(loss.item(), rel=1e-5)
    assert_close(made, {name: p.grad.numpy() for name, p in base.named_parameters()}, 1e-3)


def test_every_gradient_of_lora(tokenizer, tmp_path):
    torch.manual_seed(0)
    model = LoRA(r=4, alpha=6).prepare("embedded")
    adapters = adapters_of(model)
    for name, parameter in adapters.items():
        if "lora_B" in name:  # a zero B would hide A's gradient
            torch.nn.init.normal_(parameter, std=0.05)
    rows = spanish(tokenizer, 6)
    loss = model(**collate(rows, tokenizer.pad_token_id)).loss
    loss.backward()
    method = {"name": "lora", "rank": 4, "alpha": 6}
    said, made = ask("gradients", tmp_path, as_arrays(adapters), rows=plain(rows), method=method)
    assert said == pytest.approx(loss.item(), rel=1e-5)
    assert_close(made, {name: parameter.grad.numpy() for name, parameter in adapters.items()}, 1e-3)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "a head of its own"])
def test_every_gradient_of_other_shapes(tied, tmp_path):
    """Grouped heads wider than the stream, and ids that are padding, which an embedding does not learn."""
    config = LlamaConfig(
        vocab_size=61, hidden_size=24, intermediate_size=50, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=10, pad_token_id=3, tie_word_embeddings=tied, max_position_embeddings=40,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    ids = [[*torch.randint(4, 61, (length,)).tolist(), 3] for length in (2, 9, 30)]
    labels = [[-100] * (len(row) // 2) + row[len(row) // 2 :] for row in ids]
    summed = sum(
        model(input_ids=torch.tensor([row]), labels=torch.tensor([label])).loss * sum(at != -100 for at in label[1:])
        for row, label in zip(ids, labels, strict=True)
    )
    loss = summed / sum(at != -100 for label in labels for at in label[1:])
    loss.backward()
    rows = [{"ids": row, "labels": label} for row, label in zip(ids, labels, strict=True)]
    said, made = ask(
        "gradients", tmp_path, weights_of(model), rows=rows, method={"name": "full"}, config=config.to_dict()
    )
    assert said == pytest.approx(loss.item(), rel=1e-5)
    assert_close(made, {name: p.grad.numpy() for name, p in model.named_parameters()}, 1e-3)


class Log(TrainerCallback):
    def __init__(self):
        self.lines = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" in logs:
            self.lines.append(logs)


@pytest.mark.parametrize("method", [LoRA(r=8, alpha=16), Full()], ids=["lora", "full"])
def test_twenty_steps_are_the_trainers(method, tokenizer, tmp_path):
    torch.manual_seed(0)
    model = method.prepare("embedded")
    lora = isinstance(method, LoRA)
    start = as_arrays(adapters_of(model)) if lora else {}
    rows = spanish(tokenizer, 64)
    settings = Settings(steps=20, batch_size=8, warmup=0.2, weight_decay=0.1).completed(method.name, embedded=True)
    log, batches = Log(), []
    trainer = make_trainer(model, rows, tokenizer.pad_token_id, settings, str(tmp_path), [log])

    def recorded(batch, collator=trainer.data_collator):
        batches.append(plain(batch))
        return collator(batch)

    trainer.data_collator = recorded
    trainer.train()
    choice = {"name": "lora", "rank": 8, "alpha": 16} if lora else {"name": "full"}
    asked = {"steps": 20, "batch": 8, "warmup": 0.2, "decay": 0.1}
    steps, made = ask("train", tmp_path, start, rows=plain(rows), method=choice, settings=asked, batches=batches[:20])
    np.testing.assert_allclose([s["loss"] for s in steps], [line["loss"] for line in log.lines], atol=1e-3, rtol=0)
    np.testing.assert_allclose([s["rate"] for s in steps], [line["learning_rate"] for line in log.lines], rtol=1e-6)
    np.testing.assert_allclose([s["norm"] for s in steps], [line["grad_norm"] for line in log.lines], rtol=1e-2)
    after = adapters_of(model) if lora else dict(model.named_parameters())
    assert_close(made, as_arrays(after), 1e-2)
