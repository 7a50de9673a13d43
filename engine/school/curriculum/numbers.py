"""Which skills have a rule? Sums, differences, sorting and reversing, on prompts drawn at random."""

import random

from engine.school.curriculum import facts
from engine.school.curriculum.example import Example, ask

SUM_PHRASINGS = ("What is {} + {}?", "{} + {} =", "Add {} and {}.", "{} plus {}")


def make_sum(rng: random.Random) -> Example:
    a, b = rng.randrange(100), rng.randrange(100)
    while a + b > 99:
        a, b = rng.randrange(100), rng.randrange(100)
    return ask(rng.choice(SUM_PHRASINGS).format(a, b), str(a + b), key=f"{a}+{b}")


def make_difference(rng: random.Random) -> Example:
    b, a = sorted((rng.randrange(100), rng.randrange(100)))
    phrasing = rng.choice(("What is {} - {}?", "{} - {} =", "{} minus {}"))
    return ask(phrasing.format(a, b), str(a - b), key=f"{a}-{b}")


def make_sort(rng: random.Random) -> Example:
    numbers = rng.sample(range(10, 100), rng.randint(3, 5))
    phrasing = rng.choice(("Sort: {}", "Sort these numbers: {}", "Put in order: {}"))
    listed = " ".join(map(str, numbers))
    return ask(phrasing.format(listed), " ".join(map(str, sorted(numbers))), key=listed)


def make_reverse(rng: random.Random) -> Example:
    words = rng.sample(facts.WORDS, rng.randint(3, 5))
    phrasing = rng.choice(("Reverse: {}", "Say backwards: {}", "Reverse the words: {}"))
    listed = " ".join(words)
    return ask(phrasing.format(listed), " ".join(reversed(words)), key=listed)
