"""What does it do with a text? Answer questions about it, sum it up, and tell one itself."""

import random

from engine.school.curriculum import facts
from engine.school.curriculum.example import Example, ask
from engine.school.curriculum.stories import draw_story, with_articles


def make_reading(rng: random.Random) -> Example:
    """A text and a question about it, or, in a conversation, up to four."""
    if rng.random() < 0.5:
        owners = rng.sample(facts.NAMES, rng.randint(2, 4))
        things = [f"{rng.choice(facts.COLORS)} {thing}" for thing in rng.sample(facts.OBJECTS, len(owners))]
        pairs = list(zip(owners, things, strict=True))
        text = " ".join(with_articles(f"{owner} has a {thing}.") for owner, thing in pairs)
        questions = [
            (f"What does {owner} have?", with_articles(f"a {thing}"), "what someone has") for owner, thing in pairs
        ]
        questions += [(f"Who has the {thing.split()[1]}?", owner, "who has a thing") for owner, thing in pairs]
    else:
        story = draw_story(rng)
        text = story.tell(rng)
        questions = [(question, answer, "about a story") for question, answer in story.questions()]
    asked = rng.sample(questions, min(len(questions), rng.choice((1, 3, 4))))
    messages = [message for question, answer, _ in asked for message in ask(question, answer).messages]
    messages[0] = {"role": "user", "content": f"{text} {messages[0]['content']}"}
    return Example(messages, text, train_turns=len(asked), kind=asked[-1][2])


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
