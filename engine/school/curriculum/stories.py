"""What is a story here, and what is its right summary?

A small grammar. A `Story` holds who, what and where; `tell` turns it into a few sentences (many wordings),
`summary` into one line (one wording, so that it can be graded exactly), `questions` into what a reader
should be able to answer. Nothing in the summary can be guessed without reading: every slot is drawn at random.
"""

import random
import re
from dataclasses import dataclass

from engine.school.curriculum.facts import ADJECTIVES, ANIMALS, COLORS, FOODS, NAMES, OBJECTS, PLACES

PLOTS = ("lost", "shared", "gift", "storm", "lesson")

_SUMMARY = {
    "lost": "The {hero} lost a {thing} in the {place} and the {friend} found it.",
    "shared": "The {hero} shared {food} with the {friend} in the {place}.",
    "gift": "The {hero} gave the {friend} a {thing} in the {place}.",
    "storm": "The {hero} hid from a storm in the {place} with the {friend}.",
    "lesson": "The {friend} taught the {hero} to {skill} in the {place}.",
}

_OPENING = (
    "Once upon a time there was a {adjective} {hero} named {name}.",
    "Once there was a {adjective} {hero} called {name}.",
    "{name} was a {adjective} {hero}.",
    "A {adjective} {hero} named {name} liked to play outside.",
)
_GOING = (
    "One day {name} went to the {place}.",
    "One morning {name} walked to the {place}.",
    "In the evening {name} was in the {place}.",
    "{name} spent the day in the {place}.",
)
_MIDDLE = {
    "lost": (
        "There {name} lost a {color} {thing}. {name} looked everywhere and began to cry. A {friend} heard it, "
        "looked under a stone and found the {thing}.",
        "But the {color} {thing} was gone! {name} was very sad. Then a {friend} came by with the {thing} and gave it back.",
    ),
    "shared": (
        "A {friend} sat there and was very hungry. {name} had some {food} and gave half of it to the {friend}.",
        "{name} wanted to eat some {food}. Then a hungry {friend} came by, so they ate the {food} together.",
    ),
    "gift": (
        "It was the birthday of a {friend}. {name} had made a {color} {thing} and gave it to the {friend}.",
        "There {name} met a sad {friend}. {name} took out a {color} {thing} and said: this is for you.",
    ),
    "storm": (
        "Suddenly the sky was black and a storm began. {name} was afraid. A {friend} was there too, so they hid together.",
        "Then came rain and wind, and {name} had to hide. A {friend} sat close by, and they waited for the storm to end.",
    ),
    "lesson": (
        "{name} wanted to {skill} but did not know how. A {friend} saw it and showed {name} how to {skill}.",
        'There a {friend} could {skill} very well. "Please teach me," said {name}. Soon {name} could {skill} too.',
    ),
}
_END = (
    "{name} was happy and went home.",
    "From that day on they were friends.",
    "They laughed and danced until night.",
    "{name} said thank you and smiled.",
)
SKILLS = ("swim", "sing", "dance", "draw", "jump", "read", "write", "whistle")


def with_articles(text: str) -> str:
    """ "a owl" -> "an owl"."""
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)


@dataclass(frozen=True)
class Story:
    """Who did what, where: the slots that a right summary must name."""

    plot: str
    hero: str
    friend: str
    name: str
    place: str
    thing: str
    food: str
    skill: str
    color: str
    adjective: str

    def fill(self, template: str) -> str:
        return with_articles(template.format(**self.__dict__))

    def summary(self) -> str:
        return self.fill(_SUMMARY[self.plot])

    def tell(self, rng: random.Random) -> str:
        parts = rng.choice(_OPENING), rng.choice(_GOING), rng.choice(_MIDDLE[self.plot]), rng.choice(_END)
        return " ".join(self.fill(part) for part in parts)

    def questions(self) -> list[tuple[str, str]]:
        """Questions that one slot answers, e.g. `("Where was Mia?", "in the garden")`."""
        asked = [
            (f"Where was {self.name}?", f"in the {self.place}"),
            (f"Who was {self.name}?", with_articles(f"a {self.hero}")),
            ("Who was the other animal?", with_articles(f"a {self.friend}")),
        ]
        if self.plot in ("lost", "gift"):
            asked.append((f"What color was the {self.thing}?", self.color))
        return asked


def draw_story(rng: random.Random) -> Story:
    hero, friend = rng.sample(ANIMALS, 2)
    return Story(
        plot=rng.choice(PLOTS),
        hero=hero,
        friend=friend,
        name=rng.choice(NAMES),
        place=rng.choice(PLACES),
        thing=rng.choice(OBJECTS),
        food=rng.choice(FOODS),
        skill=rng.choice(SKILLS),
        color=rng.choice(COLORS),
        adjective=rng.choice(ADJECTIVES),
    )
