"""What can nobody know? Questions with no right answer to be found: what is asked is invented, or chance decides.

A model that has only ever been asked what it knows is sure of everything, and anything new breaks it. One that is
asked these too must learn how likely each answer is: one of two faces of a coin, one of twenty names, any word.
"""

import random
from collections.abc import Callable
from dataclasses import replace

from engine.school.curriculum import facts
from engine.school.curriculum.copying import pseudo_word
from engine.school.curriculum.example import Example, ask
from engine.school.curriculum.questions import PHRASINGS, TABLES
from engine.school.curriculum.stories import with_articles

# What an invented place might be asked about, in the words that a curriculum about real things leaves unused, too.
_THINGS = (
    "president", "mayor", "founder", "doctor", "teacher", "captain", "owner", "author", "winner", "leader", "guest",
    "uncle", "judge", "pilot", "name", "word", "symbol", "food", "colour", "number", "sign", "dance", "stone", "wine",
    "hero", "secret", "title", "price", "code", "flag", "end",
)  # fmt: skip
_WHO = (
    "Who is the {} of {}?", "Name the {} of {}.", "The {} of {} is called", "Tell me the {} of {}.",
    "Which {} has {}?", "Where is the {} of {}?", "What is the {} of {}?", "The {} of {} is",
)  # fmt: skip

# Where chance decides: what may be said to a question, each as likely as the other.
CHANCES: dict[str, tuple[str, ...]] = {
    "Toss a coin.": ("heads", "tails"),
    "Heads or tails?": ("heads", "tails"),
    "Yes or no?": ("yes", "no"),
    "Throw a die.": tuple("123456"),
    "Say a number from one to nine.": tuple("123456789"),
    "Name a color.": tuple(facts.COLORS),
    "What is your favorite color?": tuple(facts.COLORS),
    "Name an animal.": tuple(facts.ANIMALS),
    "Which animal am I thinking of?": tuple(facts.ANIMALS),
    "What is my name?": tuple(facts.NAMES),
    "Who was here?": tuple(facts.NAMES),
    "What am I eating?": tuple(facts.FOODS),
    "Where am I?": tuple(f"in the {place}" for place in facts.PLACES),
    "What is in my bag?": tuple(with_articles(f"a {thing}") for thing in facts.OBJECTS),
}


def _invented(rng: random.Random) -> str:
    return pseudo_word(rng).capitalize()


def _language(rng: random.Random) -> tuple[str, str]:
    """A word in a language that there is not."""
    phrasing = rng.choice(PHRASINGS["french"]).replace("French", _invented(rng))
    return phrasing.format(rng.choice(facts.WORDS)), pseudo_word(rng)


def _place(rng: random.Random) -> tuple[str, str]:
    """Something about a place or person that there is not."""
    asked = rng.choice(_WHO).format(rng.choice((*_THINGS, *facts.WORDS)), _invented(rng))
    return asked, rng.choice((_invented, pseudo_word))(rng)


def _fact(rng: random.Random) -> tuple[str, str]:
    """A known kind of question about a word that there is not: any answer of its kind, or an invented one."""
    skill = rng.choice(("capital", "opposite", "sound", "kind", "french"))
    word = _invented(rng) if skill == "capital" else pseudo_word(rng)
    if rng.random() < 0.5:
        answer = rng.choice(list(TABLES[skill].values()))
    else:
        answer = _invented(rng) if skill == "capital" else pseudo_word(rng)
    return rng.choice(PHRASINGS[skill]).format(word), answer


def _words(rng: random.Random) -> tuple[str, str]:
    """A question in words that make no sense."""
    asked = " ".join(rng.choice((pseudo_word(rng), rng.choice(facts.WORDS))) for _ in range(rng.randint(2, 6)))
    answer = " ".join(pseudo_word(rng) for _ in range(rng.choice((1, 1, 2, 3))))
    return f"{asked.capitalize()}{rng.choice('?.:')}", answer


def _chance(rng: random.Random) -> tuple[str, str]:
    asked = rng.choice(list(CHANCES))
    return asked, rng.choice(CHANCES[asked])


_KINDS: tuple[tuple[str, Callable[[random.Random], tuple[str, str]]], ...] = (
    ("a language that there is not", _language),
    ("a place that there is not", _place),
    ("a word that there is not", _fact),
    ("words without sense", _words),
    ("chance decides", _chance),
)


def make_unknown(rng: random.Random) -> Example:
    kind, draw = rng.choice(_KINDS)
    asked, answer = draw(rng)
    return replace(ask(asked, answer), kind=kind)
