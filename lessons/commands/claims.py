"""How are the claims' trials run from a terminal? `glasstune claims lora-rate`: runs what has not finished, and writes
the ledger.

Stopped, it goes on where it was. Everything is kept in --store, one small file a trial. The ledger and its page go to
--out: in a checkout of the project its own (lessons/claims/claims.json, docs/claims.md), which the lessons show; where
Glasstune is installed as a package, nothing is written into it: runs/claims.json and runs/claims.md.
"""

import ast
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from pathlib import Path

from engine.commands import Command
from engine.terminal import Terminal, say
from lessons.teaching.course import in_checkout

THEMES = Path(__file__).parents[1] / "claims" / "themes"
PAGE = Path(__file__).parents[2] / "docs" / "claims.md"  # in a checkout


def at_least_one(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def options(parser: ArgumentParser) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID", help="default: all; --list shows them")
    parser.add_argument("--list", action="store_true", help="say what is claimed, and stop")
    parser.add_argument("--seeds", type=at_least_one, default=5, help="how often each is tried (default: %(default)s)")
    parser.add_argument("--jobs", type=at_least_one, default=1, help="trials at a time (default: %(default)s)")
    parser.add_argument(
        "--backend", choices=("loky", "dask", "ray"), default="loky", help="where they run (default: here)"
    )
    parser.add_argument("--address", default="", help="of a dask or ray cluster; default: one of --jobs processes here")
    parser.add_argument(
        "--store", type=Path, default=Path("runs/claims"), help="finished trials (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, help="the ledger (default: runs/claims.json; in the project, lessons/claims/claims.json)"
    )
    parser.add_argument("--no-run", action="store_true", help="only read what has finished")


def claimed() -> Iterator[tuple[str, str, str]]:
    """Every claim's id, theme and sentence, as they stand in the themes' files; nothing is loaded to know them."""
    for file in sorted(THEMES.glob("[!_]*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        title = ""
        for node in ast.walk(tree):
            match node:
                case ast.Assign(targets=[ast.Name(id="TITLE")], value=ast.Constant(value=str(title))):
                    pass
                case ast.Call(
                    func=ast.Name(id="Claim"),
                    args=[ast.Constant(value=str(name)), ast.Constant(value=str(sentence)), *_],
                ):
                    yield name, title, sentence


def run(chosen: Namespace) -> int:
    from rich.text import Text

    console = Terminal()
    wanted = [claim for claim in claimed() if not chosen.ids or claim[0] in chosen.ids]
    if chosen.list and len(wanted) >= len(chosen.ids):
        for name, title, sentence in wanted:
            console.print(Text.assemble((name, "bold"), f" ({title}): {sentence}"))
        return 0
    from engine.files import write_text
    from lessons.claims.ledger import CLAIMS, KEPT, get_claim, keep_rows, kept_rows, markdown, row_of
    from lessons.claims.run import finished, run_trials, trials_of
    from lessons.claims.showing import show
    from lessons.claims.store import Store, archive

    claims = [get_claim(name) for name in chosen.ids or CLAIMS]
    out = chosen.out or (KEPT if in_checkout() else Path("runs/claims.json"))
    store = Store(chosen.store)
    wrong = []
    if not chosen.no_run:
        trials = trials_of(claims, chosen.seeds)
        wrong = run_trials(trials, store, jobs=chosen.jobs, backend=chosen.backend, address=chosen.address)
    results = {claim.id: finished(store, claim, chosen.seeds) for claim in claims}
    rows = [row_of(claim, results[claim.id]) for claim in claims if results[claim.id].seeds]
    keep_rows(rows, out)
    archive([trial for found in results.values() for trial in found.found], store, out)
    for row in rows:
        show(console, row)
    page = PAGE if out == KEPT else out.with_suffix(".md")
    write_text(page, markdown(kept_rows(path=out)))  # as rounded as they are kept
    console.print(f"{len(rows)} of {len(claims)} claims; kept in {out}, shown in {page}")
    for line in wrong:
        say(f"error: {line}", sys.stderr)
    return 1 if wrong else 0


COMMAND = Command("try what textbooks say: the claims ledger", options, run)
