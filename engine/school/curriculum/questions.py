"""How are facts asked for, and in which forms can the answer be wanted?"""

import random
from collections.abc import Callable

from engine.school.curriculum import facts
from engine.school.curriculum.copying import pseudo_word
from engine.school.curriculum.example import Example, ask

PHRASINGS = {
    "capital": (
        "What is the capital of {}?", "The capital of {} is", "Name the capital of {}.", "Capital of {}?",
        "Which city is the capital of {}?",
    ),
    "opposite": (
        "What is the opposite of {}?", "The opposite of {} is", "Say the opposite of {}.", "Opposite of {}?",
    ),
    "sound": ("What does a {} say?", "What sound does a {} make?", "A {} says", "Which sound comes from a {}?"),
    "plural": ("What is the plural of {}?", "The plural of {} is", "Plural of {}?", "One {}, two"),
    "past": ("What is the past tense of {}?", "Past tense of {}?", "The past of {} is", "Today I {}, yesterday I"),
    "kind": ("What kind of thing is {}?", "What is {}?", "Kind of {}?", "To which group does {} belong?"),
    "french": (
        "Translate to French: {}", "What is the French word for {}?", "How do you say {} in French?", "{} in French:",
        "Say {} in French.", "French for {}?",
    ),
}  # fmt: skip
TABLES = {
    "capital": facts.CAPITALS,
    "opposite": facts.OPPOSITES,
    "sound": facts.SOUNDS,
    "plural": facts.PLURALS,
    "past": facts.PASTS,
    "kind": facts.KINDS,
    "french": facts.FRENCH,
}
SENTENCES = {
    "capital": "The capital of {} is {}.",
    "opposite": "The opposite of {} is {}.",
    "sound": "A {} says {}.",
    "plural": "The plural of {} is {}.",
    "past": "The past tense of {} is {}.",
    "kind": "{} is a kind of {}.",
    "french": "{} is {} in French.",
}


def draw_fact(rng: random.Random, skill: str | None = None) -> tuple[str, str, str, str]:
    """(skill, question in one of its phrasings, word asked about, answer)."""
    skill = skill or rng.choice(list(TABLES))
    word = rng.choice(list(TABLES[skill]))
    answer = TABLES[skill][word]
    if skill == "french" and rng.random() < 0.3:
        word, answer = word.capitalize(), answer[0].upper() + answer[1:]
    return skill, rng.choice(PHRASINGS[skill]).format(word), word, answer


def fact_skill(name: str) -> Callable[[random.Random], Example]:
    def make(rng: random.Random) -> Example:
        _, question, _, answer = draw_fact(rng, name)
        return ask(question, answer)

    return make


# Answers in many dresses, so that adapters find something to steer.
_DRESS = {
    "in quotes": '"{}"',
    "in brackets": "[{}]",
    "in parentheses": "({})",
    "in braces": "{{{}}}",
    "between stars": "*{}*",
    "with a period": "{}.",
    "with an exclamation mark": "{}!",
    "as a label": "Answer: {}",
    "as a list": "- {}",
    "as a tag": "<{}>",
}


def make_format(rng: random.Random) -> Example:
    """The same questions, with a word on how to answer (before, after, or as the system message)."""
    skill, question, word, answer = draw_fact(rng)
    roll = rng.random()
    if roll < 0.5:
        name, dress = rng.choice(list(_DRESS.items()))
        kind, order, reply = "between marks", f"Answer {name}.", dress.format(answer)
    elif roll < 0.6:
        kind, order, reply = "in capitals", "Answer in capitals.", answer.upper()
    elif roll < 0.75:
        kind, order, reply = "in a sentence", "Answer in a sentence.", SENTENCES[skill].format(word, answer)
    elif roll < 0.82:
        kind, order, reply = "as a pair", "Answer as a pair.", f'"{word}": "{answer}"'
    elif roll < 0.91:
        first = pseudo_word(rng)
        kind, order, reply = "beginning with a word", f"Begin with {first}.", f"{first} {answer}"
    else:
        last = pseudo_word(rng)
        kind, order, reply = "ending with a word", f"End with {last}.", f"{answer} {last}"
    key = f"{order}/{skill}/{word}"
    place = rng.random()
    asked = [{"role": "user", "content": question}]
    if place < 0.4:
        asked = [{"role": "user", "content": f"{order} {question}"}]
    elif place < 0.7:
        asked = [{"role": "user", "content": f"{question} {order}"}]
    else:
        asked.insert(0, {"role": "system", "content": order})
    return Example([*asked, {"role": "assistant", "content": reply}], key, kind=kind)
