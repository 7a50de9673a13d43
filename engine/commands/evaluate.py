"""How is a run graded beside its base from a terminal? `glasstune evaluate runs/mine --metrics exact token_f1`."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from engine.commands import Command
from engine.errors import InputError
from engine.files import check_new
from engine.terminal import Terminal, say


def options(parser: ArgumentParser) -> None:
    parser.add_argument("run", help="the run's folder")
    parser.add_argument("--data", help="what to grade on (default: what the run held out): file, task, Hub id")
    parser.add_argument(
        "--metrics", nargs="+", metavar="METRIC", help="by name (a wrong one lists those there are), or module:function"
    )
    parser.add_argument("--json-keys", nargs="+", metavar="KEY", help="also: share of JSON objects with these keys")
    parser.add_argument("--regex", metavar="PATTERN", help="also: share of answers that match from end to end")
    parser.add_argument("--limit", type=int, default=200, help="questions at most (200)")
    parser.add_argument("--max-new-tokens", type=int, help="longest answer (as the longest right one; 64 to 256)")
    parser.add_argument("--answers", type=Path, metavar="FILE", help="write all answers of both as JSON lines")
    parser.add_argument(
        "--lm-eval", nargs="+", metavar="TASK", help="instead: these tasks of lm-evaluation-harness; --limit is of each"
    )


def run(chosen: Namespace) -> None:
    for name in ("limit", "max_new_tokens"):
        number = getattr(chosen, name)
        if number is not None and number < 1:
            raise InputError(f"--{name.replace('_', '-')} is {number}; it must be at least 1")
    ours = ("data", "metrics", "json_keys", "regex", "max_new_tokens", "answers")
    if chosen.lm_eval and (given := [name for name in ours if getattr(chosen, name) is not None]):
        raise InputError(
            f"--{given[0].replace('_', '-')} does nothing beside --lm-eval, whose tasks bring questions and metrics of "
            "their own; give one or the other"
        )
    from engine.evaluate.compare import DEFAULT, compare, show, write_answers
    from engine.evaluate.metrics import AnyMetric, json_with, matching
    from engine.run.run import as_run

    if any(":" in metric for metric in chosen.metrics or ()):
        sys.path.append(str(Path.cwd()))  # where it lies; last, so that nothing here stands before what is installed
    console = Terminal()
    if chosen.lm_eval:
        from engine.evaluate.harness import show_tasks

        show_tasks(as_run(chosen.run), chosen.lm_eval, chosen.limit, console)
        return
    answers = check_new(chosen.answers) if chosen.answers else None
    metrics: list[AnyMetric] = [*(chosen.metrics or DEFAULT)]
    metrics += [json_with(*chosen.json_keys)] if chosen.json_keys else []
    metrics += [matching(chosen.regex)] if chosen.regex else []
    found = compare(chosen.run, chosen.data, metrics, limit=chosen.limit, max_new_tokens=chosen.max_new_tokens)
    show(found, console)
    if answers:
        write_answers(found.answers, answers)
        say(f"All answers lie in {answers}")


COMMAND = Command("grade base and tuned model on the same questions", options, run)
