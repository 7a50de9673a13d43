"""How is a lesson's prose drawn in a terminal? As rich draws Markdown, but a name too long for its column in a table is
broken instead of cut: it is there to be typed."""

from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown, TableElement
from rich.table import Table


class _WholeTable(TableElement):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for shown in super().__rich_console__(console, options):
            for column in shown.columns if isinstance(shown, Table) else ():
                column.overflow = "fold"
            yield shown


class Prose(Markdown):
    elements: ClassVar = {**Markdown.elements, "table_open": _WholeTable}
