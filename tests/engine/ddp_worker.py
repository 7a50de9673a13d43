"""What test_capture_processes.py starts in two processes: the same small training, spread over them."""

import sys
from pathlib import Path

import torch
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard
from transformers import LlamaConfig, LlamaForCausalLM

from engine import capture

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
        )  # fmt: skip
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
    distributed.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
