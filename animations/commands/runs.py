"""How are the films' own runs made from a terminal? `glasstune runs`; they are made when first needed in any case."""

from argparse import ArgumentParser, Namespace

from engine.commands import Command
from engine.terminal import say


def options(parser: ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all; a wrong name lists those there are")


def run(chosen: Namespace) -> None:
    from animations.studio.runs import RECIPES, film_run, folder_of

    for name in chosen.names or RECIPES:
        say(f"{film_run(name)}\nIt lies in {folder_of(name)}")


COMMAND = Command("make the runs that films show when none is given", options, run)
