"""How are the claims' trials run from a terminal? `glasstune claims lora-rate`: runs what has not finished, and writes
the ledger.

Stopped, it goes on where it was. Finished trials are lines of --store, the ledger and its page go to --out: in a
checkout of the project its own (lessons/claims/trials.jsonl, claims.json and docs/claims.md), which the lessons show;
where Glasstune is installed as a package, nothing is written into it: runs/claims-trials.jsonl, runs/claims.json and
runs/claims.md. The trials that ship are read in any case, so only what has changed since is run.
"""

import ast
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from engine.commands import Command
from engine.terminal import Terminal, say
from lessons.teaching.course import in_checkout

if TYPE_CHECKING:
    from lessons.claims.ledger import Row

THEMES = Path(__file__).parents[1] / "claims" / "themes"
PAGE = Path(__file__).parents[2] / "docs" / "claims.md"  # in a checkout


def at_least_one(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def options(parser: ArgumentParser) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID", help="default: all; --list shows them")
    parser.add_argument("--list", action="store_true", help="say what is claimed, and stop")
    parser.add_argument("--jobs", type=at_least_one, default=1, help="trials at a time (default: %(default)s)")
    parser.add_argument(
        "--backend", choices=("loky", "dask", "ray"), default="loky", help="where they run (default: here)"
    )
    parser.add_argument("--address", default="", help="of a dask or ray cluster; default: one of --jobs processes here")
    parser.add_argument(
        "--store", type=Path, help="finished trials (default: runs/claims-trials.jsonl; in the project, its own)"
    )
    parser.add_argument(
        "--out", type=Path, help="the ledger (default: runs/claims.json; in the project, lessons/claims/claims.json)"
    )
    parser.add_argument(
        "--model", help="another causal language model, a folder or a Hub id: the sentences that fit any, on a page of "
        "their own",
    )  # fmt: skip
    parser.add_argument("--data", type=Path, help="with --model: what is learned, in place of an island's facts")
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
    if chosen.model:
        from lessons.claims.ledger import kept_rows
        from lessons.claims.llm.command import run_model

        run_model(chosen)
        if in_checkout():  # where its verdicts may stand beside the embedded model's
            write_page(kept_rows(), PAGE)
        return 0
    from rich.text import Text

    console = Terminal()
    wanted = [claim for claim in claimed() if not chosen.ids or claim[0] in chosen.ids]
    if chosen.list and len(wanted) >= len(chosen.ids):
        for name, title, sentence in wanted:
            console.print(Text.assemble((name, "bold"), f" ({title}): {sentence}"))
        return 0
    from lessons.claims.claim import SEEDS
    from lessons.claims.ledger import CLAIMS, KEPT, get_claim, keep_rows, rows_of, trials_behind
    from lessons.claims.place import check_out, is_ledger, is_page
    from lessons.claims.run import in_order, run_claims
    from lessons.claims.showing import show
    from lessons.claims.store import SHIPPED, Store

    claims = [get_claim(name) for name in chosen.ids or CLAIMS]
    out = chosen.out or (KEPT if in_checkout() else Path("runs/claims.json"))
    shown = PAGE if out == KEPT else out.with_suffix(".md")
    check_out(out, ".json", is_ledger)
    check_out(shown, ".md", is_page)
    store = Store(SHIPPED, chosen.store or (SHIPPED if in_checkout() else Path("runs/claims-trials.jsonl")))
    wrong = []
    if not chosen.no_run:
        wrong = run_claims(
            in_order(claims), store, seeds=SEEDS, jobs=chosen.jobs, backend=chosen.backend, address=chosen.address
        )
    if store.file == SHIPPED:
        store.tidy(trials_behind)
    rows = rows_of(store)
    keep_rows(rows, out)
    for row in rows:
        if row.id in {claim.id for claim in claims}:
            show(console, row)
    page = write_page(rows, shown)
    console.print(f"{len(rows)} of {len(CLAIMS)} claims are tried; kept in {out}, shown in {page}")
    for line in wrong:
        say(f"error: {line}", sys.stderr)
    return 1 if wrong else 0


def write_page(rows: "list[Row]", page: Path) -> Path:
    """The ledger's page, and the pictures of its cards beside it; pictures of claims that are not tried are deleted."""
    from engine.files import write_text
    from lessons.claims.page import markdown, pictures_folder
    from lessons.claims.plot import save

    folder = pictures_folder(page)
    save(rows, folder)
    write_text(page, markdown(rows, f"pictures/{page.stem}"))
    return page


COMMAND = Command("try what textbooks say: the claims ledger", options, run)
