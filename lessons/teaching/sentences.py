"""What did several seeds say? The claims' ledger as a lesson shows it: a sentence, its verdict, and what was measured.

Nothing is cut: what is measured and its unit stand above the numbers, and a number stands with its interval.
"""

from collections.abc import Sequence
from typing import NamedTuple

from engine.language.speaking import tr
from lessons.teaching.language import of_ledger
from visualize.naming import proper


class Sentence(NamedTuple):
    """One row of the ledger in words. lines: a condition each, with its effect and what that says."""

    claim: str
    verdict: str
    measured: str
    lines: Sequence[str]


class Sentences:
    """Some rows of the ledger, to be shown in a terminal as text and in a notebook as Markdown."""

    def __init__(self, rows: Sequence[Sentence], absent: Sequence[str] = ()) -> None:
        self.rows, self.absent = rows, absent

    def __str__(self) -> str:
        rows = (
            "\n".join([f"{row.claim} -> {row.verdict}", f"  {row.measured}", *(f"    {line}" for line in row.lines)])
            for row in self.rows
        )
        return "\n\n".join([*rows, *self._not_yet()])

    def _repr_markdown_(self) -> str:
        rows = (
            "\n".join([f"**{row.claim}** {row.verdict}\n", f"*{row.measured}*\n", *(f"- {line}" for line in row.lines)])
            for row in self.rows
        )
        return "\n\n".join([*rows, *self._not_yet()])

    def _not_yet(self) -> list[str]:
        names = " ".join(self.absent)
        command = f"python -m lessons.claims {names}"
        return [tr("Not yet tried: {names} ({command} does it).", names=names, command=command)] if names else []


def ledger(*claims: str) -> Sentences:
    """What several seeds said about these sentences (their ids in `lessons.claims`), those that were tried."""
    from lessons.claims.ledger import kept_rows, told  # it loads every trial, and only this needs it

    kept = {row.id: row for row in kept_rows()}
    found = []
    for row in (kept[name] for name in claims if name in kept):
        unit = of_ledger(row.unit)
        lines = [
            f"{proper(of_ledger(name))}: {told(tried.effect, unit)}: {of_ledger(tried.answer)}"
            for name, tried in row.conditions.items()
        ]
        lines += [f"{proper(of_ledger(name))}: {of_ledger('not yet tried')}" for name in row.missing]
        what = of_ledger(row.effect) + (tr(", in {unit}", unit=unit) if unit else "")
        verdict = of_ledger(row.verdict)
        if not row.here:
            verdict = tr("{verdict} (on another base model)", verdict=verdict)
        measured = tr("Measured: {measured}", measured=f"{what} ({row.how})")
        found.append(Sentence(of_ledger(row.sentence), verdict, measured, lines))
    return Sentences(found, [name for name in claims if name not in kept])
