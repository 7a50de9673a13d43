"""How is a merged model audited? `glasstune audit BASE ADAPTER MERGED`; the exit status is 1 if it is not in once."""

from argparse import ArgumentParser, Namespace

from engine.commands import Command
from engine.terminal import Terminal


def options(parser: ArgumentParser) -> None:
    parser.add_argument("base", help="the model that the adapter was trained on")
    parser.add_argument("adapter", help="the adapter's folder or Hub id")
    parser.add_argument("merged", help="what should hold both")
    parser.add_argument("--top", type=int, default=8, help="how many modules to list")
    parser.add_argument(
        "--all", action="store_true", help="measure what survives in every matrix, however long it takes"
    )


def run(chosen: Namespace) -> int:
    from engine.inspect.audit import audit
    from engine.inspect.audited import show

    found = audit(chosen.base, chosen.adapter, chosen.merged, everything=chosen.all)
    return int(show(found, Terminal(), chosen.top))


COMMAND = Command("does a merged model hold an adapter, once?", options, run)
