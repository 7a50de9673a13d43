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


def make_repeat(rng: random.Random, pieces: list[str] | None = None) -> Example:
    """Say it again: pseudo-words, words, quoted pairs, punctuation, numbers, any character, bare vocabulary pieces."""
    items = []
    for _ in range(rng.randint(1, 5)):
        kind = rng.random()
        if kind < 0.35 and pieces:
            piece = rng.choice(pieces)
            items.append(piece if piece.startswith(" ") else rng.choice(("-", "/", "_", ".", "@")) + piece)
        elif kind < 0.55:
            items.append(" " + pseudo_word(rng))
        elif kind < 0.65:
            items.append(" " + rng.choice(facts.WORDS))
        elif kind < 0.75:
            items.append(" " + rng.choice(QUOTES).format(rng.choice((pseudo_word(rng), rng.choice(facts.WORDS)))))
        elif kind < 0.87:
            run = "".join(rng.choice(PUNCTUATION) for _ in range(rng.randint(1, 3)))
            items.append(rng.choice(("", " ")) + run)
        elif kind < 0.93:
            items.append(" " + str(rng.randrange(10 ** rng.randint(1, 4))))
        else:
            items.append(rng.choice(("", " ")) + random_character(rng))
    text = "".join(items).strip() or pseudo_word(rng)
    phrasing = rng.choice(("Repeat: {}", "Say: {}", "Say again: {}", "Copy this: {}"))
    return ask(phrasing.format(text), text, key=text)
