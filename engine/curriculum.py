"""What was the base model taught, and how is an answer graded?

One `Skill` a kind of question: `make(rng)` draws a conversation, and its last message is the answer that
is graded. Skills with something to generalise to hold a tenth of their prompts out of pretraining, decided
by a hash of what is asked (`held_out`), so a prompt is on one side for ever, whatever the seed.

Grading is exact: every closed question has one right answer, in the phrasing of its prompt.
"""

import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from engine import facts
from engine.stories import draw_story, with_articles

Message = dict[str, str]


@dataclass(frozen=True)
class Example:
    """One conversation and how it is used.

    messages: chat messages, the last one the graded answer.
    key: what is asked, apart from its phrasing; decides train or held out.
    train_turns: how many assistant turns, from the end, are worth learning (all but unguessable first examples).
    """

    messages: list[Message]
    key: str
    train_turns: int = 1

    @property
    def prompt(self) -> list[Message]:
        return self.messages[:-1]

    @property
    def answer(self) -> str:
        return self.messages[-1]["content"]


@dataclass(frozen=True)
class Skill:
    """One kind of question.

    shares: its part of the pretraining mix, at first and later: sums are learned from very many short examples,
    reading and following a format take over once those are there. closed: it has one right answer. splits: a tenth
    of its prompts is held out (facts have nothing to hold out: they are graded as facts).
    """

    name: str
    title: str
    make: Callable[[random.Random], Example]
    shares: tuple[float, float]
    closed: bool = True
    splits: bool = True
    example: str = field(default="")

    def examples(self, split: str, seed: int) -> Iterator[Example]:
        """Endless examples of `split` ("train" or "heldout")."""
        if split not in ("train", "heldout"):
            raise ValueError(f"split is {split!r}; use 'train' or 'heldout'")
        rng = random.Random(f"{self.name}/{split}/{seed}")
        while True:
            example = self.make(rng)
            if not self.splits or held_out(example.key) == (split == "heldout"):
                yield example


def held_out(key: str) -> bool:
    """Does this prompt belong to the tenth that pretraining never sees?"""
    return zlib.crc32(key.encode()) % 10 == 0


def grade(answer: str, reply: str) -> bool:
    """Is the reply the answer? Exact, but for white space at its ends."""
    return reply.strip() == answer.strip()


def ask(prompt: str, answer: str, key: str | None = None) -> Example:
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return Example(messages, prompt if key is None else key)


# --- facts -------------------------------------------------------------------------------------------

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


def _fact_skill(name: str) -> Callable[[random.Random], Example]:
    def make(rng: random.Random) -> Example:
        _, question, _, answer = draw_fact(rng, name)
        return ask(question, answer)

    return make


# --- numbers and lists -------------------------------------------------------------------------------


def make_sum(rng: random.Random) -> Example:
    a, b = rng.randrange(100), rng.randrange(100)
    while a + b > 99:
        a, b = rng.randrange(100), rng.randrange(100)
    phrasing = rng.choice(("What is {} + {}?", "{} + {} =", "Add {} and {}.", "{} plus {}"))
    return ask(phrasing.format(a, b), str(a + b), key=f"{a}+{b}")


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


# --- copying: what makes every token of the vocabulary steerable --------------------------------------

_ONSETS = [
    "b",
    "c",
    "d",
    "f",
    "g",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "w",
    "z",
    "bl",
    "br",
    "ch",
    "cr",
    "dr",
    "fl",
    "gr",
    "pl",
    "qu",
    "sh",
    "sl",
    "st",
    "th",
    "tr",
]
_VOWELS = ["a", "e", "i", "o", "u", "y", "ai", "ea", "ee", "oo", "ou"]
_CODAS = ["", "", "", "n", "r", "s", "t", "l", "m", "x", "ck", "nd"]
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_QUOTES = ('"{}"', "'{}'", "({})", "[{}]", "{{{}}}", "<{}>", "*{}*", "_{}_", "`{}`", "-{}-", "{}!", "{}.", "{}?", "#{}")


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
            items.append(" " + rng.choice(_QUOTES).format(rng.choice((pseudo_word(rng), rng.choice(facts.WORDS)))))
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


# --- following a format: answers in many dresses, so that adapters find something to steer ------------

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
        order, reply = f"Answer {name}.", dress.format(answer)
    elif roll < 0.6:
        order, reply = "Answer in capitals.", answer.upper()
    elif roll < 0.75:
        order, reply = "Answer in a sentence.", SENTENCES[skill].format(word, answer)
    elif roll < 0.82:
        order, reply = "Answer as a pair.", f'"{word}": "{answer}"'
    elif roll < 0.91:
        first = pseudo_word(rng)
        order, reply = f"Begin with {first}.", f"{first} {answer}"
    else:
        last = pseudo_word(rng)
        order, reply = f"End with {last}.", f"{answer} {last}"
    key = f"{order}/{skill}/{word}"
    place = rng.random()
    if place < 0.4:
        return ask(f"{order} {question}", reply, key)
    if place < 0.7:
        return ask(f"{question} {order}", reply, key)
    return Example([{"role": "system", "content": order}, *ask(question, reply).messages], key)


# --- reading and telling -----------------------------------------------------------------------------


def make_reading(rng: random.Random) -> Example:
    """A text and a question about it, or, in a conversation, up to four."""
    if rng.random() < 0.5:
        owners = rng.sample(facts.NAMES, rng.randint(2, 4))
        things = [f"{rng.choice(facts.COLORS)} {thing}" for thing in rng.sample(facts.OBJECTS, len(owners))]
        text = " ".join(with_articles(f"{owner} has a {thing}.") for owner, thing in zip(owners, things, strict=True))
        pairs = list(zip(owners, things, strict=True))
        questions = [(f"What does {owner} have?", with_articles(f"a {thing}")) for owner, thing in pairs]
        questions += [(f"Who has the {thing.split()[1]}?", owner) for owner, thing in pairs]
    else:
        story = draw_story(rng)
        text = story.tell(rng)
        questions = story.questions()
    asked = rng.sample(questions, min(len(questions), rng.choice((1, 3, 4))))
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


# --- learning from the prompt alone ------------------------------------------------------------------


def _draw_mapping(rng: random.Random) -> Callable[[], tuple[str, str]]:
    """A mapping that the prompt never names: a known relation, a change of form, or a dressed answer."""
    roll = rng.random()
    if roll < 0.45:
        table = list(TABLES[rng.choice(("opposite", "plural", "past", "capital", "french", "sound", "kind"))].items())
        dress = rng.choice(_QUOTES) if rng.random() < 0.2 else "{}"

        def known() -> tuple[str, str]:
            left, right = rng.choice(table)
            return left, dress.format(right)

        return known
    kind = rng.choice(("twice", "dress", "front", "back", "first", "last", "swap", "next", "before", "upper"))
    dress, mark = rng.choice(_QUOTES), pseudo_word(rng)

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

    return changed


def make_in_context(rng: random.Random) -> Example:
    """Worked examples, then one more: as one prompt, or as a conversation, where all but two are learned from."""
    conversation = rng.random() < 0.75
    draw, count = _draw_mapping(rng), rng.randint(3, 7 if conversation else 5)
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
        return Example(messages, key, train_turns=count - 1)
    arrow = rng.choice((" ->", ":", " =", " =>"))
    lines = [f"{left}{arrow} {right}" for left, right in shown] + [f"{question}{arrow}"]
    return ask(rng.choice(("\n", "; ", ", ")).join(lines), answer, key)


# --- the whole ---------------------------------------------------------------------------------------

SKILLS: dict[str, Skill] = {
    skill.name: skill
    for skill in (
        Skill("capital", "capitals", _fact_skill("capital"), (3, 3), splits=False),
        Skill("opposite", "opposites", _fact_skill("opposite"), (3, 2), splits=False),
        Skill("sound", "animal sounds", _fact_skill("sound"), (1.5, 1), splits=False),
        Skill("plural", "plurals", _fact_skill("plural"), (3, 3), splits=False),
        Skill("past", "past tenses", _fact_skill("past"), (3, 3), splits=False),
        Skill("kind", "kinds of things", _fact_skill("kind"), (3, 2), splits=False),
        Skill("french", "English to French", _fact_skill("french"), (8, 10), splits=False),
        Skill("sum", "sums", make_sum, (30, 16)),
        Skill("difference", "differences", make_difference, (30, 18)),
        Skill("sort", "sorting numbers", make_sort, (8, 12)),
        Skill("reverse", "reversing words", make_reverse, (4, 5)),
        Skill("repeat", "repeating anything", make_repeat, (10, 14)),
        Skill("format", "answering as told", make_format, (12, 18)),
        Skill("reading", "reading a text", make_reading, (7, 12)),
        Skill("in_context", "learning from the prompt", make_in_context, (16, 24)),
        Skill("summary", "summarising a story", make_summary, (3, 3)),
        Skill("story", "telling a story", make_story, (3, 4), closed=False),
    )
}


def get_skill(name: str) -> Skill:
    """The skill called `name`. Raises KeyError, naming those there are."""
    if name not in SKILLS:
        raise KeyError(f"no skill called {name!r} in the curriculum; there are: {', '.join(SKILLS)}")
    return SKILLS[name]


def mixture(seed: int, pieces: list[str] | None = None, *, late: bool = False) -> Iterator[tuple[str, Example]]:
    """Endless (skill name, training example) in the curriculum's shares, first or `late`. pieces: see `make_repeat`."""
    rng = random.Random(seed)
    names, shares = list(SKILLS), [skill.shares[late] for skill in SKILLS.values()]
    while True:
        name = rng.choices(names, shares)[0]
        skill = SKILLS[name]
        while True:
            example = make_repeat(rng, pieces) if name == "repeat" else skill.make(rng)
            if not skill.splits or not held_out(example.key):
                break
        yield name, example


def heldout_examples(skill: str, count: int, seed: int = 0) -> list[Example]:
    """`count` different examples to grade this skill on: held-out prompts, or the facts themselves."""
    chosen = get_skill(skill)
    found: dict[str, Example] = {}
    for tried, example in enumerate(chosen.examples("heldout", seed)):
        found.setdefault("\n".join(message["content"] for message in example.prompt), example)
        if len(found) == count or tried > 100 * count:  # a small table of facts runs out of questions
            return list(found.values())
    raise AssertionError("unreachable: examples() never ends")
