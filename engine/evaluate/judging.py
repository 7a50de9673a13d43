"""Which of two runs answers better, in a person's eyes? Blind, side by side, a question at a time.

    python -m engine.evaluate.judge runs/spanish-lora runs/spanish-full
    python -m engine.evaluate.judge runs/pirate-lora base --data pirate --count 30

Both answer the same held-out questions; whose answer stands first is drawn from the seed and not shown. Ties are
allowed. Everything is kept in one JSON-lines file, a judgement the moment it is made, so that you can stop and go on:

    {"event": "start", "a", "b", "data", "seed", "count", "max_new_tokens", "run of a", "run of b",
     "questions": their digest, "notes"}                                           once
    {"event": "pair", "id", "prompt", "a", "b", "first": "a" or "b"}               both answers to a question
    {"event": "judgement", "id", "winner": "a", "b" or "tie"}                      a person's

The result is A's win rate with its 95 % interval.
"""

import json
import os
import random
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

from engine.data import Conversations, Source
from engine.data.records import digest
from engine.errors import InputError, printable
from engine.evaluate import Said, last_answer, room_for_answers
from engine.evaluate.compare import to_grade
from engine.evaluate.sides import answers_of, of_another_model, tokenizer_of
from engine.files import append_line, json_text, write_text
from engine.measure.shares import wilson
from engine.messages import Message
from engine.reading import MOST_LINES, read_bytes
from engine.run.apart import told_apart
from engine.run.form import is_text
from engine.run.format import read_lines
from engine.run.run import Run, as_run

TIE, BASE, QUESTIONS = "tie", "base", "questions"


@dataclass(frozen=True)
class Pair:
    """Two answers to one question. first: "a" or "b", whose answer is shown first."""

    id: int
    prompt: str
    a: str
    b: str
    first: str

    @property
    def shown(self) -> tuple[str, str]:
        """The two answers in the order in which a judge sees them."""
        return (self.a, self.b) if self.first == "a" else (self.b, self.a)

    def winner(self, place: int | None) -> str:
        """ "a", "b" or "tie": who stands first (0) or second (1) on the screen; None is a tie."""
        return TIE if place is None else ("a", "b")[place ^ (self.first == "b")]


@dataclass(frozen=True)
class WinRate:
    """How often A's answer was the better one: rate, 0 to 1, and its 95 % interval.

    rate = (wins + ties / 2) / judged, as AlpacaEval and Chatbot Arena count; the interval is Wilson's (1927) for that
    share of `judged` trials. With ties it is rather too wide than too narrow: a value of 0, 1/2 or 1 with mean p
    varies by at most the p (1 - p) of a coin. first: how often the answer shown first won, ties left out; a
    judge who does not look at the place chooses it about half of the time.
    """

    wins: int
    ties: int
    losses: int
    first: int

    @property
    def judged(self) -> int:
        return self.wins + self.ties + self.losses

    @property
    def rate(self) -> float:
        return (self.wins + self.ties / 2) / self.judged if self.judged else 0.5

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.wins + self.ties / 2, self.judged)

    def sentence(self, a: str, b: str) -> str:
        """What the judgements say, and whether they settle it."""
        if not self.judged:
            return "nothing has been judged yet"
        low, high = self.interval
        said = (
            f"{a} against {b}: {self.wins} won, {self.ties} tied, {self.losses} lost; win rate {self.rate:.0%}, "
            f"95 % interval {low:.0%} to {high:.0%}, "
        )
        return said + (
            f"so {a if low > 0.5 else b} is better here"
            if low > 0.5 or high < 0.5
            else "which holds 50 %, so it is not settled which is better"
        )


class Judging:
    """Pairs of answers, and what has been judged of them so far; every judgement is written when it is made.

    `Judging.start(...)` begins a file, or goes on with one that is there.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        records = read_lines(self.path)
        try:
            self.info: dict[str, Any] = next(r for r in records if r["event"] == "start")
            self.pairs = [Pair(*(r[f] for f in Pair.__annotations__)) for r in records if r["event"] == "pair"]
            self.winners = {r["id"]: r["winner"] for r in records if r["event"] == "judgement"}
            self.a, self.b = self.info["a"], self.info["b"]
            known = {pair.id for pair in self.pairs if type(pair.id) is int and all(map(is_text, astuple(pair)[1:]))}
            if len(known) < len(self.pairs) or not self.winners.keys() <= known:
                raise TypeError
        except (StopIteration, KeyError, TypeError):
            raise InputError(f"{self.path} holds no judging of two runs; give another file") from None
        _drop_half_line(self.path)  # now that it is known for ours

    @classmethod
    def start(
        cls,
        path: str | Path,
        info: dict[str, Any],
        answers: Callable[[], tuple[list[tuple[str, str, str]], list[str]]],
    ) -> "Judging":
        """Go on with the file at `path`, or begin it. answers: makes each (prompt, A's answer, B's answer), if
        needed, and says what is to be known of them.

        info: a, b, data and seed, and whatever else tells this judging from others, as the digest of its "questions".
        Raises InputError if the file is of another judging, or cannot be written.
        """
        path = Path(path)
        if path.exists():
            old = cls(path)
            # What is not written there is from before it was.
            other = [name for name in info if name in old.info and old.info[name] != info[name]]
            if other == [QUESTIONS]:
                raise InputError(
                    f"{path} holds a judging of other questions than {info['data']} holds now; give the data as it "
                    "was, or another file with --out"
                )
            if other:
                name = other[0]
                raise InputError(
                    f"{path} holds a judging whose {name} is {old.info.get(name)!r}, not {info[name]!r}; "
                    "give another file with --out"
                )
            return old
        _check_writable(path)
        rng, (found, notes) = random.Random(info["seed"]), answers()
        rng.shuffle(found)
        lines: list[dict[str, Any]] = [{"event": "start", **info, "notes": notes}]
        for number, (prompt, a, b) in enumerate(found):
            first = rng.choice("ab")
            lines.append({"event": "pair", "id": number, "prompt": prompt, "a": a, "b": b, "first": first})
        # The same words twice are a tie; nobody need be asked.
        lines += [
            {"event": "judgement", "id": line["id"], "winner": TIE} for line in lines[1:] if line["a"] == line["b"]
        ]
        write_text(path, "".join(json_text(line) + "\n" for line in lines))
        return cls(path)

    @property
    def pending(self) -> list[Pair]:
        """The pairs that have not been judged, in their shuffled order."""
        return [pair for pair in self.pairs if pair.id not in self.winners]

    def judge(self, pair: Pair, place: int | None) -> None:
        """Write down that the answer shown first (0) or second (1) is better, or neither (None)."""
        winner = pair.winner(place)
        append_line(self.path, json.dumps({"event": "judgement", "id": pair.id, "winner": winner}))
        self.winners[pair.id] = winner

    @property
    def result(self) -> WinRate:
        said = list(self.winners.values())
        first = sum(self.winners.get(pair.id) == pair.first for pair in self.pairs)
        return WinRate(said.count("a"), said.count(TIE), said.count("b"), first)


def _drop_half_line(path: Path) -> None:
    """A kill may leave half a last line; another line must not be written onto it."""
    try:
        data = read_bytes(path, most=MOST_LINES)
        if data and not data.endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(data.rfind(b"\n") + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read and written ({error.strerror}); give another file") from None


def _check_writable(path: Path) -> None:
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(f"{path} cannot be written: {path.parent} is not a folder that you may write to")


def judge(
    a: Run | str | Path,
    b: Run | str | Path,
    *,
    data: Source | None = None,
    count: int = 20,
    seed: int = 0,
    out: str | Path | None = None,
    max_new_tokens: int | None = None,
) -> Judging:
    """Two runs' answers to the same questions, ready to be judged; b may be "base", the model that A began from.

    data: None takes what A held out. count: questions at most. out: the file (default: beside run A's folder).
    max_new_tokens: of an answer (default: as many as the longest right one has, with its end; 64 to 256).
    Answers are generated once and kept, so going on needs no model. Raises InputError for wrong input.
    """
    if count < 1:
        raise InputError(f"count is {count}; it must be at least 1")
    run_a, run_b = as_run(a), None if b == BASE else as_run(b)
    if run_b is not None and run_a.id == run_b.id:
        raise InputError(f"{run_a.path} and {run_b.path} are the same run; give two, or compare one with {BASE!r}")
    names = (run_a.name, BASE) if run_b is None else tuple(told_apart([run_a, run_b]))
    task, questions, _ = to_grade(run_a, data)
    chosen = random.Random(seed).sample(questions, min(count, len(questions)))
    path = Path(out) if out else run_a.path.resolve().parent / f"judged-{'-'.join(names)}.jsonl".replace("/", "-")

    def answers() -> tuple[list[tuple[str, str, str]], list[str]]:
        notes = [*of_another_model(run_a), *(of_another_model(run_b) if run_b else ())]
        prompts, right = zip(*(both for c in chosen if (both := last_answer(c))), strict=True)
        room = max_new_tokens or room_for_answers(tokenizer_of(run_a), right)
        sides = ((run_a, "tuned"), (run_a, "base") if run_b is None else (run_b, "tuned"))
        said: list[list[Said]] = []
        for name, (run, side) in zip(names, sides, strict=True):
            found, length = answers_of(run, side, list(prompts), room)
            said.append(found)
            if cut := sum(one.cut for one in found):
                notes.append(f"{cut} of {len(found)} answers of {name} are cut at {length} tokens (max_new_tokens)")
        return [(_asked(prompt), a.text, b.text) for prompt, a, b in zip(prompts, *said, strict=True)], notes

    info = {
        "a": names[0], "b": names[1], "data": task, "seed": seed, "count": count, "max_new_tokens": max_new_tokens,
        "run of a": run_a.id, "run of b": run_b.id if run_b else BASE, QUESTIONS: digest(Conversations("", chosen, [])),
    }  # fmt: skip
    return Judging.start(path, info, answers)


def _asked(prompt: list[Message]) -> str:
    """The question as a judge reads it: alone, or with the conversation before it."""
    return prompt[0]["content"] if len(prompt) == 1 else "\n".join(f"{m['role']}: {m['content']}" for m in prompt)


# --- in the terminal ---------------------------------------------------------------------------------

_KEYS = {"1": 0, "2": 1, "t": None}


def in_terminal(judging: Judging, console: Console) -> None:
    """Ask until all is judged, or the judge stops (q, end of input, Ctrl-C); then say the result."""
    total, same = len(judging.pairs), sum(pair.a == pair.b for pair in judging.pairs)
    if same:
        console.print(Text(f"{same} of {total} pairs are the same words twice: ties, not shown", style="dim"))
    try:
        while judging.pending:
            pair = judging.pending[0]
            console.print(Rule(Text(f"{len(judging.winners) + 1} of {total}"), align="left"))
            console.print(Text(printable(pair.prompt, keep="\n"), style="bold"))
            for number, said in enumerate(pair.shown, 1):
                console.print(
                    Panel(Text(printable(said, keep="\n") or "(nothing)"), title=str(number), title_align="left")
                )
            key = ""
            while key not in (*_KEYS, "q"):
                key = console.input("Which is better? 1, 2, t (tie), q (stop): ").strip().lower()
            if key == "q":
                break
            judging.judge(pair, _KEYS[key])
    except (EOFError, KeyboardInterrupt):
        console.print()
    result = judging.result
    console.print(Text(printable(result.sentence(judging.a, judging.b)), style="bold"))
    if decided := result.wins + result.losses:
        console.print(Text(f"the answer shown first won {result.first} of {decided}", style="dim"))
    for about in judging.info.get("notes", ()):
        console.print(Text(f"note: {printable(str(about))}", style="yellow"))
    if judging.pending:
        console.print(f"{len(judging.pending)} are left; the same command goes on")
    console.print(Text(f"Judgements lie in {judging.path}"))
