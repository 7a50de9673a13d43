"""What did training gain? A run's tuned model beside its base, on the same questions, metric by metric.

    python -m engine.evaluate runs/spanish-lora
    python -m engine.evaluate runs/json-lora --json-keys skill about answer --data other.jsonl --answers said.jsonl

Both are asked the same held-out questions and answer greedily; shares come with their 95 % interval. Below the
table stand some answers, because a number alone does not say what went wrong.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engine.data import Conversations, Source, load, render
from engine.data.of_run import data_of
from engine.data.overlap import MOST_MIXED, drawn, trained_on
from engine.data.records import digest
from engine.errors import InputError, printable
from engine.evaluate import Said, generate, last_answer, room_for_answer, room_for_answers, room_for_prompt
from engine.evaluate.metrics import AnyMetric, Score, check_applies, score
from engine.evaluate.sides import SIDES, base_and_tuned, of_another_model, tokenizer_of
from engine.evaluate.surprise import measure_perplexity
from engine.files import json_text, write_text
from engine.messages import Message
from engine.offline import offline
from engine.reading import check_name
from engine.run.run import Run, as_run

PERPLEXITY = "perplexity"
DEFAULT = ("exact", "token_f1", PERPLEXITY)


@dataclass(frozen=True)
class Comparison:
    """scores: side ("base", "tuned") -> metric -> its number. answers: one row a question: prompt, expected, and what
    each side says. about: metric -> what it means. prompts_cut: questions too long for the context, read from their
    end. trained_on: how many of the questions stand in the run's training data too (None: that is not at hand).
    answers_cut: side -> answers that were not at their end after `max_new_tokens`, which are no more than the context
    has room for."""

    run: str
    data: str
    scores: dict[str, dict[str, Score]]
    answers: pd.DataFrame
    about: dict[str, str]
    prompts_cut: int
    trained_on: int | None
    answers_cut: dict[str, int]
    max_new_tokens: int
    notes: tuple[str, ...] = ()

    @property
    def table(self) -> pd.DataFrame:
        """One row a metric; columns base, tuned, change."""
        frame = pd.DataFrame({side: {name: s.value for name, s in self.scores[side].items()} for side in SIDES})
        return frame.assign(change=frame.tuned - frame.base)


def questions_of(
    run: Run, data: Source | None, limit: int | None = None
) -> tuple[str, list[list[Message]], int | None]:
    """The data's name, the conversations to grade a run on, and how many of their questions it was trained on.

    The number is None where what the run was trained on is not at hand. For the rest see `to_grade`.
    """
    name, graded, own = to_grade(run, data, limit)
    mixed = None if own is None else _mixed_in(run, own)
    return name, graded, None if own is None or mixed is None else trained_on(graded, own.train, mixed)


def to_grade(
    run: Run, data: Source | None, limit: int | None = None
) -> tuple[str, list[list[Message]], Conversations | None]:
    """The data's name, the conversations to grade a run on, and the run's own data, None where it is not at hand.

    data: None takes what the run held out; of other data the held-out part, or all of it if it has none. Raises
    InputError if there is nothing to grade.
    """
    own: Conversations | InputError
    try:
        own = data_of(run)
    except InputError as error:
        own = error
    if data is None:
        if isinstance(own, InputError):
            raise InputError(f"{own}; give data to grade on")
        if not own.heldout:
            raise InputError(f"run {run.name} held nothing out; give data to grade on")
        chosen = own
    else:
        same = isinstance(data, str | Path) and _is_place(data, run.info.data.source)
        if same and isinstance(own, InputError):  # what was held out of it then is not known any more
            raise InputError(f"{own}; give other data to grade on")
        chosen = own if same and isinstance(own, Conversations) else load(data)
    graded = [c for c in chosen.heldout or chosen.train if last_answer(c)][:limit]
    if not graded:
        raise InputError(f"there is nothing to grade in {chosen.name}: no conversation has an answer after a question")
    return chosen.name, graded, None if isinstance(own, InputError) else own


def _mixed_in(run: Run, own: Conversations) -> list[list[Message]] | None:
    """The other conversations that were trained on; None where they are not at hand, or nothing says that what lies
    there now is what they were."""
    mixed = run.info.data.mixed_in
    if mixed is None:
        return []
    if mixed.source is None or mixed.digest is None:
        return None
    if mixed.examples > MOST_MIXED * len(own.train):
        return None
    try:
        with offline():
            found, name = drawn(mixed.source, mixed.examples, run.info.settings.seed or 0)
    except InputError:
        return None
    return found if digest(Conversations(name, found, [])) == mixed.digest else None


def _is_place(data: str | Path, source: str | None) -> bool:
    """Whether this is what the run was trained on, however its path is written."""
    if source is None:
        return False
    with suppress(InputError):  # a run may name anything
        return str(data) == source or check_name(data).resolve() == check_name(source).resolve()
    return False


def compare(
    run: Run | str | Path,
    data: Source | None = None,
    metrics: Iterable[AnyMetric] = DEFAULT,
    *,
    limit: int | None = 200,
    max_new_tokens: int | None = None,
) -> Comparison:
    """How good is the tuned model, and how good was its base? Both on the same questions.

    metrics: names (`engine.evaluate.metrics.METRICS`, "perplexity"), metrics, or functions. limit: questions at most.
    max_new_tokens: of an answer (default: as many as the longest right one has, with its end; 64 to 256).
    Raises InputError for a metric that does not apply, before any model is loaded.
    """
    run = as_run(run)
    asked = list(metrics)
    name, graded, trained_on = questions_of(run, data, limit)
    prompts, references = zip(*(both for c in graded if (both := last_answer(c))), strict=True)
    on_texts = check_applies([metric for metric in asked if metric != PERPLEXITY], references)
    tokenizer = tokenizer_of(run)
    room = max_new_tokens or room_for_answers(tokenizer, references)
    scores: dict[str, dict[str, Score]] = {}
    said: dict[str, list[Said]] = {}
    cut = 0
    with base_and_tuned(run) as models:
        for side, (model, switched) in models.items():
            with switched():
                said[side] = generate(model, tokenizer, list(prompts), room) if on_texts else []
                found = score([one.text for one in said[side]], references, on_texts) if on_texts else {}
                if PERPLEXITY in asked:
                    found[PERPLEXITY] = Score(measure_perplexity(model, tokenizer, graded).value)
                scores[side] = found
        length = room_for_answer(model, room)
        cut = _too_long(model, tokenizer, list(prompts), room) if on_texts else 0
    texts = {side: [one.text for one in answers] for side, answers in said.items()}
    answers = {"prompt": [p[-1]["content"] for p in prompts], "expected": list(references)}
    about = {metric.name: metric.about for metric in on_texts} | {PERPLEXITY: "on the answers' tokens; lower is better"}
    return Comparison(
        run=run.name,
        data=name,
        scores=scores,
        answers=pd.DataFrame(answers | (texts if on_texts else {})),
        about=about,
        prompts_cut=cut,
        trained_on=trained_on,
        answers_cut={side: sum(one.cut for one in answers) for side, answers in said.items()},
        max_new_tokens=length,
        notes=tuple(of_another_model(run)),
    )


def _too_long(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list, max_new_tokens: int) -> int:
    room = room_for_prompt(model, max_new_tokens)
    texts = [render(tokenizer, p, add_generation_prompt=True, tokenize=False) for p in prompts]
    ids = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return 0 if room is None else sum(len(one) > room for one in ids)


# --- to read -----------------------------------------------------------------------------------------


def _shown(name: str, value: Score) -> str:
    if value.low is None or value.high is None:
        return f"{value.value:.3f}" if value.value < 1000 else f"{value.value:,.0f}"
    return f"{value.value:.1%}  ({value.low:.0%} to {value.high:.0%})"


def show(found: Comparison, console: Console, examples: int = 5) -> None:
    """Print the table, and a few answers of both."""
    table = Table(title=f"{printable(found.run)} on {printable(found.data)}, {len(found.answers)} questions")
    for column in ("metric", *SIDES, "change"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for name, row in found.table.iterrows():
        share = found.scores["base"][str(name)].low is not None
        change = (
            f"{100 * row.change:+.1f} points" if share else f"{row.change:+,.{0 if abs(row.change) >= 1000 else 3}f}"
        )
        what = Text(printable(str(name))).append(f"\n{printable(found.about[str(name)])}", style="dim")
        table.add_row(what, *(_shown(str(name), found.scores[side][str(name)]) for side in SIDES), change)
    console.print(table)
    if any(value.low is not None for value in found.scores["base"].values()):
        console.print(Text("in brackets: 95 % interval (Wilson 1927)", style="dim"))
    if found.trained_on is None:
        console.print(
            Text("note: the run's training data is not at hand, so these may be questions it has seen", "yellow")
        )
    elif found.trained_on:
        console.print(Text(f"note: the run was trained on {found.trained_on} of these very questions", "yellow"))
    if found.prompts_cut:
        console.print(
            Text(f"note: {found.prompts_cut} questions exceed the context; only their ends were read", "yellow")
        )
    if any(found.answers_cut.values()):
        many = ", ".join(f"{count} of {side}'s" for side, count in found.answers_cut.items())
        said = f"note: {many} answers are cut at {found.max_new_tokens} tokens (max_new_tokens)"
        console.print(Text(said, "yellow"))
    for about in found.notes:
        console.print(Text(f"note: {printable(about)}", "yellow"))
    if examples and "base" in found.answers:
        rows = Table(box=None, padding=(0, 2, 0, 0))
        for column in found.answers.columns:
            rows.add_column(column, overflow="fold", max_width=console.width // 4)
        for row in found.answers.head(examples).itertuples(index=False):
            rows.add_row(*(Text(printable(text if len(text) <= 200 else text[:199] + "…")) for text in row))
        console.print(rows)


def write_answers(answers: pd.DataFrame, path: Path) -> None:
    lines = [json_text(row) + "\n" for row in answers.to_dict("records")]
    try:
        write_text(path, "".join(lines))
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); give another file") from None
