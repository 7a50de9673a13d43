"""How is a real LLM's column made from a terminal? `python -m lessons.claims --model FOLDER_OR_HUB_ID [--data FILE]`"""

from argparse import Namespace
from pathlib import Path

from engine.data import hold_out, load
from engine.errors import InputError
from engine.files import write_text
from engine.terminal import Terminal
from lessons.claims.claim import SEEDS
from lessons.claims.ledger import keep_rows
from lessons.claims.llm import KEPT, SHIPPED
from lessons.claims.llm.column import Column, as_rows, column, markdown
from lessons.claims.llm.run import every, subject_of
from lessons.claims.place import check_out, is_page
from lessons.claims.verdict import UNTRIED
from lessons.teaching.course import in_checkout

SHIPS = "SmolLM2-135M-Instruct"  # the model whose trials these are
PAGE = Path(__file__).parents[3] / "docs" / "claims-llm.md"  # in a checkout


def run_model(chosen: Namespace) -> None:
    """Runs what has not finished, and writes the column's page: of the model that ships into the project, of any other
    beside its trials.

    Raises InputError for a model that is not at hand, and where nothing may run and the pilot has not finished.
    """
    subject = subject_of(str(chosen.model), chosen.data and str(chosen.data))
    ours = subject.name == SHIPS and not subject.data and in_checkout() and not chosen.store
    path = SHIPPED if ours else chosen.store or Path("runs") / f"claims-{subject.name}.jsonl"
    page = PAGE if ours else chosen.out or path.with_suffix(".md")
    check_out(page, ".md", is_page)
    if subject.data:
        check_data(subject.data)
    if not chosen.no_run:
        path.parent.mkdir(parents=True, exist_ok=True)
        every(subject, path, SEEDS, chosen.jobs)
    found = column(subject, path, SEEDS)
    write_text(page, markdown(found, "pictures/forgetting.png" if ours else ""))
    if ours:
        keep_rows(as_rows(found), KEPT)
    show(Terminal(), found)
    Terminal().print(f"{found.finished} of {found.planned} trials; kept in {path}, shown in {page}")


def check_data(data: str) -> None:
    """Raises InputError for data of which none would be held out, or that is no conversations."""
    found = hold_out(load(data), seed=0)
    if len(found.heldout) < 4:  # two choose the rates, two judge
        raise InputError(
            f"{data}: {len(found.heldout)} held out are too few to be graded on; give 40 conversations or more"
        )
    if any(len(talk) < 2 or talk[-1]["role"] != "assistant" for talk in [*found.train, *found.heldout]):
        raise InputError(f"{data} has texts without a question; a trial needs conversations that end in an answer")


def show(console: Terminal, found: Column) -> None:
    for entry in found.entries:
        if entry.verdict != UNTRIED:
            console.print(f"{entry.sentence.id}: {entry.verdict}. {entry.sentence.sentence}")
