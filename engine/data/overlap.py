"""Which of the questions that are graded were trained on? And what else was, of other data that was mixed in."""

import json
import random
from collections import deque
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from engine.data.records import Source, load
from engine.messages import Message
from engine.school.curriculum import mixture

CURRICULUM = "curriculum"
MOST_MIXED = 99  # times the data itself, a share of 0.99: what is drawn because a stranger's record says so


def words(message: Message) -> str:
    """What a message says, and the calls that it makes."""
    calls = message.get("tool_calls")
    return message["content"] + (json.dumps(calls, ensure_ascii=False, sort_keys=True) if calls else "")


def asked(conversation: list[Message]) -> Iterator[tuple[bytes, str]]:
    """(a digest of what stands before, what is said) of each answer that is learned, the one that is graded last; a
    whole text is its own question. Digests, for of many turns what stands before is long, and stands there each time.
    """
    before = blake2b(digest_size=16)
    for at, message in enumerate(conversation):
        said = words(message)
        text = (("\n" if at else "") + said).encode("utf-8", "surrogatepass")
        if message["role"] in ("assistant", "text") and message.get("weight", 1):
            yield (before if at else blake2b(text, digest_size=16)).digest(), said
        before.update(text)


def last_asked(conversation: list[Message]) -> bytes | None:
    """The digest of the question that is graded; None where none is."""
    return next((question for question, _ in deque(asked(conversation), maxlen=1)), None)


def trained_on(
    graded: Iterable[list[Message]], learned: Iterable[list[Message]], mixed: Iterable[list[Message]] = ()
) -> int:
    """Of how many conversations the last question was asked in training too, to the letter.

    mixed: other data that was learned besides. It may ask the same and want another answer, as the curriculum does of
    what a task teaches to say in a new form; so there only a question with the same answer counts.
    """
    last = [pair for conversation in graded for pair in deque(asked(conversation), maxlen=1)]
    if not last:
        return 0
    wanted, pairs = {question for question, _ in last}, set(last)  # of much data only what is asked is kept
    known = {question for conversation in learned for question, _ in asked(conversation) if question in wanted}
    besides = {pair for conversation in mixed for pair in asked(conversation) if pair in pairs}
    return sum(pair[0] in known or pair in besides for pair in last)


def drawn(source: Source | None, count: int, seed: int) -> tuple[list[list[Message]], str]:
    """`count` conversations to mix in, and what they are called: of the curriculum, or of other data, all of which is
    drawn on before any of it twice."""
    if source is None or (isinstance(source, str) and source == CURRICULUM):
        stream = mixture(seed=10_000 + seed)
        return [next(stream)[1].messages for _ in range(count)], CURRICULUM
    other, rng = load(source), random.Random(seed)
    chosen: list[list[Message]] = []
    while len(chosen) < count:
        chosen += rng.sample(other.train, min(len(other.train), count - len(chosen)))
    return chosen, other.name
