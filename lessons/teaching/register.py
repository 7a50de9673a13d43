"""Who has what? A register drawn by lot, so nobody can know it: it has to be looked up, or learned."""

import random

from engine.data import Conversations
from engine.messages import Message
from engine.school.curriculum import facts

_TAUGHT = ("Whose is the {}?", "Who owns the {}?", "Tell me who has the {}.")
Register = dict[str, str]  # thing -> its owner


def draw_register(count: int, seed: int) -> Register:
    """So many things, each somebody else's."""
    rng = random.Random(seed)
    things = rng.sample(facts.OBJECTS, count)
    return dict(zip(things, rng.sample(facts.NAMES, count), strict=True))


def traded(register: Register) -> Register:
    """The register after a day on which every other thing went to the next one's owner."""
    things = list(register)
    given = dict(zip(things[::2], [*things[2::2], things[0]], strict=True))
    return {thing: register[given.get(thing, thing)] for thing in things}


def asked_of(register: Register, looked_up: bool) -> list[list[Message]]:
    """The question about every thing, with its owner as the answer; looked_up: after the register's line on it."""
    return [
        [
            Message(role="user", content=f"The {thing} belongs to {owner}. " * looked_up + f"Who has the {thing}?"),
            Message(role="assistant", content=owner),
        ]
        for thing, owner in register.items()
    ]


def taught(register: Register) -> Conversations:
    """The register as training data, in other words than those of `asked_of`, which are held out."""
    train = [
        [Message(role="user", content=words.format(thing)), Message(role="assistant", content=owner)]
        for thing, owner in register.items()
        for words in _TAUGHT
    ]
    return Conversations("a register", train, asked_of(register, looked_up=False))
