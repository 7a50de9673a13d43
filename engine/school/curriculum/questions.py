"""How are facts asked for, and in which forms can the answer be wanted?"""

import random
from collections.abc import Callable
from dataclasses import replace

from engine.school.curriculum import facts
from engine.school.curriculum.copying import pseudo_word, random_text
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


def fact_of(skill: str, word: str) -> str:
    """The fact's name, the same however it is asked: "french/hello" for "French for Hello?", too."""
    return f"{skill}/{word if word in TABLES[skill] else word.lower()}"


def fact_skill(name: str) -> Callable[[random.Random], Example]:
    def make(rng: random.Random) -> Example:
        _, question, word, answer = draw_fact(rng, name)
        return replace(ask(question, answer), fact=fact_of(name, word))

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
# A word in capitals is spelled letter by letter: each is learned by itself, so these are few.
_CAPITALISED = ("capital", "sound", "kind")


def make_format(rng: random.Random) -> Example:
    """The same questions, with a word on how to answer (before, after, or as the system message)."""
    roll = rng.random()
    skill, question, word, answer = draw_fact(rng, rng.choice(_CAPITALISED) if roll < 0.2 else None)
    if roll < 0.2:
        kind, order, reply = "in capitals", "Answer in capitals.", answer.upper()
        if rng.random() < 0.4:
            skill, question, word = "word", f"Say: {answer}", answer
    elif roll < 0.5:
        name, dress = rng.choice(list(_DRESS.items()))
        kind, order, reply = "between marks", f"Answer {name}.", dress.format(answer)
    elif roll < 0.62:
        kind, order, reply = "in a sentence", "Answer in a sentence.", SENTENCES[skill].format(word, answer)
    elif roll < 0.75:
        kind, order, reply = "as a pair", "Answer as a pair.", f'"{word}": "{answer}"'
    elif roll < 0.89:
        first = pseudo_word(rng)
        kind, order, reply = "beginning with a word", f"Begin with {first}.", f"{first} {answer}"
    else:
        last = pseudo_word(rng)
        kind, order, reply = "ending with a word", f"End with {last}.", f"{answer} {last}"
    key, fact = f"{order}/{skill}/{word}", fact_of(skill, word) if skill in TABLES else ""
    place = rng.random()
    asked = [{"role": "user", "content": question}]
    if place < 0.4:
        asked = [{"role": "user", "content": f"{order} {question}"}]
    elif place < 0.7:
        asked = [{"role": "user", "content": f"{question} {order}"}]
    else:
        asked.insert(0, {"role": "system", "content": order})
    return Example([*asked, {"role": "assistant", "content": reply}], key, kind=kind, fact=fact)


def in_another_form(rng: random.Random, example: Example, pieces: list[str] | None = None) -> Example:
    """The same conversation with its last answer in a form that nobody asked for, as people's answers come.

    So a form is likely rather than certain, and what else may be said is any text at all, not nothing.
    """
    answer = example.answer
    if rng.random() < 0.3:
        answer = rng.choice(list(_DRESS.values())).format(answer)
    else:
        before, after = (random_text(rng, rng.choice((0, 0, 1, 2, 4)), pieces) for _ in range(2))
        answer = f"{before} {answer}{rng.choice((' ', ''))}{after}"
    return replace(example, messages=[*example.prompt, {"role": "assistant", "content": answer.strip()}])
