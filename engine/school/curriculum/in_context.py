"""What is learned from the prompt alone? Mappings that it shows by examples and never names."""

import random
from collections.abc import Callable
from dataclasses import replace

from engine.school.curriculum import facts
from engine.school.curriculum.copying import QUOTES, pseudo_word
from engine.school.curriculum.example import Example, ask
from engine.school.curriculum.questions import TABLES

_CHANGES = {
    "twice": "a word twice",
    "dress": "a word between marks",
    "front": "a new word in front",
    "back": "a new word behind",
    "first": "the first of two words",
    "last": "the last of two words",
    "swap": "two words swapped",
    "next": "the next number",
    "before": "the number before",
    "upper": "a capital letter",
}
# Which of two words is wanted shows in no single example, so these two are learned last and shown most often.
_WEIGHTS = [{"first": 3, "last": 3, "next": 2, "before": 2}.get(kind, 1) for kind in _CHANGES]


def _draw_mapping(rng: random.Random) -> tuple[str, Callable[[], tuple[str, str]]]:
    """(kind, how to draw a pair) of a mapping that the prompt never names: a relation, a change of form, a dress."""
    if rng.random() < 0.45:
        table = list(TABLES[rng.choice(("opposite", "plural", "past", "capital", "french", "sound", "kind"))].items())
        dress = rng.choice(QUOTES) if rng.random() < 0.2 else "{}"

        def known() -> tuple[str, str]:
            left, right = rng.choice(table)
            return left, dress.format(right)

        return "a known relation", known
    kind = rng.choices(list(_CHANGES), _WEIGHTS)[0]
    dress, mark = rng.choice(QUOTES), pseudo_word(rng)

    def changed() -> tuple[str, str]:
        one, two = rng.sample(facts.WORDS, 2)
        number = rng.randint(11, 98)
        return {
            "twice": (one, f"{one} {one}"),
            "dress": (one, dress.format(one)),
            "front": (one, f"{mark} {one}"),
            "back": (one, f"{one} {mark}"),
            "first": (f"{one} {two}", one),
            "last": (f"{one} {two}", two),
            "swap": (f"{one} {two}", f"{two} {one}"),
            "next": (str(number), str(number + 1)),
            "before": (str(number), str(number - 1)),
            "upper": (one, one.capitalize()),
        }[kind]

    return _CHANGES[kind], changed


def make_in_context(rng: random.Random) -> Example:
    """Worked examples, then one more: as one prompt, or as a conversation, where all but two are learned from."""
    conversation = rng.random() < 0.75
    kind, draw = _draw_mapping(rng)
    count = rng.randint(3, 7 if conversation else 5)
    pairs: dict[str, str] = {}
    while len(pairs) <= count:
        left, right = draw()
        pairs[left] = right
    *shown, (question, answer) = pairs.items()
    key = f"{question}/{answer}"
    if conversation:
        messages = []
        for left, right in pairs.items():
            messages += [{"role": "user", "content": left}, {"role": "assistant", "content": right}]
        return Example(messages, key, train_turns=count - 1, kind=kind)
    arrow = rng.choice((" ->", ":", " =", " =>"))
    lines = [f"{left}{arrow} {right}" for left, right in shown] + [f"{question}{arrow}"]
    return replace(ask(rng.choice(("\n", "; ", ", ")).join(lines), answer, key), kind=kind)
