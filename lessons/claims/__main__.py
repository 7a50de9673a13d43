"""Which textbook sentences hold for this model? Runs the claims' trials, and writes the ledger.

Stopped, it goes on where it was. Everything is kept in --store, one small file a trial; the ledger in --out.
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.errors import command
from lessons.claims.ledger import CLAIMS, KEPT, TITLES, Row, get_claim, keep_rows, kept_rows, markdown, row_of, told
from lessons.claims.run import BACKENDS, finished, run_trials, trials_of
from lessons.claims.store import Store, archive

PAGE = Path(__file__).parents[2] / "docs" / "claims.md"
COLOURS = {"holds": "green", "does not hold here": "red", "depends": "yellow", "undecided": "dim"}


def show(console: Console, row: Row) -> None:
    """One claim: its sentence and verdict, what was measured, and each condition's effect."""
    colour = COLOURS[row.verdict]
    console.print(f"[bold]{row.id}[/] [{colour}]{row.verdict}[/]: {escape(row.sentence)}", highlight=False)
    console.print(f"  [dim]{escape(row.effect)}{f' ({row.unit})' if row.unit else ''}[/]", highlight=False)
    table = Table(box=None, show_header=False, padding=(0, 2))
    for name, condition in row.conditions.items():
        table.add_row(escape(name), told(condition.effect), condition.answer)
    for name, why in row.missing.items():
        table.add_row(escape(name), why, "")
    console.print(table, "")


def at_least_one(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


@command
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lessons.claims", description=__doc__.splitlines()[0])
    parser.add_argument("ids", nargs="*", metavar="ID", help="default: all; --list shows them")
    parser.add_argument("--list", action="store_true", help="say what is claimed, and stop")
    parser.add_argument("--seeds", type=at_least_one, default=5, help="how often each is tried (default: %(default)s)")
    parser.add_argument("--jobs", type=at_least_one, default=1, help="trials at a time (default: %(default)s)")
    parser.add_argument("--backend", choices=BACKENDS, default="loky", help="where they run (default: here)")
    parser.add_argument("--address", default="", help="of a dask or ray cluster; default: one of --jobs processes here")
    parser.add_argument(
        "--store", type=Path, default=Path("runs/claims"), help="finished trials (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=KEPT, help="the ledger (default: lessons/claims/claims.json)")
    parser.add_argument("--no-run", action="store_true", help="only read what has finished")
    chosen = parser.parse_args(arguments)
    console = Console()
    claims = [get_claim(name) for name in chosen.ids or CLAIMS]
    if chosen.list:
        for claim in claims:
            console.print(f"[bold]{claim.id}[/] ({TITLES[claim.id]}): {escape(claim.sentence)}", highlight=False)
        return 0
    store = Store(chosen.store)
    wrong = []
    if not chosen.no_run:
        trials = trials_of(claims, chosen.seeds)
        wrong = run_trials(trials, store, jobs=chosen.jobs, backend=chosen.backend, address=chosen.address)
    results = {claim.id: finished(store, claim, chosen.seeds) for claim in claims}
    rows = [row_of(claim, results[claim.id]) for claim in claims if results[claim.id].seeds]
    keep_rows(rows, chosen.out)
    archive([trial for found in results.values() for trial in found.found], store, chosen.out)
    for row in rows:
        show(console, row)
    page = PAGE if chosen.out == KEPT else chosen.out.with_suffix(".md")
    page.write_text(markdown(kept_rows(path=chosen.out)), encoding="utf-8")  # as rounded as they are kept
    console.print(f"{len(rows)} of {len(claims)} claims; kept in {chosen.out}, shown in {page}", highlight=False)
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
