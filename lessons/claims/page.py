"""How is the ledger read as a page? What stands, a card for every claim, and what became of old ones."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from engine.run.base import embedded_digest
from lessons.claims.claim import SEEDS, Claim
from lessons.claims.history import HISTORY
from lessons.claims.intervals import SHARE
from lessons.claims.ledger import CLAIMS, TITLES, Row, read_rows, told
from lessons.claims.llm import KEPT as LLM_KEPT
from lessons.claims.together import markdown as together
from lessons.claims.verdict import LEVEL, UNTRIED, VERDICTS
from visualize.naming import proper

TITLE = "Every sentence tried"
_HEAD = f"""# {TITLE}

Textbooks and papers say these. Each is an experiment here, on the embedded model; the verdict is computed from what was
measured ([the rule](../lessons/claims/verdict.py)), and `python -m lessons.claims` writes this page. A verdict is about
this model, these tasks and these settings.

How to read it. **yes**: the interval lies beyond the margin on the sentence's side; **no**: on the other side of the
margin; **undecided**: neither. A **ceiling** or **floor** left no room to differ; **censored**: a level was not
reached, or the best setting was the edge of what was tried; **exact**: arithmetic. All yes: it holds; all no: it does
not hold here; both: it depends. A missing arm never leaves that it holds.

Intervals ({SHARE:.0%}) cover {SEEDS} seeds and all questions ([how](../lessons/claims/intervals.py)); what is chosen is
chosen by other seeds and questions. The answers of each part are corrected for their number (Holm): among those of a
part, a single wrong one has a chance of at most {LEVEL:.0%}, so that an interval beyond the margin may still be
undecided.
"""


def markdown(rows: Iterable[Row], pictures: str = "pictures/claims") -> str:
    """The whole ledger. pictures: where the cards' pictures lie, as seen from the page; "" leaves them out."""
    tried = {row.id: row for row in rows}
    llm = read_rows(LLM_KEPT)
    parts = [_HEAD, _state(list(tried.values())), together(tried, llm), "## Every verdict\n", _overview(tried, llm)]
    for title in dict.fromkeys(TITLES.values()):
        mine = [claim for claim in CLAIMS.values() if TITLES[claim.id] == title]
        parts.append(f"## {title}\n")
        parts += [card(claim, tried.get(claim.id), pictures) for claim in mine]
    parts.append(_history(tried))
    return "\n".join(parts).rstrip() + "\n"


def _state(rows: Sequence[Row]) -> str:
    """What stands, how many intervals are shown, and of which base model the rows are."""
    counts = Counter(row.verdict for row in rows)
    counts[UNTRIED] = len(CLAIMS) - len(rows)
    tally = ", ".join(f"{name} {counts[name]}" for name in VERDICTS if counts[name])
    effects = [one.effect for row in rows for one in row.conditions.values()]
    intervals = sum(effect.limit != "exact" for effect in effects)
    lines = [
        f"Of {len(CLAIMS)} sentences: {tally}.",
        f"This page shows {intervals} intervals, and {len(effects) - intervals} numbers that are exact.",
    ]
    if elsewhere := [row.id for row in rows if not row.here]:
        lines.append(
            f"\n**{len(elsewhere)} of {len(rows)} rows are of another base model** than the one that ships "
            f"(`{embedded_digest()}`), and have to be tried again: {', '.join(elsewhere)}."
        )
    if changed := sum(row.other_code for row in rows):
        total = sum(row.trials for row in rows)
        lines.append(f"\n{changed} of {total} trials were run by code that has changed since.")
    return "\n".join(lines) + "\n"


def _overview(tried: dict[str, Row], llm: dict[str, Row]) -> str:
    """Every sentence with its verdict, of either model."""
    lines = ["| claim | sentence | the embedded model | a real LLM |", "|---|---|---|---|"]
    for name, claim in CLAIMS.items():
        here = tried[name].told if name in tried else UNTRIED
        there = llm[name].said if name in llm else "-"
        lines.append(f"| [{name}](#{name}) | {claim.sentence} | {here} | {there} |")
    return "\n".join(lines) + "\n"


def card(claim: Claim, row: Row | None, pictures: str) -> str:
    """One claim, whole."""
    lines = [f"### {claim.id}\n", f"> {claim.sentence}\n", f"**{row.verdict if row else UNTRIED}**\n"]
    if row and not row.here:
        lines.append("*Of another base model than the one that ships.*\n")
    if claim.source:
        lines.append(f"- **Source**: {claim.source}" + (f': "{claim.quote}"' if claim.quote else ""))
    unit = f", in {claim.unit}" if claim.unit else ""
    lines += [
        f"- **Design**: {claim.design}",
        f"- **Effect**: {claim.effect}{unit}; the sentence says: {_says(claim)}.",
        f"- **Margin**: {claim.says.margin:g}{f' {claim.unit}' if claim.unit else ''}: {claim.says.why}.",
        f"- **What could make it wrong**: {claim.wrong}",
        f"- **For a student**: {claim.student}",
        f"- **Again**: `python -m lessons.claims {claim.id}`",
    ]
    if row:
        lines += ["", "| tried with | effect | seeds, questions | right? |", "|---|---|---|---|"]
        for name, one in row.conditions.items():
            many = (
                f"{one.effect.seeds}, {one.effect.questions}" if one.effect.questions else str(one.effect.seeds or "-")
            )
            if one.effect.tries:
                many = f"{one.effect.tries} tries"
            lines.append(f"| {proper(name)} | {told(one.effect, row.unit)} | {many} | {one.answer} |")
        lines += [f"| {proper(name)} | not yet tried | | |" for name in row.missing]
        lines += [f"\n{row.on[0].upper()}{proper(row.on[1:])}."] if row.on else []
        if pictures:
            lines.append(f"\n![{claim.sentence}]({pictures}/{claim.id}.png)")
    return "\n".join(lines) + "\n"


def _says(claim: Claim) -> str:
    says = claim.says
    if says.side == "same":
        return f"{says.target:g}, within the margin"
    return f"{says.side} than {says.target:g}" + (", by more than the margin" if says.margin else "")


def _history(tried: dict[str, Row]) -> str:
    """All claims, old and new, and what became of each."""
    old = {past.id for past in HISTORY}
    lines = [
        "## All claims, old and new\n",
        "Of the first ledger the rule favoured yes, the intervals covered seeds alone, and the verdicts were of the",
        "first base model.\n",
        "| claim | sentence then | verdict then | what became of it | verdict now |",
        "|---|---|---|---|---|",
    ]

    def now(name: str) -> str:
        return (tried[name].verdict if name in tried else UNTRIED) if name in CLAIMS else "-"

    for past in HISTORY:
        lines.append(f"| {past.id} | {past.sentence} | {past.verdict} | {past.fate}: {past.why} | {now(past.id)} |")
    for name, claim in CLAIMS.items():
        if name not in old:
            lines.append(f"| {name} | {claim.sentence} | - | new | {now(name)} |")
    return "\n".join(lines) + "\n"


def pictures_folder(page: Path) -> Path:
    """Where the cards' pictures lie beside a page."""
    return page.parent / "pictures" / page.stem
