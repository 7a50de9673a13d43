"""What do the trials of a real LLM say? Every sentence with its verdict, by the ledger's own rule; and the page of it.

A condition that some seed has not been tried for is "missing", and the page says so.
"""

from collections.abc import Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from lessons.claims.claim import SEEDS
from lessons.claims.intervals import SHARE, Effect
from lessons.claims.ledger import CLAIMS, TITLES, Condition, Row, kept_rows, told
from lessons.claims.llm import SHIPPED
from lessons.claims.llm.arms import PILOT_RATES, arms, pilot
from lessons.claims.llm.forgetting import markdown as forgetting
from lessons.claims.llm.forgetting import of_embedded, of_llm
from lessons.claims.llm.readings import NotTried, Trials
from lessons.claims.llm.run import Subject, best_rates, first_subject, is_edge, read_lines
from lessons.claims.llm.sentences import SENTENCES, Reader, Sentence
from lessons.claims.llm.trial import BATCH, GRADED, PROBES, STEPS, Result, Tuning
from lessons.claims.together import both_say
from lessons.claims.verdict import UNTRIED, Answer, answers, verdict

EDGE = ", the edge of what was tried: no sentence compares it with another method"
TITLE = "The same sentences on a real LLM"


@dataclass(frozen=True)
class Entry:
    """One sentence, tried. conditions: name -> (effect, is the sentence right of it); None and "missing" if untried."""

    sentence: Sentence
    conditions: Mapping[str, tuple[Effect | None, Answer]]
    verdict: str
    on: str


@dataclass(frozen=True)
class Column:
    """A model's column. seeds: of how many every verdict is. finished, planned: trials of the arms. kept_in: the
    file of all trials."""

    subject: Subject
    entries: list[Entry]
    pilot: Mapping[Tuning, Result]
    best: Mapping[str, float]
    trials: Trials
    seeds: int
    finished: int
    planned: int
    kept_in: str


def shipped() -> tuple[Subject, Trials]:
    """The model whose trials ship, and these. Raises InputError if none do."""
    subject = first_subject(SHIPPED)
    best = best_rates(SHIPPED, subject)
    return subject, _trials(arms(best, subject.task), dict(read_lines(SHIPPED, subject)), SEEDS)


def _trials(chosen: Mapping[str, Tuning], found: Mapping[Tuning, Result], seeds: int) -> Trials:
    """The arms, with as many seeds as are finished for every arm; at least two, since of one seed nothing is known
    around it."""
    whole = [seed for seed in range(seeds) if all(trial.with_seed(seed) in found for trial in chosen.values())]
    return Trials(chosen, found, seeds if len(whole) == seeds else max(2, len(whole)))


def column(subject: Subject, path: Path, seeds: int) -> Column:
    """From the finished lines. Raises InputError while the pilot has not finished."""
    found = dict(read_lines(path, subject))
    best = best_rates(path, subject)
    trials = _trials(arms(best, subject.task), found, seeds)
    edges = {method for method, rate in best.items() if is_edge(method, rate)}
    effects = {
        one.id: {_called(name, subject): _effect(read, trials, edges) for name, read in one.conditions.items()}
        for one in SENTENCES
    }
    said = _answers(effects)
    entries = []
    for one in SENTENCES:
        answered = {name: said[one.id, name] for name in effects[one.id]}
        word, on = verdict(answered)
        entries.append(Entry(one, {name: (effects[one.id][name], answered[name]) for name in answered}, word, on))
    finished = sum(trial.with_seed(seed) in found for trial in trials.arms.values() for seed in range(seeds))
    tried = {trial: found[trial] for trial in pilot(subject.task) if trial in found}
    return Column(subject, entries, tried, best, trials, trials.seeds, finished, len(trials.arms) * seeds, _named(path))


def _named(path: Path) -> str:
    """As a reader of the project finds it; of another's file its name."""
    return f"lessons/claims/llm/{path.name}" if path == SHIPPED else path.name


def _answers(effects: Mapping[str, Mapping[str, Effect | None]]) -> dict[tuple[str, str], Answer]:
    """(sentence, condition) -> its answer. As in the ledger, those of a part are corrected for their number."""
    found: dict[tuple[str, str], Answer] = {}
    for part in {TITLES.get(one.id, "") for one in SENTENCES}:
        mine = [
            (one.id, name, effect, one.says)
            for one in SENTENCES
            if TITLES.get(one.id, "") == part
            for name, effect in effects[one.id].items()
        ]
        said = answers([(effect, says) for *_, effect, says in mine])
        found |= {(sentence, name): answer for (sentence, name, *_), answer in zip(mine, said, strict=True)}
    return found


def _called(condition: str, subject: Subject) -> str:
    """Own data stands in the place of the facts."""
    return Path(subject.data).name if subject.data and condition == "facts" else condition


def _effect(read: Reader, trials: Trials, edges: Set[str]) -> Effect | None:
    """None if it was not tried. edges: the methods whose best rate is the edge of what was tried; beside another method
    they might do better with a rate that nobody tried, so that such a comparison says nothing."""
    trials.read.clear()
    try:
        found = read(trials)
    except NotTried:
        return None
    methods = {trial.method for trial in trials.read}
    return found.limited("censored") if len(methods) > 1 and methods & edges else found


def as_rows(found: Column) -> list[Row]:
    """What was tried of it, as the ledger's rows; the model stands in place of the base."""
    rows = []
    for one, conditions, word, on in ((e.sentence, e.conditions, e.verdict, e.on) for e in found.entries):
        tried = {name: Condition(effect, said) for name, (effect, said) in conditions.items() if effect is not None}
        missing = [name for name in conditions if name not in tried]
        if tried:
            rows.append(
                Row(one.id, TITLE, one.sentence, one.effect, one.unit, found.seeds, tried, missing, word, on,
                    [found.subject.name], found.finished, 0)
            )  # fmt: skip
    return rows


def markdown(found: Column, picture: str = "") -> str:
    """The page. picture: where `scripts/forgetting.py` drew both models' curves, as seen from it; "" leaves it out."""
    rows = {row.id: row for row in kept_rows()}
    toy = {name: row.told for name, row in rows.items()}
    lines = [
        f"# {TITLE}: {found.subject.name}\n",
        f"Written by `python -m lessons.claims --model FOLDER`, by the ledger's [rule](claims.md) from "
        f"{found.finished} of {found.planned} trials; verdicts are of {found.seeds} seeds, intervals ({SHARE:.0%}) "
        "over seeds and questions. What is not yet tried says so: the same call goes on where it stopped. A verdict is "
        "about this model, this task and these settings.\n",
        _agreement(rows, {row.id: row for row in as_rows(found)}),
        "| sentence | the embedded model | " + found.subject.name + " | |",
        "|---|---|---|---|",
    ]
    for entry in found.entries:
        one = entry.sentence
        about = f"{one.sentence}<br>*{one.effect}*"
        here = toy.get(one.id, UNTRIED if one.id in CLAIMS else "not among its sentences")
        shown = "<br>".join(_told(name, effect, said, one) for name, (effect, said) in entry.conditions.items())
        lines.append(f"| {about} | {here} | **{entry.verdict}** | {shown} |")
    with suppress(NotTried):
        lines += ["", forgetting(of_embedded(), of_llm(found.trials), found.subject.name)]
        lines += [f"![How the embedded model forgets, above, and a real LLM]({picture})", ""] if picture else []
    lines += ["", "## How it was tried\n", _design(found), "", "## What could make it wrong\n"]
    lines += [f"- **{entry.sentence.id}**: {entry.sentence.wrong}" for entry in found.entries]
    return "\n".join(lines) + "\n"


def _told(name: str, effect: Effect | None, said: Answer, one: Sentence) -> str:
    if effect is None:
        return f"{name}: not yet tried"
    return f"{name}: {told(effect, one.unit)}, {said}"


def _agreement(toy: Mapping[str, Row], llm: Mapping[str, Row]) -> str:
    """What agrees and what differs between the two columns, of what both have decided."""
    same, other = both_say(toy, llm)
    if not same and not other:
        return "No sentence is decided on both models yet.\n"
    parts = [f"Both models say the same of {len(same)} of {len(same) + len(other)} sentences that are decided on both"]
    parts += [f" ({', '.join(same)})" if same else "", f"; they differ on {', '.join(other)}" if other else "", ".\n"]
    return "".join(parts)


def _design(found: Column) -> str:
    rates = []
    for method in PILOT_RATES:
        ends = ", ".join(
            f"{trial.rate:g}: {found.pilot[trial]['grades'][-1]['new_loss']:.2f}"
            for trial in sorted(found.pilot, key=lambda trial: trial.rate)
            if trial.method == method
        )
        edge = EDGE if is_edge(method, found.best[method]) else ""
        rates.append(f"{method} {ends} nats a token, so {found.best[method]:g}{edge}")
    probes = ", ".join(f"{count} {kind}" for kind, count in PROBES.items())
    gaps = sorted({b - a for a, b in pairwise((0, *GRADED))})
    learned = f"`{Path(data).name}` and JSON" if (data := found.subject.data) else "facts of an island, and JSON"
    return (
        f"What is learned: {learned}. {STEPS} steps of {BATCH} conversations in bfloat16 autocast at a constant rate, "
        f"in the model's own chat form; graded {gaps[0]} to {gaps[-1]} steps apart, on held-out answers and on general "
        f"probes ({probes}) that share nothing with the task. A pilot, on questions and a seed that no arm is "
        "judged on, chose rates by held-out loss: "
        f"{'; '.join(rates)}. Claims about four bits are not among these sentences. "
        f"The trials, a line of JSON each: `{found.kept_in}`."
    )
