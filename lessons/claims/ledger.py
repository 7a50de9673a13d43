"""What does the ledger say? A row a claim: computed from its trials, kept in `lessons/claims/claims.json`, shown."""

import importlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from engine.errors import InputError
from engine.files import write_text
from engine.reading import read_json
from lessons.claims.claim import Claim, Results
from lessons.claims.store import plain
from lessons.claims.verdict import VERDICTS, Answer, Effect, answer, computed, interval, verdict

FOLDER = Path(__file__).parent
KEPT = FOLDER / "claims.json"
# As a course goes through them.
THEMES = [
    importlib.import_module(f"lessons.claims.themes.{name}")
    for name in ("when", "adapters", "qlora", "tuning", "forgetting", "evaluation")
]
CLAIMS: dict[str, Claim] = {claim.id: claim for theme in THEMES for claim in theme.CLAIMS}
TITLES = {claim.id: theme.TITLE for theme in THEMES for claim in theme.CLAIMS}


@dataclass(frozen=True)
class Condition:
    """One condition under which a sentence was tried. values: one number a seed, in the claim's unit. effect: their
    mean and interval. answer: is the sentence right of it?"""

    values: list[float]
    effect: Effect
    answer: Answer


@dataclass(frozen=True)
class Row:
    """One claim, tried. verdict and on (what it depends on) follow from the conditions. missing: conditions that some
    seed did not reach (the new task was never learned well enough to compare). seeds: 0 for what is computed."""

    id: str
    theme: str
    sentence: str
    effect: str
    unit: str
    source: str
    seeds: int
    conditions: dict[str, Condition]
    missing: dict[str, str]
    verdict: str
    on: str
    command: str


def get_claim(name: str) -> Claim:
    """The claim of this id. Raises InputError, naming those there are."""
    if name not in CLAIMS:
        raise InputError(f"no claim called {name!r}; there are: {', '.join(CLAIMS)}")
    return CLAIMS[name]


def row_of(claim: Claim, results: Results) -> Row:
    """What the claim's trials say of it. Raises InputError if no trial has finished, or no condition was reached."""
    seeds = len(results.seeds)
    if not seeds:
        raise InputError(f"claim {claim.id} has no seed for which every trial has finished; run it first")
    conditions, missing = {}, {}
    for name, found in claim.values(results).items():
        values = [value for value in plain(found) if value is not None]
        if len(values) < len(found):
            missing[name] = f"reached with {len(values)} of {len(found)} seeds"
            continue
        effect = interval(values) if claim.seeded else computed(values[0])
        conditions[name] = Condition(values if claim.seeded else values[:1], effect, answer(effect, claim.says))
    said, on = verdict({name: condition.answer for name, condition in conditions.items()})
    return Row(
        id=claim.id, theme=TITLES.get(claim.id, ""), sentence=claim.sentence, effect=claim.effect, unit=claim.unit,
        source=claim.source, seeds=seeds if claim.seeded else 0, conditions=conditions, missing=missing, verdict=said,
        on=on, command=f"python -m lessons.claims {claim.id}" + (f" --seeds {seeds}" if claim.seeded else ""),
    )  # fmt: skip


def as_json(row: Row) -> dict[str, Any]:
    return plain(asdict(row))


def from_json(kept: dict[str, Any]) -> Row:
    conditions = {
        name: Condition(found["values"], Effect(**{**found["effect"], **_endless(found["effect"])}), found["answer"])
        for name, found in kept["conditions"].items()
    }
    return Row(**{**kept, "conditions": conditions})


def _endless(effect: dict[str, Any]) -> dict[str, float]:
    """An interval of one seed has no ends, which JSON keeps as null."""
    return {end: sign * float("inf") for end, sign in (("low", -1), ("high", 1)) if effect[end] is None}


def kept_rows(*ids: str, path: Path = KEPT) -> list[Row]:
    """The rows of these claims (default: all) that were measured, in the ledger's order.

    Raises InputError for an unknown id, one that is not measured yet, or a broken file.
    """
    for name in ids:
        get_claim(name)
    try:
        kept = read_json(path) if path.exists() else {}
        rows = {name: from_json(row) for name, row in kept.items()}
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path} is broken; delete it, then python -m lessons.claims writes it anew") from None
    if absent := [name for name in ids if name not in rows]:
        raise InputError(f"claim {absent[0]} is not measured yet; run: python -m lessons.claims {absent[0]}")
    return [rows[name] for name in CLAIMS if name in rows and (not ids or name in ids)]


def keep_rows(rows: Iterable[Row], path: Path = KEPT) -> list[Row]:
    """Put these rows beside those that are kept already, and return them all. Claims that are no more are dropped."""
    known = {row.id: row for row in [*kept_rows(path=path), *rows]}
    ordered = [known[name] for name in CLAIMS if name in known]
    text = json.dumps({row.id: as_json(row) for row in ordered}, indent=1, ensure_ascii=False) + "\n"
    try:
        write_text(path, text)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); give another file with --out") from None
    return ordered


# --- shown -------------------------------------------------------------------------------------------


def told(effect: Effect, unit: str = "") -> str:
    """ "12.3 (10.1 to 14.5) points"."""

    def short(value: float) -> str:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"

    between = f" ({short(effect.low)} to {short(effect.high)})" if effect.seeds > 1 else ""
    return f"{short(effect.mean)}{between}{f' {unit}' if unit else ''}"


def table(*ids: str, path: Path = KEPT) -> pd.DataFrame:
    """What lessons show: one line a condition, from the kept rows; an empty cell repeats the one above."""
    lines = []
    for row in kept_rows(*ids, path=path):
        for number, (name, condition) in enumerate(row.conditions.items()):
            lines.append(
                {
                    "claim": row.sentence if number == 0 else "",
                    "verdict": row.verdict if number == 0 else "",
                    "tried with": name,
                    "effect (95 % interval)": told(condition.effect, row.unit),
                    "holds": condition.answer,
                    "seeds": row.seeds or "computed",
                    "again": row.command if number == 0 else "",
                }
            )
    return pd.DataFrame(lines)


_HEAD = """# Every sentence tried

Textbooks state these. Each is an experiment here, on the embedded model. An effect is a mean over seeds with Student's
95 % interval; the verdict is computed from it ([how](../lessons/claims/verdict.py)), and `python -m lessons.claims`
writes this page. A verdict is about this model, these tasks and these settings.
"""


def markdown(rows: Iterable[Row]) -> str:
    """The whole ledger as a page."""
    rows = list(rows)
    counts = Counter(row.verdict for row in rows)
    tally = ", ".join(f"{name} {counts[name]}" for name in VERDICTS if name in counts)
    parts = [f"{_HEAD}\nOf {len(rows)} sentences: {tally}."]
    for title in dict.fromkeys(row.theme for row in rows):
        parts.append(f"\n## {title}\n\n| claim | verdict | tried with | effect (95 % interval) | | again |")
        parts.append("|---|---|---|---|---|---|")
        for row in (row for row in rows if row.theme == title):
            source = f" ({row.source})" if row.source else ""
            seeds = f"{row.seeds} seeds" if row.seeds else "computed"
            tried = [(name, told(found.effect, row.unit), str(found.answer)) for name, found in row.conditions.items()]
            lines = tried + [(name, why, "") for name, why in row.missing.items()]
            for number, (name, effect, said) in enumerate(lines):
                claim = f"{row.sentence}{source}<br>*{row.effect}; {seeds}*" if number == 0 else ""
                parts.append(
                    f"| {claim} | {f'**{row.verdict}**' if number == 0 else ''} | {name} | {effect} | {said} | "
                    f"{f'`{row.command}`' if number == 0 else ''} |"
                )
    return "\n".join(parts) + "\n"
