"""The curriculum: every skill draws, is graded by its own answers, and keeps its held-out prompts out of training."""

import itertools
import random
import re
from collections import Counter

import pytest

from engine.school.curriculum import SKILLS, for_tasks, get_skill, grade, held_out, heldout_examples, mixture
from engine.school.curriculum.copying import PUNCTUATION
from engine.school.curriculum.facts import ANIMALS
from engine.school.curriculum.questions import TABLES, fact_of, in_another_form
from engine.school.curriculum.stories import PLOTS, draw_story
from engine.school.curriculum.unknown import CHANCES


def test_there_are_at_least_twelve_skills_and_every_table_is_a_function():
    assert len(SKILLS) >= 12


@pytest.mark.parametrize("name", SKILLS)
def test_same_seed_same_examples(name):
    first, again = (list(itertools.islice(get_skill(name).examples("train", 7), 20)) for _ in range(2))
    assert first == again
    assert all(example.messages[-1]["role"] == "assistant" and example.answer for example in first)


@pytest.mark.parametrize("name", [name for name, skill in SKILLS.items() if skill.splits])
def test_training_never_sees_a_held_out_prompt(name):
    train = {e.key for e in itertools.islice(get_skill(name).examples("train", 0), 300)}
    heldout = {e.key for e in heldout_examples(name, 20)}
    assert not train & heldout
    assert all(held_out(key) for key in heldout)


def test_the_mixture_keeps_held_out_prompts_out_and_every_skill_in():
    for phase in range(3):
        drawn = list(itertools.islice(mixture(0, [" piece"], phase=phase), 3000))
        assert {name for name, _ in drawn} == set(SKILLS)
        assert not any(SKILLS[name].splits and held_out(example.key) for name, example in drawn)


def test_grading_is_exact_but_for_white_space():
    assert grade("Paris", " Paris\n")
    assert not grade("Paris", "paris")
    assert not grade("Paris", "Paris.")


@pytest.mark.parametrize("name, solve", [
    ("sum", lambda key: str(sum(map(int, key.split("+"))))),
    ("sort", lambda key: " ".join(sorted(key.split(), key=int))),
    ("reverse", lambda key: " ".join(reversed(key.split()))),
    ("difference", lambda key: str(int(key.split("-")[0]) - int(key.split("-")[1]))),
])  # fmt: skip
def test_answers_are_right(name, solve):
    assert all(example.answer == solve(example.key) for example in heldout_examples(name, 30))


def test_a_summary_names_who_and_where():
    for seed in range(60):
        story = draw_story(random.Random(seed))
        text, summary = story.tell(random.Random(seed)), story.summary()
        assert story.plot in PLOTS and story.hero in ANIMALS
        assert all(word in summary and word in text for word in (story.hero, story.friend, story.place))
        assert " a a" not in text and " a o" not in text and " a e" not in text


def test_who_has_it_is_answered_from_the_text():
    asked = [example for example in heldout_examples("reading", 200) if example.kind == "who has a thing"]
    assert len(asked) > 10
    for example in asked:
        thing = example.prompt[-1]["content"].split("Who has the ")[1].removesuffix("?")
        (said,) = [s.removesuffix(".") for s in example.key.split(". ") if re.search(rf" {thing}\b", s)]
        assert example.answer == (said.split()[-1] if "belongs to" in said else said.split()[0])


def test_repeating_uses_every_punctuation_mark():
    said = "".join(e.answer for e in itertools.islice(get_skill("repeat").examples("train", 0), 2000))
    assert set(PUNCTUATION) <= set(said)


def test_an_unknown_skill_is_named():
    with pytest.raises(KeyError, match=r"no skill called 'cooking'.*capital"):
        get_skill("cooking")


def test_an_unknown_split_is_named():
    with pytest.raises(ValueError, match="'valid'"):
        next(get_skill("sum").examples("valid", 0))


def test_chance_says_each_of_its_answers_about_as_often():
    drawn = [
        e for e in itertools.islice(get_skill("unknown").examples("train", 0), 20_000) if e.kind == "chance decides"
    ]
    said = Counter(e.answer for e in drawn if e.prompt[0]["content"] == "Throw a die.")
    assert said.keys() == set("123456") and max(said.values()) < 2 * min(said.values())
    assert all(e.answer in CHANCES[e.prompt[0]["content"]] for e in drawn)


def test_what_nobody_can_know_has_no_one_answer():
    """The same question, drawn again, gets another answer: nothing about it is to be learned but how open it is."""
    kinds = {e.kind for e in itertools.islice(get_skill("unknown").examples("train", 0), 200)}
    assert len(kinds) == 5
    for skill in ("capital", "french"):
        known = {e.prompt[0]["content"] for e in itertools.islice(get_skill(skill).examples("train", 0), 2000)}
        asked = {e.prompt[0]["content"] for e in itertools.islice(get_skill("unknown").examples("train", 0), 2000)}
        assert not known & asked


def test_another_form_still_says_the_answer_to_the_same_question():
    rng = random.Random(0)
    for example in heldout_examples("capital", 40):
        other = in_another_form(rng, example, [" piece"])
        assert other.prompt == example.prompt and example.answer in other.answer


def test_the_mixtures_odd_share_comes_in_another_form_and_none_unasked():
    def odd(share: float) -> float:
        facts = [(n, e) for n, e in itertools.islice(mixture(0, [" piece"], odd=share), 8000) if n in TABLES]
        return sum(e.answer.lower() not in {v.lower() for v in TABLES[n].values()} for n, e in facts) / len(facts)

    assert odd(0.0) == 0
    assert 0.1 < odd(0.3) < 0.3  # now and then nothing is added


def test_old_skills_are_graded_on_facts_that_no_task_asks_for():
    for name, table in TABLES.items():
        shares = [for_tasks(fact_of(name, word)) for word in table]
        assert 0.3 < sum(shares) / len(shares) < 0.7
        assert not any(for_tasks(example.fact) for example in heldout_examples(name, 200))
    assert fact_of("french", "Hello") == fact_of("french", "hello") == "french/hello"
