"""How does the course become a web page from a terminal? `glasstune site -o site`; then open site/index.html."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from engine.commands import Command, at_least
from engine.language.speaking import language_of
from engine.terminal import say
from lessons.teaching.language import add_language


def options(parser: ArgumentParser) -> None:
    parser.add_argument("lesson", nargs="*", help="lessons, or files of your own (default: all of the course)")
    parser.add_argument("-o", "--out", type=Path, default=Path("site"), help="the folder (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="less training, which judges nothing")
    parser.add_argument(
        "--kept", type=Path, default=Path("runs/site"),
        help="where executions are kept, so that the next building takes none (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--films", type=Path, default=Path("films"), help="where the lessons' films lie, if any (default: %(default)s)"
    )
    add_language(parser)
    parser.add_argument("--timeout", type=at_least(1), metavar="SECONDS", help="for a cell (default: 600)")


def run(chosen: Namespace) -> None:
    from lessons.handout.notebooks import CELL_LIMIT
    from lessons.site.build import build_site
    from lessons.teaching.course import lessons

    index = build_site(
        chosen.out, chosen.lesson or lessons(), kept=chosen.kept, films=chosen.films, quick=chosen.quick,
        limit=chosen.timeout or CELL_LIMIT, language=language_of(chosen.language),
    )  # fmt: skip
    say(f"The course is in {index}: open it in a browser, or put its folder on any web server.")


COMMAND = Command("the course as a web page, which needs no server", options, run)
