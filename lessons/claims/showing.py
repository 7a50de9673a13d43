"""How is a claim's verdict shown in a terminal?"""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lessons.claims.ledger import Row, told

COLOURS = {"holds": "green", "does not hold here": "red", "depends": "yellow", "undecided": "dim"}


def show(console: Console, row: Row) -> None:
    """One claim: its sentence and verdict, what was measured, and each condition's effect."""
    colour = COLOURS[row.verdict]
    console.print(Text.assemble((row.id, "bold"), " ", (row.verdict, colour), f": {row.sentence}"))
    console.print(f"  {row.effect}{f' ({row.unit})' if row.unit else ''}", style="dim")
    table = Table(box=None, show_header=False, padding=(0, 2))
    for name, condition in row.conditions.items():
        table.add_row(name, told(condition.effect), condition.answer)
    for name, why in row.missing.items():
        table.add_row(name, why, "")
    console.print(table, "")
