"""How is Glasstune typed? `glasstune COMMAND ...`; `glasstune --help` lists the commands.

Completion for a shell: eval "$(glasstune --print-completion bash)", or zsh, or tcsh.
"""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter, _SubParsersAction
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import shtab

from glasstune.siblings import check

if TYPE_CHECKING:
    from engine.commands import Command

# In the order in which they are needed; each is a file with a COMMAND.
HOMES = {
    "finetune": "engine.commands.finetune",
    "inspect": "engine.commands.inspect",
    "audit": "engine.commands.audit",
    "evaluate": "engine.commands.evaluate",
    "judge": "engine.commands.judge",
    "data": "engine.commands.data",
    "preflight": "engine.commands.preflight",
    "rerun": "engine.commands.rerun",
    "compare": "visualize.commands.compare",
    "page": "visualize.commands.page",
    "watch": "visualize.commands.watch",
    "film": "animations.commands.film",
    "slides": "animations.commands.slides",
    "lesson": "lessons.commands.lesson",
    "notebooks": "lessons.commands.notebooks",
    "site": "lessons.commands.site",
    "hand-in": "lessons.commands.hand_in",
    "grade": "lessons.commands.grade",
    "claims": "lessons.commands.claims",
    "runs": "animations.commands.runs",
}
ABOUT = "Fine-tuning you can see through."
MORE = """\
glasstune COMMAND --help says what a command takes.
eval "$(glasstune --print-completion bash)" completes them (or zsh, tcsh)."""


def commands() -> "dict[str, Command]":
    """Every command by its name. Raises ImportError if another folder stands where one of ours should."""
    check()
    return {name: import_module(home).COMMAND for name, home in HOMES.items()}


def parser_of(known: "dict[str, Command]") -> ArgumentParser:
    parser = ArgumentParser(
        prog="glasstune", description=ABOUT, epilog=MORE, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"glasstune {_version()}")
    shtab.add_argument_to(parser, help="a script that completes all this in that shell")
    added = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    for name, command in known.items():
        _add(added, name, command)
    return parser


def _add(added: "_SubParsersAction[ArgumentParser]", name: str, command: "Command") -> None:
    parser = added.add_parser(name, help=command.about, description=command.about)
    command.options(parser)
    for action in parser._actions:
        if action.type is Path or action.dest in (
            "run",
            "path",
            "second",
            "a",
            "b",
            "base",
            "adapter",
            "merged",
            "data",
            "model",
            "heldout",
        ):
            action.complete = shtab.FILE  # type: ignore[attr-defined]


def _version() -> str:
    try:
        return version("glasstune")
    except PackageNotFoundError:
        return "(not installed: run from its folder)"


def main(arguments: list[str] | None = None) -> int:
    """Gives the exit status; a mistake is one line, no trace."""
    try:
        known = commands()
    except ImportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    from engine import errors

    parser = parser_of(known)
    chosen = parser.parse_args(arguments)
    name = vars(chosen).pop("command")
    if name is None:
        parser.print_help()
        return 0
    command = known[name]
    return errors.command(lambda _: command.run(chosen), command.stopped)()
