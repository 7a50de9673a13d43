"""What does it do with a text? Answer questions about it, sum it up, and tell one itself."""

import random

from engine.curriculum import facts
from engine.curriculum.example import Example, ask
from engine.curriculum.stories import draw_story, with_articles


def make_reading(rng: random.Random) -> Example:
    """A text and a question about it, or, in a conversation, up to four."""
    if rng.random() < 0.5:
        text, pairs = _draw_owners(rng)
        questions = [(f"What does {owner} have?", with_articles(f"a {thing}")) for owner, thing in pairs]
        questions += _who_questions(pairs)
    else:
        story = draw_story(rng)
        text = story.tell(rng)
        questions = story.questions()
    return _ask_about(text, rng.sample(questions, min(len(questions), rng.choice((1, 3, 4)))))


def make_owner(rng: random.Random) -> Example:
    """Who has it? The answer stands before what is asked about, so it has to be traced back: slowest of all to come."""
    text, pairs = _draw_owners(rng)
    questions = _who_questions(pairs)
    return _ask_about(text, rng.sample(questions, rng.randint(1, len(questions))))


def _draw_owners(rng: random.Random) -> tuple[str, list[tuple[str, str]]]:
    """Two to four people with a thing each: the text, and its (owner, coloured thing)."""
    owners = rng.sample(facts.NAMES, rng.randint(2, 4))
    things = [f"{rng.choice(facts.COLORS)} {thing}" for thing in rng.sample(facts.OBJECTS, len(owners))]
    pairs = list(zip(owners, things, strict=True))
    return " ".join(with_articles(f"{owner} has a {thing}.") for owner, thing in pairs), pairs


def _who_questions(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(f"Who has the {thing.split()[1]}?", owner) for owner, thing in pairs]


def _ask_about(text: str, asked: list[tuple[str, str]]) -> Example:
    """A conversation: the text stands before the first question."""
    messages = [message for question, answer in asked for message in ask(question, answer).messages]
    messages[0] = {"role": "user", "content": f"{text} {messages[0]['content']}"}
    return Example(messages, text, train_turns=len(asked))


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
