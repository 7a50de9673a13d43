"""How are a film's slides made from a terminal? `glasstune slides lora -o lora.html`."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from animations.commands.film import KEPT, add_options, beside
from engine.commands import Command
from engine.terminal import say


def options(parser: ArgumentParser) -> None:
    parser.add_argument("film", nargs="?", default="lora", metavar="FILM", help="default: lora")
    add_options(parser)
    parser.add_argument("--beats", action="store_true", help="wait after every caption, not only after every scene")
    parser.add_argument("-o", "--out", type=Path, help="the file (default: films/FILM.html)")


def run(chosen: Namespace) -> None:
    from animations.studio.slides import make_slides

    made = make_slides(
        chosen.film, chosen.run, chosen.out, beats=chosen.beats, others=beside(chosen), voice=chosen.voice,
        quality=chosen.quality, theme=chosen.theme, jobs=chosen.jobs, scenes=chosen.scenes,
    )  # fmt: skip
    say(f"The slides lie in {made} ({made.stat().st_size / 1e6:.0f} MB); open them in a browser")


COMMAND = Command("a film as slides with notes, in one offline page", options, run, stopped=KEPT)
