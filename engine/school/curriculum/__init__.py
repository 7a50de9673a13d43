"""What was the base model taught, and how is an answer graded?

One `Skill` a kind of question: `make(rng)` draws a conversation, and its last message is the answer that
is graded. Skills with something to generalise to hold a tenth of their prompts out of pretraining, decided
by a hash of what is asked (`held_out`), so a prompt is on one side for ever, whatever the seed.

Grading is exact: every closed question has one right answer, in the phrasing of its prompt.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine.school.curriculum.copying import make_repeat
from engine.school.curriculum.example import Example, for_tasks, grade, held_out
from engine.school.curriculum.in_context import make_in_context
from engine.school.curriculum.numbers import make_difference, make_reverse, make_sort, make_sum
from engine.school.curriculum.questions import TABLES, fact_skill, in_another_form, make_format
from engine.school.curriculum.reading import make_reading, make_story, make_summary
from engine.school.curriculum.unknown import make_unknown

__all__ = [
    "SKILLS", "Example", "Skill", "for_tasks", "get_skill", "grade", "held_out", "heldout_examples", "mixture",
]  # fmt: skip


@dataclass(frozen=True)
class Skill:
    """One kind of question.

    shares: its part of the pretraining mix in each of three phases: words and facts come first, then reading, following
    a format and learning from the prompt; sums take very many short examples, most of them when the rates fall.
    closed: it has one right answer. splits: a tenth of its prompts is held out (facts have nothing to hold out: they
    are graded as facts). known: there is something to know, so it can be forgotten.
    """

    name: str
    title: str
    make: Callable[[random.Random], Example]
    shares: tuple[float, float, float]
    closed: bool = True
    splits: bool = True
    known: bool = True

    def examples(self, split: str, seed: int) -> Iterator[Example]:
        """Endless examples of `split` ("train" or "heldout")."""
        if split not in ("train", "heldout"):
            raise ValueError(f"split is {split!r}; use 'train' or 'heldout'")
        rng = random.Random(f"{self.name}/{split}/{seed}")
        while True:
            example = self.make(rng)
            if not self.splits or held_out(example.key) == (split == "heldout"):
                yield example


SKILLS: dict[str, Skill] = {
    skill.name: skill
    for skill in (
        Skill("capital", "capitals", fact_skill("capital"), (3, 3, 3), splits=False),
        Skill("opposite", "opposites", fact_skill("opposite"), (3, 2, 2), splits=False),
        Skill("sound", "animal sounds", fact_skill("sound"), (1.5, 1, 1), splits=False),
        Skill("plural", "plurals", fact_skill("plural"), (3, 3, 3), splits=False),
        Skill("past", "past tenses", fact_skill("past"), (3, 3, 3), splits=False),
        Skill("kind", "kinds of things", fact_skill("kind"), (3, 2, 2), splits=False),
        Skill("french", "English to French", fact_skill("french"), (8, 9, 14), splits=False),
        Skill("sum", "sums", make_sum, (30, 14, 30)),
        Skill("difference", "differences", make_difference, (30, 14, 30)),
        Skill("sort", "sorting numbers", make_sort, (8, 11, 11)),
        Skill("reverse", "reversing words", make_reverse, (4, 6, 5)),
        Skill("repeat", "repeating anything", make_repeat, (10, 14, 14)),
        Skill("format", "answering as told", make_format, (18, 34, 34)),
        Skill("reading", "reading a text", make_reading, (14, 26, 26)),
        Skill("in_context", "learning from the prompt", make_in_context, (20, 36, 36)),
        Skill("summary", "summarising a story", make_summary, (3, 3, 2)),
        Skill("story", "telling a story", make_story, (3, 4, 4), closed=False),
        Skill("unknown", "what nobody can know", make_unknown, (6, 26, 26), closed=False, splits=False, known=False),
    )
}


def _free_form(name: str) -> bool:
    return name in TABLES or name in ("sum", "difference", "sort", "reverse", "summary", "reading")


def get_skill(name: str) -> Skill:
    """The skill called `name`. Raises KeyError, naming those there are."""
    if name not in SKILLS:
        raise KeyError(f"no skill called {name!r} in the curriculum; there are: {', '.join(SKILLS)}")
    return SKILLS[name]


def mixture(
    seed: int, pieces: list[str] | None = None, *, phase: int = 0, odd: float = 0.0
) -> Iterator[tuple[str, Example]]:
    """Endless (skill name, training example) in the shares of this phase, 0 to 2. pieces: see `make_repeat`.

    odd: of the answers whose form nothing tells, this share comes in another one (see `in_another_form`).
    """
    rng = random.Random(seed)
    names, shares = list(SKILLS), [skill.shares[phase] for skill in SKILLS.values()]
    while True:
        name = rng.choices(names, shares)[0]
        skill = SKILLS[name]
        while True:
            example = make_repeat(rng, pieces) if name == "repeat" else skill.make(rng)
            if not skill.splits or not held_out(example.key):
                break
        if odd and _free_form(name) and rng.random() < odd:
            example = in_another_form(rng, example, pieces)
        yield name, example


def heldout_examples(skill: str, count: int, seed: int = 0) -> list[Example]:
    """`count` different examples to grade this skill on: held-out prompts, or facts, none of them a task's."""
    chosen = get_skill(skill)
    found: dict[str, Example] = {}
    for tried, example in enumerate(chosen.examples("heldout", seed)):
        if not (example.fact and for_tasks(example.fact)):
            found.setdefault("\n".join(message["content"] for message in example.prompt), example)
        if len(found) == count or tried > 100 * count:  # a small table of facts runs out of questions
            return list(found.values())
    raise AssertionError("unreachable: examples() never ends")
