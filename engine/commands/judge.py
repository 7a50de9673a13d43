"""How are two models judged blind from a terminal? `glasstune judge runs/a runs/b`: 1, 2, t (tie), q (stop)."""

from argparse import ArgumentParser, Namespace

from engine.commands import Command, at_least
from engine.terminal import Terminal


def options(parser: ArgumentParser) -> None:
    parser.add_argument("a", metavar="RUN_A", help="a run's folder")
    parser.add_argument("b", metavar="RUN_B", help="another, or 'base': the model that RUN_A began from")
    parser.add_argument("--data", help="the questions (default: what RUN_A held out): a file, a task, a Hub id")
    parser.add_argument("--count", type=at_least(1), default=20, help="questions at most (20)")
    parser.add_argument("--seed", type=int, default=0, help="draws the questions, and whose answer stands first (0)")
    parser.add_argument("--out", help="the file of judgements (default: beside RUN_A)")
    parser.add_argument(
        "--max-new-tokens", type=at_least(1), help="longest answer (as the longest right one; 64 to 256)"
    )


def run(chosen: Namespace) -> None:
    from engine.evaluate.judging import in_terminal, judge

    asked = {name: getattr(chosen, name) for name in ("a", "b", "data", "count", "seed", "out", "max_new_tokens")}
    in_terminal(judge(**asked), Terminal())


COMMAND = Command("judge two models' answers, blind and side by side", options, run)
