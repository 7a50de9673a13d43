"""What makes every token of the vocabulary steerable? Saying anything again: words, made-up ones, marks, characters."""

import random

from engine.school.curriculum import facts
from engine.school.curriculum.example import Example, ask

_ONSETS = [
    "b", "c", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z",
    "bl", "br", "ch", "cr", "dr", "fl", "gr", "pl", "qu", "sh", "sl", "st", "th", "tr",
]  # fmt: skip
_VOWELS = ["a", "e", "i", "o", "u", "y", "ai", "ea", "ee", "oo", "ou"]
_CODAS = ["", "", "", "n", "r", "s", "t", "l", "m", "x", "ck", "nd"]
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
QUOTES = ('"{}"', "'{}'", "({})", "[{}]", "{{{}}}", "<{}>", "*{}*", "_{}_", "`{}`", "-{}-", "{}!", "{}.", "{}?", "#{}")


def pseudo_word(rng: random.Random) -> str:
    word = "".join(
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(rng.choice((1, 2, 2, 3)))
    )
    style = rng.random()
    return word.capitalize() if style < 0.15 else word.upper() if style < 0.2 else word


def random_character(rng: random.Random) -> str:
    """Any character that UTF-8 can hold, so that every byte token is used; a control character now and then."""
    while True:
        ceiling = rng.choice((0x20, 0x100, 0x800, 0x10000, 0x110000))
        code = rng.randrange(ceiling)
        if not 0xD800 <= code <= 0xDFFF:  # surrogates are no characters
            return chr(code)


def random_text(rng: random.Random, items: int, pieces: list[str] | None = None) -> str:
    """So many pseudo-words, words, quoted pairs, marks, numbers, characters and bare vocabulary pieces (if given)."""
    text = []
    for _ in range(items):
        kind = rng.random()
        if kind < 0.35 and pieces:
            piece = rng.choice(pieces)
            text.append(piece if piece.startswith(" ") else rng.choice(("-", "/", "_", ".", "@")) + piece)
        elif kind < 0.55:
            text.append(" " + pseudo_word(rng))
        elif kind < 0.65:
            text.append(" " + rng.choice(facts.WORDS))
        elif kind < 0.75:
            text.append(" " + rng.choice(QUOTES).format(rng.choice((pseudo_word(rng), rng.choice(facts.WORDS)))))
        elif kind < 0.87:
            run = "".join(rng.choice(PUNCTUATION) for _ in range(rng.randint(1, 3)))
            text.append(rng.choice(("", " ")) + run)
        elif kind < 0.93:
            text.append(" " + str(rng.randrange(10 ** rng.randint(1, 4))))
        else:
            text.append(rng.choice(("", " ")) + random_character(rng))
    return "".join(text).strip()


def make_repeat(rng: random.Random, pieces: list[str] | None = None) -> Example:
    """Say it again, whatever it is."""
    text = random_text(rng, rng.randint(1, 5), pieces) or pseudo_word(rng)
    phrasing = rng.choice(("Repeat: {}", "Say: {}", "Say again: {}", "Copy this: {}"))
    return ask(phrasing.format(text), text, key=text)
