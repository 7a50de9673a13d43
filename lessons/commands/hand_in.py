"""How does a student hand in? `python -m lessons.hand_in --name Ada` writes Ada.json, from what was answered here."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from engine.commands import Command


def options(parser: ArgumentParser) -> None:
    parser.add_argument("lesson", nargs="*", help="of these lessons (default: all)")
    parser.add_argument("--name", required=True, help="whose answers they are")
    parser.add_argument("--out", type=Path, help="the folder (default: this one)")


def run(chosen: Namespace) -> None:
    from lessons.handout.handing import hand_in

    hand_in(chosen.name, chosen.lesson, chosen.out)


COMMAND = Command("write your answers into a file to hand in", options, run)
