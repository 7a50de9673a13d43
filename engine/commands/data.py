"""How is a data set looked at before training? `glasstune data my.jsonl --heldout test.jsonl`."""

from argparse import ArgumentParser, Namespace

from engine.commands import Command, at_least
from engine.terminal import Terminal


def options(parser: ArgumentParser) -> None:
    parser.add_argument("data", help="a file (JSON, JSONL, CSV, Parquet), a task's name, a data set's folder or Hub id")
    parser.add_argument(
        "--model", default="embedded", help="whose tokenizer and chat template: 'embedded', folder, Hub id"
    )
    parser.add_argument("--heldout", help="the data that you will grade on, to look for overlap")
    parser.add_argument("--max-length", type=at_least(1), default=512, help="tokens; longer examples are cut (512)")


def run(chosen: Namespace) -> None:
    from engine.data.report import report, show
    from engine.models import load_tokenizer

    tokenizer = load_tokenizer(chosen.model)
    show(report(chosen.data, tokenizer, chosen.heldout, chosen.max_length), tokenizer, Terminal())


COMMAND = Command("look at a data set before training on it", options, run)
