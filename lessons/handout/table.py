"""How does a teacher read the grades? As a table, a line an answer, that any spreadsheet opens."""

import csv
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from engine.errors import InputError, printable
from engine.files import whole

# Where a spreadsheet may see the beginning of a cell: that of the text, and what some take for the end of one before.
_FORMULA = re.compile(r"(^\s*|[;\t\r\n]\s*)([=+@-])")


@dataclass(frozen=True)
class Grade:
    """A line of the table. file: what was handed in; one with no answers has a line without a kind.

    right: by what was measured anew; empty for a prediction, which is not graded, and where it could not be told. told:
    what the student was told. measured: the answer, anew. seed, quick: of the training that the answer is about. look:
    "yes" where a teacher should. note: why, and what else there is to know.
    """

    file: str
    name: str = ""
    lesson: str = ""
    kind: str = ""
    question: str = ""
    given: str = ""
    right: str = ""
    told: str = ""
    measured: str = ""
    tries: int = 0
    first: str = ""
    last: str = ""
    seed: int = 0
    quick: str = ""
    look: str = ""
    note: str = ""


def write(grades: Sequence[Grade], path: Path) -> None:
    """The table, as CSV. Text that a spreadsheet would take for a formula gets a quote before it."""
    try:
        with whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, [field.name for field in fields(Grade)])
            table.writeheader()
            for one in grades:
                table.writerow({what: _harmless(value) for what, value in asdict(one).items()})
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); give another file with --out") from None


def _harmless(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = printable(value, keep="\n")
    if _is_number(text):
        return text
    return _FORMULA.sub(r"\1'\2", text)


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
