"""How is a claim's verdict shown in a terminal?"""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lessons.claims.ledger import Row, told
from lessons.claims.verdict import DEPENDS, EXACT, FAILS, HOLDS
from visualize.naming import proper

COLOURS = {HOLDS: "green", EXACT: "green", FAILS: "red", DEPENDS: "yellow"}  # others: dim


def show(console: Console, row: Row) -> None:
    """One claim: its sentence and verdict, what was measured, and each condition's effect."""
    console.print(
        Text.assemble((row.id, "bold"), " ", (row.told, COLOURS.get(row.verdict, "dim")), f": {row.sentence}")
    )
    console.print(f"  {row.effect}{f' ({row.unit})' if row.unit else ''}", style="dim")
    table = Table(box=None, show_header=False, padding=(0, 2))
    for name, condition in row.conditions.items():
        table.add_row(proper(name), told(condition.effect), condition.answer)
    for name in row.missing:
        table.add_row(proper(name), "not yet tried", "")
    console.print(table, "")
