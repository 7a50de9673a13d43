"""What does the ledger say? A row a claim: computed from its trials, kept in `lessons/claims/claims.json`, shown."""

import importlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from math import isclose
from pathlib import Path
from typing import Any

import pandas as pd

from engine.errors import InputError
from engine.files import write_text
from engine.language.speaking import tr
from engine.reading import read_json
from engine.run.base import embedded_digest
from lessons.claims.claim import SEEDS, Claim, NotYet, Results
from lessons.claims.intervals import SHARE, Effect
from lessons.claims.store import Store, plain
from lessons.claims.trials import Trial
from lessons.claims.verdict import Answer, answers, verdict
from visualize.naming import proper

KEPT = Path(__file__).with_name("claims.json")
# As a course goes through them.
THEMES = [
    importlib.import_module(f"lessons.claims.themes.{name}")
    for name in ("when", "adapters", "qlora", "tuning", "forgetting", "evaluation")
]
CLAIMS: dict[str, Claim] = {claim.id: claim for theme in THEMES for claim in theme.CLAIMS}
TITLES: dict[str, str] = {claim.id: theme.TITLE for theme in THEMES for claim in theme.CLAIMS}


@dataclass(frozen=True)
class Condition:
    """One condition under which a sentence was tried: its effect, and whether the sentence is right of it."""

    effect: Effect
    answer: Answer


@dataclass(frozen=True)
class Row:
    """One claim, tried. missing: conditions not yet tried. verdict and on (what it depends on, or what stands in the
    way) follow from the conditions. seeds: of how many, 0 where nothing is random. bases: the base models that its
    trials ran on; other_code: how many of its trials ran with code that has changed since; trials: of how many."""

    id: str
    theme: str
    sentence: str
    effect: str
    unit: str
    seeds: int
    conditions: dict[str, Condition]
    missing: list[str]
    verdict: str
    on: str
    bases: list[str]
    trials: int
    other_code: int

    @property
    def here(self) -> bool:
        """Is it of the base model that is here?"""
        return self.bases in ([], [embedded_digest()])

    @property
    def said(self) -> str:
        """Its verdict; where that is undecided, what some of its conditions say all the same."""
        counts = Counter(one.answer for one in self.conditions.values() if one.answer in ("yes", "no"))
        some = ", ".join(f"{answer} in {count}" for answer, count in counts.items())
        if not some or self.verdict != "undecided":
            return self.verdict
        return f"{self.verdict} ({some} of {len(self.conditions) + len(self.missing)})"

    @property
    def told(self) -> str:
        """The same, and of which base, if of another than the one that is here."""
        return self.said if self.here else f"{self.said} (on another base model)"

    @property
    def how(self) -> str:
        """From what its numbers come."""
        if all(one.effect.limit == "exact" for one in self.conditions.values()):
            return tr("exact")
        if self.seeds > 1:
            return tr("{seeds} seeds, mean and {share} interval over seeds and questions",
                      seeds=self.seeds, share=f"{SHARE:.0%}")  # fmt: skip
        return tr("mean and {share} interval over questions", share=f"{SHARE:.0%}")

    @property
    def command(self) -> str:
        return f"python -m lessons.claims {self.id}"


def get_claim(name: str) -> Claim:
    """The claim of this id. Raises InputError, naming those there are."""
    if name not in CLAIMS:
        raise InputError(f"no claim called {name!r}; there are: {', '.join(CLAIMS)}")
    return CLAIMS[name]


def rows_of(store: Store, claims: Mapping[str, Claim] = CLAIMS, seeds: int = SEEDS) -> list[Row]:
    """What the finished trials say of every claim of which some condition has been tried.

    The answers of a theme are a family: they are corrected for their number.
    """
    rows = []
    for theme in dict.fromkeys(TITLES.get(name, "") for name in claims):
        mine = [claim for claim in claims.values() if TITLES.get(claim.id, "") == theme]
        read = {claim.id: _read(claim, store, seeds) for claim in mine}
        family = [(effect, claim.says) for claim in mine for effect in read[claim.id][0].values()]
        said = iter(answers(family))
        for claim in mine:
            effects, used = read[claim.id]
            answered = {name: next(said) for name in effects}
            tried = {name: Condition(found, answered[name]) for name, found in effects.items() if found is not None}
            if not tried:
                continue
            word, on = verdict(answered, claim.exact)
            kept = [(trial, store.found[trial]) for trial in used if trial in store.found]
            rows.append(
                Row(
                    claim.id, theme, claim.sentence, claim.effect, claim.unit,
                    max(one.effect.seeds for one in tried.values()), tried,
                    [name for name, found in effects.items() if found is None], word, on,
                    sorted({one.base for _, one in kept}), len(kept),
                    sum(not one.same_code(trial) for trial, one in kept),
                )
            )  # fmt: skip
    return rows


_OTHER_QUESTIONS = (IndexError, KeyError, ValueError)  # what a reading raises of results that it does not know


def _results(store: Store, seeds: int) -> Results:
    """What has finished, on whichever base model and with whichever code: a row says on which."""
    return Results(lambda trial: kept.result if (kept := store.get(trial)) else None, seeds)


def _read(claim: Claim, store: Store, seeds: int) -> tuple[dict[str, Effect | None], dict[Trial, None]]:
    """Each condition's effect, None where trials are missing, and the trials that were looked at.

    Trials that ran with other code are read, too, unless that code asked other questions: then they count as missing.
    """
    effects: dict[str, Effect | None] = {}
    used: dict[Trial, None] = {}
    for name, read in claim.conditions.items():
        results = _results(store, seeds)
        try:
            effects[name] = read(results)
            used |= results.used
        except NotYet:
            effects[name] = None
        except _OTHER_QUESTIONS:
            if all(store.found[trial].same_code(trial) for trial in results.used):
                raise
            effects[name] = None
    return effects, used


def trials_behind(store: Store, seeds: int = SEEDS) -> list[Trial]:
    """Every finished trial that some claim looks at. While one lacks some, that is all of them: what else it would look
    at is not known then."""
    found: dict[Trial, None] = {}
    for claim in CLAIMS.values():
        for read in claim.conditions.values():
            results = _results(store, seeds)
            try:
                read(results)
            except (NotYet, *_OTHER_QUESTIONS):
                return list(store.found)
            found |= results.used
    return [trial for trial in found if store.get(trial)]


# --- kept ------------------------------------------------------------------------------------------------


def as_json(row: Row) -> dict[str, Any]:
    return plain(asdict(row))


def from_json(kept: dict[str, Any]) -> Row:
    conditions = {
        name: Condition(_effect(found["effect"]), found["answer"]) for name, found in kept["conditions"].items()
    }
    return Row(**{**kept, "conditions": conditions})


def _effect(kept: dict[str, Any]) -> Effect:
    """What is endless, or no number, is null in JSON."""
    endless = {"mean": float("nan"), "low": -float("inf"), "high": float("inf"), "se": float("inf"), "df": float("inf")}
    whole: dict[str, Any] = {name: endless.get(name) if value is None else value for name, value in kept.items()}
    return Effect(**{**whole, "arms": tuple(kept["arms"])})


@cache
def _kept(path: Path, changed: int) -> dict[str, Row]:
    try:
        kept = read_json(path)
        return {name: from_json(row) for name, row in kept.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path} is broken; delete it, then python -m lessons.claims writes it anew") from None


def read_rows(path: Path) -> dict[str, Row]:
    """Every row of a file, by its claim. Raises InputError for a broken file."""
    return _kept(path, path.stat().st_mtime_ns) if path.exists() else {}


def kept_rows(*ids: str, path: Path = KEPT) -> list[Row]:
    """The rows of these claims (default: all) that were tried, in the ledger's order.

    Raises InputError for an unknown id, one that is not tried yet, or a broken file.
    """
    for name in ids:
        get_claim(name)
    rows = read_rows(path)
    if absent := [name for name in ids if name not in rows]:
        raise InputError(f"claim {absent[0]} is not tried yet; run: python -m lessons.claims {absent[0]}")
    return [rows[name] for name in CLAIMS if name in rows and (not ids or name in ids)]


def keep_rows(rows: Iterable[Row], path: Path = KEPT) -> None:
    """Write these rows, and no others."""
    text = json.dumps({row.id: as_json(row) for row in rows}, indent=1, ensure_ascii=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); give another file with --out") from None


# --- shown -----------------------------------------------------------------------------------------------


def told(effect: Effect, unit: str = "") -> str:
    """ "12.3 (10.1 to 14.5) points"."""
    if effect.mean != effect.mean:
        return tr("not reached")
    reach = tr("{low} to {high}", low=_short(effect.low), high=_short(effect.high))
    between = "" if isclose(effect.low, effect.high, rel_tol=1e-6) else f" ({reach})"  # of so many digits rows are kept
    return f"{_short(effect.mean)}{between}{f' {unit}' if unit else ''}"


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def table(*ids: str, path: Path = KEPT) -> pd.DataFrame:
    """What lessons show: one line a condition, from the kept rows; an empty cell repeats the one above."""
    lines = []
    for row in kept_rows(*ids, path=path):
        shown = [(proper(name), told(one.effect, row.unit), str(one.answer)) for name, one in row.conditions.items()]
        shown += [(proper(name), "not yet tried", "") for name in row.missing]
        for number, (name, effect, said) in enumerate(shown):
            lines.append(
                {
                    "claim": row.sentence if number == 0 else "",
                    "verdict": row.told if number == 0 else "",
                    "tried with": name,
                    "effect (95 % interval)": effect,
                    "right?": said,
                    "again": row.command if number == 0 else "",
                }
            )
    return pd.DataFrame(lines)
