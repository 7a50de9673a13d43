"""What does it do with a text? Answer questions about it, sum it up, and tell one itself."""

import random

from engine.school.curriculum import facts
from engine.school.curriculum.example import Example, ask
from engine.school.curriculum.stories import draw_story, with_articles


def make_reading(rng: random.Random) -> Example:
    """A text and a question about it, or, in a conversation, up to four."""
    if rng.random() < 0.5:
        text, questions = _belongings(rng)
    else:
        story = draw_story(rng)
        text = story.tell(rng)
        questions = [(question, answer, "about a story") for question, answer in story.questions()]
    asked = rng.sample(questions, min(len(questions), rng.choice((1, 3, 4))))
    messages = [message for question, answer, _ in asked for message in ask(question, answer).messages]
    messages[0] = {"role": "user", "content": f"{text} {messages[0]['content']}"}
    return Example(messages, text, train_turns=len(asked), kind=asked[-1][2])


def _belongings(rng: random.Random) -> tuple[str, list[tuple[str, str, str]]]:
    """Who has what, and what is asked about it.

    Half of the texts name the thing first and are asked for its owner alone: from those it learns to look for a thing
    at all, and only then to find the owner that stands before it.
    """
    owners = rng.sample(facts.NAMES, rng.randint(2, 4))
    things = [f"{rng.choice(facts.COLORS)} {thing}" for thing in rng.sample(facts.OBJECTS, len(owners))]
    pairs = list(zip(owners, things, strict=True))
    thing_first = rng.random() < 0.5
    sentence = "The {thing} belongs to {owner}." if thing_first else "{owner} has a {thing}."
    text = " ".join(with_articles(sentence.format(owner=owner, thing=thing)) for owner, thing in pairs)
    questions = [(f"Who has the {thing.split()[1]}?", owner, "who has a thing") for owner, thing in pairs]
    if not thing_first:
        questions += [
            (f"What does {owner} have?", with_articles(f"a {thing}"), "what someone has") for owner, thing in pairs
        ]
    return text, questions


def make_summary(rng: random.Random) -> Example:
    story = draw_story(rng)
    phrasing = rng.choice(("Summarize: {}", "Summarize: {}", "Say in one sentence: {}"))
    key = f"{story.plot}/{story.hero}/{story.friend}/{story.place}"
    return ask(phrasing.format(story.tell(rng)), story.summary(), key)


def make_story(rng: random.Random) -> Example:
    story = draw_story(rng)
    about = {"shared": f"some {story.food}", "storm": "a storm", "lesson": f"a {story.friend}"}
    second = about.get(story.plot, f"a {story.thing}")
    phrasing = rng.choice(("Tell a story about a {} and {}.", "Write a story about a {} and {}.", "Story: a {} and {}"))
    return ask(with_articles(phrasing.format(story.hero, second)), story.tell(rng), key=f"{story.hero}/{second}")
