"""How does a teacher read the grades? As a table, a line an answer, that any spreadsheet opens."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from engine.errors import InputError
from engine.files import for_a_cell, whole


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
                table.writerow({what: for_a_cell(value) for what, value in asdict(one).items()})
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); give another file with --out") from None
