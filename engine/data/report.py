"""What would this data set be to this model? The report that a careful person makes before training on it.

    python -m engine.data my.jsonl --model embedded --heldout test.jsonl

Counts, lengths in tokens, what is cut or left out, what is empty, said twice or contradictory, what the held-out part
shares with the training part, and one example with the tokens that are learned marked. `report()` gives the numbers.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text
from transformers import PreTrainedTokenizerBase

from engine.data import IGNORE, LONG, Encoded, Source, encode, hold_out, load, marking
from engine.data.overlap import asked, last_asked, words
from engine.errors import InputError, printable
from engine.messages import Message

BARS = 12
_HELD_OUT = {
    "given": "",
    "split": "a tenth, drawn as engine.training.finetune does with seed 0",
    "none": "too few examples to hold any out (20 would do)",
}


@dataclass(frozen=True)
class Report:
    """The numbers of a data set, with one model's tokenizer. Lists of places name records, "data.jsonl, line 3".

    train, heldout: conversations. heldout_from: "given", "split" (a tenth, as `finetune` takes it) or "none".
    forms: conversations by form. lengths: tokens a conversation, before cutting; answers: learned tokens of each.
    cut: longer than max_length. dropped: nothing to learn is left. empty: a question or an answer without a word.
    duplicates: said before, to the letter; near_duplicates: said before but for case, punctuation and white space.
    contradictions: the same question was answered otherwise before, case and spaces aside.
    top_answer: the commonest answer, and its share.
    not_learned: an answer is marked as not to be learned. unseen: what the model's template does not show -> where.
    unread: so long that only the beginning was counted. unused: fields of which nothing was made -> in how many of the
    records.
    overlap, near_overlap: held-out questions that the training part has, to the letter, or only nearly.
    """

    name: str
    train: int
    heldout: int
    heldout_from: str
    forms: dict[str, int]
    several_turns: int
    with_system: int
    lengths: np.ndarray
    answers: np.ndarray
    max_length: int
    cut: list[str]
    dropped: list[str]
    empty: list[str]
    duplicates: list[str]
    near_duplicates: list[str]
    contradictions: list[str]
    overlap: list[str]
    near_overlap: list[str]
    not_learned: list[str]
    unseen: dict[str, list[str]]
    unread: list[str]
    unused: dict[str, int]
    top_answer: tuple[str, float]
    marking: str
    example: Encoded


# What is neither letter, digit nor space; a minus before a digit, unless it hyphens a word to it (covid-19).
_SIGNS = re.compile(r"(?P<minus>(?<![^\W\d_])-(?=\s?\.?\d))|[^\w\s]|_")
_TELLING = "#%&*/@"  # punctuation to Unicode, but C# is not C


def normalised(text: str) -> str:
    """The text without what rarely makes a difference: Unicode spelling (NFKC), case, punctuation, spaces.

    What makes one stays: symbols and signs ("C++", "-5", "3 + 4"), and the marks of letters, as vowels of Hindi are.
    """
    folded = _folded(text)
    return " ".join(_SIGNS.sub(_sign, folded.replace("\N{MINUS SIGN}", "-")).split()) or folded


def _sign(found: re.Match[str]) -> str:
    if found["minus"]:
        return " - "
    sign = found[0]
    kind = unicodedata.category(sign)[0]
    return sign if kind == "M" else f" {sign} " if kind == "S" or sign in _TELLING else " "


def _folded(text: str) -> str:
    """The text without its Unicode spelling (NFKC), case, and spaces but one."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def report(
    source: Source,
    tokenizer: PreTrainedTokenizerBase,
    heldout: Source | None = None,
    max_length: int = 512,
    seed: int = 0,
) -> Report:
    """Look through a data set as `finetune` would take it. Raises InputError where it cannot be read."""
    if max_length < 2:
        raise InputError(f"max_length is {max_length}; it must be at least 2")
    whole = load(source)
    everything, data, test_from = whole.train, whole, "given"
    if heldout is not None:
        test = load(heldout).train
    else:
        data = hold_out(whole, seed)
        test, test_from = data.heldout, "given" if whole.heldout else "split" if data.heldout else "none"
    rows = [encode(tokenizer, messages, max_length) for messages in everything]
    places = [getattr(messages, "where", "") for messages in everything]
    exact, near = _seen(everything, _whole), _seen(everything, lambda m: normalised(_whole(m)))
    known = {question for messages in data.train for question, _ in asked(messages)}
    nearly = {normalised(_question(messages)) for messages in data.train}
    graded = [(messages, question) for messages in test if (question := last_asked(messages)) is not None]
    said = Counter(words(message).strip() for messages in everything for message in _answers(messages))
    common, times = said.most_common(1)[0] if said else ("", 0)
    # The most usual example, not the first: of middling length, whole, with something to learn.
    shown = [row for row in rows if row.trained and not row.cut] or [row for row in rows if row.trained] or rows
    return Report(
        name=data.name,
        train=len(data.train),
        heldout=len(test),
        heldout_from=test_from,
        forms=dict(Counter(getattr(messages, "form", "messages") for messages in everything)),
        several_turns=sum(len(_answers(messages)) > 1 for messages in everything),
        with_system=sum(any(m["role"] == "system" for m in messages) for messages in everything),
        lengths=np.array([len(row.ids) + row.cut for row in rows]),
        answers=np.array([row.trained for row in rows]),
        max_length=max_length,
        cut=[place for place, row in zip(places, rows, strict=True) if row.cut],
        dropped=[place for place, row in zip(places, rows, strict=True) if not row.trained],
        empty=[place for place, messages in zip(places, everything, strict=True) if _is_empty(messages)],
        duplicates=[places[at] for at in sorted(exact)],
        near_duplicates=[places[at] for at in sorted(near - exact)],
        contradictions=list(_contradictions(everything)),
        overlap=[getattr(messages, "where", "") for messages, question in graded if question in known],
        near_overlap=[
            getattr(messages, "where", "")
            for messages, question in graded
            if question not in known and normalised(_question(messages)) in nearly
        ],
        not_learned=[p for p, c in zip(places, everything, strict=True) if any(m.get("weight", 1) == 0 for m in c)],
        unseen=_unseen(rows, places),
        unread=[place for place, row in zip(places, rows, strict=True) if row.unread],
        unused=dict(Counter(field for messages in everything for field in getattr(messages, "unused", ()))),
        top_answer=(common, times / max(1, said.total())),
        marking=marking(tokenizer),
        example=sorted(shown, key=lambda row: len(row.ids))[len(shown) // 2],
    )


def _answers(messages: list[Message]) -> list[Message]:
    return [message for message in messages if message["role"] in ("assistant", "text")]


def _question(messages: list[Message]) -> str:
    """Everything that comes before the last answer."""
    last = max((at for at, m in enumerate(messages) if m["role"] == "assistant"), default=len(messages))
    return "\n".join(words(message) for message in messages[:last])


def _whole(messages: list[Message]) -> str:
    return "\n".join(f"{message['role']} {words(message)}" for message in messages)


def _is_empty(messages: list[Message]) -> bool:
    return any(not words(m).strip() for m in messages if m["role"] in ("user", "assistant", "text"))


def _unseen(rows: list[Encoded], places: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for place, row in zip(places, rows, strict=True):
        for what in row.unseen:
            found.setdefault(what, []).append(place)
    return found


def _seen(conversations: list[list[Message]], key: Callable[[list[Message]], str]) -> set[int]:
    """The places in the list of those whose key an earlier one has."""
    first: dict[str, int] = {}
    return {at for at, messages in enumerate(conversations) if first.setdefault(key(messages), at) != at}


def _contradictions(conversations: list[list[Message]]) -> Iterator[str]:
    answers: dict[str, set[str]] = {}
    for messages in conversations:
        if not _answers(messages):
            continue
        known = answers.setdefault(_question(messages), set())
        answer = _folded(words(_answers(messages)[-1]))  # in code or sums any sign may make it another answer
        if known and answer not in known:
            yield getattr(messages, "where", "")
        known.add(answer)


# --- to read -----------------------------------------------------------------------------------------


def histogram(lengths: np.ndarray, max_length: int) -> list[tuple[str, int]]:
    """("64-95", how many) for some ten equal ranges from the shortest to the longest; one range never spans the cut."""
    low, high = int(lengths.min()), int(lengths.max())
    width = max(1, -(-(high - low + 1) // BARS))
    edges = list(range(low, high + 1, width))
    if low <= max_length < high and max_length + 1 not in edges:
        edges = sorted([*edges, max_length + 1])
    bounds = zip(edges, [*edges[1:], high + 1], strict=True)
    return [(f"{a}" if b == a + 1 else f"{a}-{b - 1}", int(((lengths >= a) & (lengths < b)).sum())) for a, b in bounds]


def marked_example(row: Encoded, tokenizer: PreTrainedTokenizerBase) -> Text:
    """The example as the model reads it: what is learned stands in ⟦ ⟧, and in colour."""
    text = Text()
    for ids, trained in _stretches(row):
        said = printable(tokenizer.decode(ids), keep="\n").replace("\n", "↵\n")
        text.append(f"⟦{said}⟧" if trained else said, style="bold green" if trained else "dim")
    return text


def _stretches(row: Encoded) -> Iterator[tuple[list[int], bool]]:
    """Runs of tokens that are all learned or all not: tokens alone do not always decode (half a character)."""
    start = 0
    marks = [label != IGNORE for label in row.labels]
    for at in range(1, len(marks) + 1):
        if at == len(marks) or marks[at] != marks[start]:
            yield row.ids[start:at], marks[start]
            start = at


def _places(places: list[str], most: int = 3) -> str:
    """ "line 3; line 8; ...": the first few places, without the file's name."""
    shown = "; ".join(printable(place.rpartition(", ")[2]) for place in places[:most] if place)
    return shown + ("; ..." if shown and len(places) > most else "")


class _Lines:
    """Lines of three columns: what, how many, and what is to be said about it."""

    def __init__(self) -> None:
        self.table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        self.table.add_column(no_wrap=True)
        self.table.add_column(justify="right", no_wrap=True)
        self.table.add_column(overflow="fold")

    def add(self, what: str, value: int | str, about: str = "", warn: bool = False) -> None:
        number = f"{value:,}" if isinstance(value, int) else value
        self.table.add_row(what, Text(number, "bold yellow" if warn and value else "bold"), Text(about, "dim"))

    def check(self, what: str, places: list[str], of: int, about: str) -> None:
        found = f"; {len(places) / max(1, of):.1%}: {_places(places)}" if places else ""
        self.add(what, len(places), about + found, warn=True)


def show(found: Report, tokenizer: PreTrainedTokenizerBase, console: Console) -> None:
    """Print the report."""
    for title, part in (
        (f"data set {printable(found.name)}", _counts(found)),
        ("tokens an example", _bars(found)),
        ("to look at before training", _checks(found)),
    ):
        console.print(Rule(Text(title), align="left"))
        console.print(part)
    console.print(Rule(Text("one example, what is learned in ⟦ ⟧"), align="left"))
    console.print(Text(f"({found.marking})", style="dim"))
    console.print(marked_example(found.example, tokenizer), soft_wrap=True)


def _counts(found: Report) -> Table:
    total, lines = len(found.lengths), _Lines()
    lines.add("examples", total, ", ".join(f"{count:,} {form}" for form, count in found.forms.items()))
    lines.add("  trained on", found.train)
    lines.add("  held out", found.heldout, _HELD_OUT[found.heldout_from])
    lines.add("several turns", found.several_turns, f"{found.several_turns / total:.1%}")
    lines.add("system message", found.with_system, f"{found.with_system / total:.1%}")
    lines.add("tokens", int(found.lengths.sum()), _spread(found.lengths))
    lines.add("  learned", int(found.answers.sum()), _spread(found.answers))
    return lines.table


def _bars(found: Report) -> Text:
    bars, text = histogram(found.lengths, found.max_length), Text()
    highest = max(count for _, count in bars)
    for label, count in bars:
        over = int(label.split("-")[0]) > found.max_length
        text.append(f"{label:>12}  ")
        text.append("█" * max(round(40 * count / highest), count > 0), style="yellow" if over else "cyan")
        text.append(f" {count:,}" + (" cut" if over and count else "") + "\n")
    text.right_crop()
    return text


def _checks(found: Report) -> Table:
    total, lines = len(found.lengths), _Lines()
    lines.check("cut", found.cut, total, f"longer than {found.max_length} tokens")
    if found.unread:
        lines.check("far longer", found.unread, total, f"only {LONG:,} characters, or somewhat more, were counted")
    lines.check("left out", found.dropped, total, "no answer to learn from is left")
    lines.check("empty", found.empty, total, "a question or an answer without a word")
    lines.check("not learned", found.not_learned, total, "an answer of weight 0, or marked as wrong, is only read")
    for what, places in found.unseen.items():
        lines.check(f"{what} unseen", places, total, "in the records, and left out by this model's chat template")
    for name, count in sorted(found.unused.items(), key=lambda item: -item[1])[:8]:
        lines.add(f"field {printable(name)}", count, "records have it, and nothing is made of it")
    lines.check("duplicates", found.duplicates, total, "said before, to the letter")
    lines.check("near duplicates", found.near_duplicates, total, "said before but for case, punctuation and spaces")
    lines.check(
        "contradictions",
        found.contradictions,
        total,
        "the same question, answered otherwise before, case and spaces aside",
    )
    lines.check("held out and trained on", found.overlap, found.heldout, "the same question in both parts")
    lines.check("  nearly so", found.near_overlap, found.heldout, "the same but for case, punctuation and spaces")
    answer, part = found.top_answer
    short = printable(answer if len(answer) <= 60 else f"{answer[:57]}...")
    lines.add("commonest answer", f"{part:.0%}", f"of all answers are “{short}”")
    return lines.table


def _spread(values: np.ndarray) -> str:
    high = np.percentile(values, 95, method="inverted_cdf")  # a length that occurs: the sentence is true of few, too
    middle = np.median(values)
    return f"{values.min()} to {values.max()} an example, median {middle:.12g}, 95 % of them at most {high}"
