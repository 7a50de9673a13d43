"""Answers are about the seed that was trained with, whatever the student is called by then."""

import pytest

from lessons.teaching import progress, stage, walk
from lessons.teaching.session import seed_of

ADA = seed_of("Ada")


@pytest.fixture
def session(watched):
    return stage.current()


def ask(question, session):
    """An exercise about what was trained, answered rightly; gives the seed that is kept with it."""
    assert stage.exercise(question, 1, "HINT").check(1)
    return progress.load(session.lesson)["exercises"][question]["seed"]


@pytest.fixture(autouse=True)
def typed(watched):
    watched[0].extend([""] * 9)  # questions are answered by `check`, as in a notebook


def test_a_name_before_the_training_gives_its_seed(session, capsys):
    walk.begin("lesson", "test")
    session.sign("Ada")
    assert (session.seed, ask("first?", session)) == (ADA, ADA) and not capsys.readouterr().out


def test_a_name_after_the_training_changes_nothing_until_it_is_trained_again(session, capsys):
    walk.begin("lesson", "test")
    assert session.seed == 0
    session.sign("Ada")
    assert "run the notebook from the top" in capsys.readouterr().out
    assert ask("first?", session) == 0 == session.seed
    walk.begin("lesson", "test")  # the first cell alone
    assert ask("second?", session) == 0
    assert session.seed == ADA and ask("third?", session) == ADA


def test_all_cells_run_again_with_a_name_are_of_the_name(session, capsys):
    """Not told to do what is being done, and what comes before the first training is not of the old seed either."""
    for name, seed in (("", 0), ("Ada", ADA)):
        walk.begin("lesson", "test")
        session.sign(name)
        assert ask("before?", session) == seed == session.seed
        assert ask("after?", session) == seed
    assert "run the notebook" not in capsys.readouterr().out


def test_a_question_is_of_what_was_measured_for_it(session):
    walk.begin("lesson", "test")
    session.sign("")
    assert session.seed == 0
    asked = stage.exercise("how many?", 1, "HINT")
    guessed = stage.predict("which?", ["one", "other"], exact=True)
    guessed.guess = "one"
    walk.begin("lesson", "test")
    session.sign("Ada")
    assert session.seed == ADA and asked.check(1)
    guessed.reveal(0)  # a guess is of what is measured afterwards
    kept = progress.load(session.lesson)
    assert kept["exercises"]["how many?"]["seed"] == 0
    assert kept["predictions"]["which?"]["seed"] == ADA


def test_an_answer_before_any_training_binds_nothing(session, capsys):
    assert ask("first?", session) == 0
    session.sign("Ada")
    assert session.seed == ADA and not capsys.readouterr().out


def test_a_model_or_data_of_ones_own_is_not_the_courses():
    assert not stage.Session().own and not stage.Session(model="embedded").own
    assert stage.Session(model="mine").own and stage.Session(data="mine.jsonl").own


@pytest.mark.parametrize("other", [{"quick": True}, {"own": True}])
def test_an_answer_about_another_training_counts_for_nothing(other):
    progress.note("lora", "exercises", "how many?", given="3", right=True, **other)
    progress.note("lora", "exercises", "how many?", given="4", right=False)
    kept = progress.load("lora")["exercises"]["how many?"]
    assert (kept["given"], kept["right"], kept["quick"], kept["own"]) == ("4", False, False, False)


@pytest.mark.parametrize("later", [{"quick": True, "seed": 7}, {"own": True, "seed": 7}, {"seed": 0}])
@pytest.mark.parametrize("kind", progress.KINDS)
def test_a_quick_look_takes_no_answer_about_the_courses_own_training(kind, later):
    progress.note("lora", kind, "how many?", given="12", right=True, seed=7)
    before = progress.load("lora")
    progress.note("lora", kind, "how many?", given="99", right=False, **later)
    assert progress.load("lora") == before
    progress.note("lora", kind, "how many?", given="13", right=True, seed=7)  # the training itself again
    assert (
        progress.load("lora")[kind]["how many?"] | {"given": "13", "tries": 2}
        == progress.load("lora")[kind]["how many?"]
    )


def test_an_answer_about_another_seed_counts_for_nothing():
    """Two students share an account: what was right for one is not yet right for the other."""
    progress.note("lora", "exercises", "how many?", given="3", right=True, seed=1)
    progress.note("lora", "exercises", "how many?", given="4", right=False, seed=2)
    kept = progress.load("lora")["exercises"]["how many?"]
    assert (kept["given"], kept["right"], kept["seed"], kept["tries"]) == ("4", False, 2, 1)
