"""What test_capture_processes.py starts in two processes: the same small training, spread over them."""

import os
import sys
from pathlib import Path

import torch
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from glasstune import CaptureCallback, capture

STEPS = 3


def make() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=60,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=32,
            pad_token_id=0,
            tie_word_embeddings=True,
            initializer_range=0.2,
        )
    )


def train(model: nn.Module, out: Path, rank: int, world: int, **options) -> None:
    """Three steps of SGD on the same eight sequences, each process taking its share."""
    batch = torch.randint(3, 60, (8, 8), generator=torch.Generator().manual_seed(1))[rank::world]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with capture(model, out, every=1, say=False, **options) as recorder:
        for _ in range(STEPS):
            loss = model(input_ids=batch, labels=batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            recorder.step(loss=loss)
    assert (recorder.run is None) == (rank > 0)


def train_with_trainer(out: Path, world: int) -> None:
    """The same with transformers' Trainer: the processes' batches of 8 / world sequences make one of 8."""
    rows = torch.randint(3, 60, (24, 8), generator=torch.Generator().manual_seed(1)).tolist()
    settings = TrainingArguments(
        str(out / "trainer"), max_steps=STEPS, per_device_train_batch_size=8 // world, report_to=[], use_cpu=True,
        save_strategy="no", disable_tqdm=True, optim="sgd", learning_rate=0.1, logging_steps=1,
        dataloader_pin_memory=False,
    )  # fmt: skip
    callback = CaptureCallback(out / "run", every=1, say=False)
    rows = [{"input_ids": row, "labels": row} for row in rows]
    trainer = Trainer(make(), settings, train_dataset=rows, callbacks=[callback])
    trainer.train()
    assert (callback.run is None) == (trainer.args.process_index > 0)


def main(folder: Path) -> None:
    distributed.init_process_group("gloo")
    rank, world = distributed.get_rank(), distributed.get_world_size()
    train(nn.parallel.DistributedDataParallel(make()), folder / "ddp", rank, world)
    for name, options in (("fsdp", {}), ("fsdp-sketched", {"budget": "60KB", "total": STEPS})):
        model = make()
        for layer in model.model.layers:
            fully_shard(layer)
        fully_shard(model)
        train(model, folder / name, rank, world, **options)
    train_with_trainer(folder / "trainer", world)
    distributed.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
    # Destroying the group leaves gloo's threads running (FSDP keeps a reference); one that still holds a tensor while
    # the interpreter shuts down aborts the process now and then (pytorch/pytorch#179291). All is written: skip that.
    os._exit(0)
