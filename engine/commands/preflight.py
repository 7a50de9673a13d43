"""Will a training do what is meant? `glasstune preflight --model MODEL --data my.jsonl --method lora`, before it.

The same look at a Trainer of one's own: `from glasstune import preflight`.
"""

from argparse import ArgumentParser, Namespace
from dataclasses import fields

from engine.commands import Command
from engine.commands.finetune import add_field, told
from engine.terminal import note
from engine.training.methods import method_options
from engine.training.request import Request

# What decides how a batch looks and what two steps do.
_MATTERS = {
    "model",
    "data",
    "method",
    "batch_size",
    "max_length",
    "mask_prompts",
    "dtype",
    "gradient_checkpointing",
    "seed",
}


def options(parser: ArgumentParser) -> None:
    for about in fields(Request):
        if about.name in _MATTERS:
            add_field(parser, about, about.metadata["help"])
    for about, methods in method_options().values():
        add_field(parser, about, f"{about.metadata.get('help', '')} ({', '.join(methods)})")


def run(chosen: Namespace) -> int:
    import tempfile

    from engine.preflight.check import preflight
    from engine.training.prepare import left_out, prepare
    from engine.training.trainer import make_trainer

    prepared = prepare(Request(**told(chosen), out="unused"))
    for sentence in left_out(prepared):
        note(sentence)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = make_trainer(prepared.model(), prepared.rows, prepared.pad_id, prepared.settings, scratch, [])
        trainer.processing_class = prepared.tokenizer
        return int(not preflight(trainer).ready)


COMMAND = Command("look at a training before it starts", options, run)
