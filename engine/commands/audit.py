"""How is a merged model audited? `glasstune audit BASE ADAPTER MERGED`; the exit status is 1 if it is not in once."""

from argparse import ArgumentParser, Namespace

from engine.commands import Command, at_least
from engine.terminal import Terminal


def options(parser: ArgumentParser) -> None:
    parser.add_argument("base", help="the model that the adapter was trained on")
    parser.add_argument("adapter", help="the adapter's folder or Hub id")
    parser.add_argument("merged", help="what should hold both")
    parser.add_argument("--top", type=at_least(0), default=8, help="how many modules, and answers, to list")
    parser.add_argument("--data", help="ask all three the questions of this file, and show which answers change")
    parser.add_argument("--ask", nargs="+", default=[], metavar="QUESTION", help="ask all three these questions")
    parser.add_argument(
        "--all", action="store_true", help="measure what survives in every matrix, however long it takes"
    )


def run(chosen: Namespace) -> int:
    from engine.inspect.audit import audit
    from engine.inspect.audited import show
    from engine.run.base import EMBEDDED

    prompts = None
    if chosen.data or chosen.ask or chosen.base == EMBEDDED:  # else no model needs to be loaded
        from engine.inspect.answered import questions

        prompts = questions(chosen.base, chosen.data, chosen.ask)
    found = audit(chosen.base, chosen.adapter, chosen.merged, everything=chosen.all, prompts=prompts)
    return int(show(found, Terminal(), chosen.top))


COMMAND = Command("does a merged model hold an adapter, once?", options, run)
