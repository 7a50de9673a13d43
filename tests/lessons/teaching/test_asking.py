"""Questions tell right answers from wrong ones, in numbers, choices and code, and a student's answers are kept."""

import inspect
import json
import re
import sys

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter

from engine.data import Conversations
from engine.errors import InputError
from engine.models import load_model, load_tokenizer
from engine.training.settings import LEARNING_RATES, LEARNING_RATES_LARGE
from glasstune import LoRA
from lessons.__main__ import main
from lessons.claims.ledger import kept_rows
from lessons.teaching import asking, explore, progress, sentences, showing, stage
from lessons.teaching.coding import ask_in_terminal, without_answers
from lessons.teaching.written import complete
from visualize import plots


def test_a_prediction_is_compared_with_what_was_measured(watched):
    typed, said = watched
    typed += ["seven", "3", "2"]
    guess = stage.predict("which?", ["only A", "only B"])
    assert guess.guess == "only B" and said.getvalue().count("a number from 1 to 2") == 2
    guess.reveal("only A")
    assert "Measured: only A - you predicted: only B." in said.getvalue()
    kept = progress.load("test")["predictions"]["which?"]
    assert (kept["given"], kept["right"], kept["tries"], kept["seed"]) == ("only B", False, 1, 0)
    assert kept["first"] == kept["last"]
    with pytest.raises(ValueError, match="none of the choices"):
        guess.reveal("neither")
    guess.reveal(1)
    assert said.getvalue().rstrip().endswith("Measured: only B - as you predicted.")


def test_a_reveal_says_why_of_what_was_measured_and_of_the_guess(watched):
    typed, said = watched
    typed += ["1", "2"]
    choices = {"only A": "A's gradient has the factor B, which is zero.", "only B": "B's has the factor A."}
    stage.predict("which?", choices).reveal("only B")
    assert "Why: B's has the factor A.\nOn your guess: A's gradient has" in said.getvalue()
    right = stage.predict("which?", choices)
    right.reveal(1)
    assert right.verdict().split("\n") == ["Measured: only B - as you predicted.", "Why: B's has the factor A."]


def test_nothing_is_judged_by_a_tie_or_by_too_little_training(watched):
    typed, said = watched
    typed += ["1"] * 3
    stage.predict("which keeps most?", ["full", "lora"]).withhold("both kept all of it.")
    assert "Not decided: both kept all of it." in said.getvalue()
    stage.current().quick = True
    stage.predict("which learns more?", ["full", "lora"]).reveal("lora")
    assert "Measured: lora (but the quick preset trains too little" in said.getvalue()
    assert not progress.load("test")
    stage.predict("which moves first?", ["A", "B"], exact=True).reveal("B")
    assert "you predicted: A" in said.getvalue() and len(progress.load("test")["predictions"]) == 1


def test_what_follows_is_said_after_a_whole_training_only(watched):
    _, said = watched
    stage.conclude("so it is")
    stage.current().quick = True
    stage.conclude("so it is not")
    assert "so it is\n" in said.getvalue() and "so it is not" not in said.getvalue()
    assert "Nothing is concluded" in said.getvalue()


def test_a_leader_leads_by_more_than_chance():
    assert stage.leader({"full": 70, "lora": 80}, 5) == "lora"
    assert stage.leader({"full": 0.7, "lora": 0.8}, 0.05, lowest=True) == "full"
    assert stage.leader({"full": 100, "lora": 100}, 0) is None
    assert stage.leader({"full": 78, "lora": 80}, 5) is None and stage.leader({"full": 78}, 0) is None


def test_the_best_of_a_grid_lies_between_its_neighbours():
    losses = {9: 1.5, 1: 3.0, 3: 1.0, 27: 4.0}
    assert stage.around(losses, 0.1) == (1, 9)
    assert stage.around(losses, 0.5) == (1, 27), "what chance cannot tell from the best may be the best"
    assert stage.around(losses, 2.0) is None, "one of those is at the end of what was tried"
    assert stage.around({1: 1.0, 3: 2.0, 9: 3.0}, 0.1) is None and stage.around({1: 1.0}, 0.1) is None
    assert stage.inside(2, [1, 2, 3]) and not stage.inside(3, [1, 2, 3]) and not stage.inside(1, [1])


def test_a_critique_is_explained_with_its_answer(watched):
    typed, said = watched
    typed += ["1", "2"]
    stage.exercise("What is wrong?", "no room", "look at 100", choices=["the seeds", "no room"], why="A ceiling.")
    assert "Not yet. Hint: look at 100" in said.getvalue() and said.getvalue().count("Right. A ceiling.") == 1
    assert "The answer" not in said.getvalue()


def test_the_ledgers_rows_are_whole():
    row = sentences.Sentence("A claim.", "holds", "Measured: a share, in points (5 seeds)", ["full: 1 points: yes"])
    shown = sentences.Sentences([row], ["b"])
    assert str(shown).split("\n") == [
        "A claim. -> holds", "  Measured: a share, in points (5 seeds)", "    full: 1 points: yes", "",
        "Not yet tried: b (python -m lessons.claims b does it).",
    ]  # fmt: skip
    assert "- full: 1 points: yes" in shown._repr_markdown_()
    kept = [row for row in kept_rows() if row.conditions]
    for row, told in zip(kept, stage.ledger(*(row.id for row in kept)).rows, strict=True):
        assert row.effect in told.measured and row.unit in told.measured and row.verdict == told.verdict
        assert len(told.lines) == len(row.conditions) + len(row.missing)


def test_an_exercise_takes_right_answers_and_hints_after_wrong_ones(watched):
    typed, said = watched
    typed += ["much", "17", "0.39 %"]
    asked = stage.exercise("what share?", 0.390625, hint="divide")
    assert said.getvalue().count("Hint: divide") == 2 and "Right." in said.getvalue()
    assert asked.is_right("0.3906") and not asked.is_right("0.5") and not asked.is_right("")
    assert stage.Exercise("which?", "sums", "look").is_right(" Sums ")


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("1,5", [1.5]),
        ("1.5 %", [1.5]),
        ("1,500", [1.5, 1500]),
        ("12,345,678.5", [12345678.5]),
        ("\N{MINUS SIGN}3", [-3]),
        ("1,5,0", []),
        ("", []),
        ("much", []),
    ],
)
def test_a_number_is_read_as_either_half_of_the_world_writes_it(typed, meant):
    assert sorted(asking.numbers(typed)) == meant
    for number in meant:
        assert stage.Exercise("how many?", number, "count").is_right(typed)


@pytest.mark.parametrize("given", [(0, 39), (1, 0), (12, 345, 678), [1, 5], (0.5, 1)])
def test_several_numbers_are_no_answer_yet(watched, given):
    """As Python reads 0,39 or 1,000: which one was meant nobody can tell, so it is neither right, nor wrong, nor a try."""
    typed, said = watched
    typed += [""]
    asked = stage.exercise("what share?", 0.39, hint="divide")
    assert not asked.check(given) and "write 0.39 for 0,39" in said.getvalue()
    assert "Not yet" not in said.getvalue() and not progress.load("test")
    assert asked.check("0,39"), "typed as text it is one number"


@pytest.mark.parametrize("typed", ["9" * 5000, "\u00b2", "0", "-1", "3", "", "\ud800"])
def test_what_is_no_choice_is_none(typed):
    assert asking.chosen(typed, ["A", "B"]) is None
    assert not stage.Exercise("which?", "A", "look", choices=["A", "B"]).is_right(typed)


def test_a_cell_that_is_run_again_says_what_it_measured_now(watched):
    _, said = watched
    watched[0].append("1")
    asked = stage.predict("which?", ["A", "B"])
    asked.withhold("a tie")
    asked.reveal("B")
    assert said.getvalue().rstrip().endswith("Measured: B - you predicted: A.")
    asked.withhold("a tie")
    assert said.getvalue().rstrip().endswith("Not decided: a tie") and asked.measured is None


def test_a_prediction_made_late_is_compared_at_once(monkeypatch, watched):
    """In a notebook: run all, then choose, and choose again."""
    shown = []
    monkeypatch.setattr(asking, "in_notebook", lambda: True)
    monkeypatch.setattr(asking, "show_form", lambda form, _: shown.append(form))
    first = stage.predict("which?", ["only A", "only B"])
    other = stage.predict("how many?", ["one", "two"])
    other.reveal("two")
    buttons, said = shown[0].children
    buttons.value = "only A"
    assert said.value == "", "nothing was measured yet"
    first.reveal("only B")
    buttons.value = "only B"
    assert said.value == "Measured: only B - as you predicted."
    assert progress.load("test")["predictions"]["which?"]["tries"] == 2


def test_a_choice_is_taken_by_number_or_words(watched):
    typed, said = watched
    typed += ["3", "1", "2"]
    asked = stage.exercise("which?", "A", "look", choices=["B", "A"])
    assert said.getvalue().count("Not yet") == 2 and "  2. A" in said.getvalue()
    assert asked.is_right("2") and asked.is_right("a") and not asked.is_right("B")
    with pytest.raises(ValueError, match="none of the choices"):
        stage.exercise("which?", "C", "look", choices=["B", "A"])


def test_skipping_shows_the_answer(watched):
    typed, said = watched
    typed += [""]
    stage.exercise("how many?", 1024, hint="count")
    assert "The answer: 1,024" in said.getvalue()


STARTER = "def double(x):\n    ...  # your lines\n\n\nasked.check(double)"
SOLUTION = "def double(x):\n    return 2 * x"


def ask_double():
    def test(double):
        assert double(np.float64(3)) == 6, "3 should become 6"

    return stage.exercise_code("write double(x)", test, SOLUTION, hint="twice")


@pytest.mark.parametrize(
    "lines, verdict",
    [
        (["2 * x"], "Right."),
        (["y = x + x", "return y"], "Right."),
        (["def double(x):", "    return x + x"], "Right."),
        (["def double(x):", "    return x * 2", "asked.check(double)"], "Right."),
        (["return x"], "Not yet. 3 should become 6. Hint: twice"),
        (["return x y"], "Not yet. It raised SyntaxError"),
        (["return undefined"], "It raised NameError: name 'undefined' is not defined (line 2)"),
        (["def triple(x):", "    return 3 * x"], "There is no function called double."),
        (["nowhere.py"], "There is no file nowhere.py here."),
    ],
)
def test_code_typed_at_the_prompt_is_tried(watched, lines, verdict):
    typed, said = watched
    asked = ask_double()
    typed += [*lines, "", ""]
    ask_in_terminal(STARTER, {})
    assert verdict in " ".join(said.getvalue().split())
    assert asked.solved == (verdict == "Right.")
    assert "return 2 * x" in said.getvalue(), "the lesson's own answer is shown afterwards"


def test_code_is_read_from_a_file_and_an_editor(watched, tmp_path, monkeypatch):
    typed, said = watched
    (tmp_path / "mine.py").write_text("def double(x):\n    return x + x\n")
    typed += [str(tmp_path / "mine.py")]
    ask_double()
    ask_in_terminal(STARTER, {})
    editor = tmp_path / "editor.py"
    editor.write_text(f"import sys; open(sys.argv[1], 'w').write({SOLUTION!r})")
    monkeypatch.setenv("VISUAL", f"{sys.executable} {editor}")
    typed += ["e"]
    ask_double()
    ask_in_terminal(STARTER, {})
    assert said.getvalue().count("Right.") == 2 and not typed


def test_a_function_is_checked_as_a_notebooks_cell_does(watched):
    _, said = watched
    asked = ask_double()

    def stub(x): ...

    asked.check(stub)
    assert not asked.solved and "in place of the dots" in said.getvalue()
    asked.check(lambda x: 1 / 0)
    assert not asked.solved and "ZeroDivisionError" in said.getvalue()
    asked.check(lambda x: x + x)
    assert asked.solved and "Right." in said.getvalue()
    assert progress.count("test") == (1, 1)


def test_a_lesson_whose_own_solution_fails_stops(watched):
    with pytest.raises(AssertionError, match="own solution fails: one is two"):

        def test(f):
            assert f(1) == 2, "one is two"

        stage.exercise_code("write f", test, "def f(x):\n    return x", hint="")


def test_what_is_typed_becomes_a_function():
    starter = "def f(a, b):\n    ..."
    assert complete("a + b", starter) == "def f(a, b):\n    return a + b"
    assert complete("a +", starter) == "a +"


def test_answers_survive_and_only_numbers_may_differ(home):
    progress.note("lora", "exercises", "Of 0.31, 2e-3: what share?", given="1", right=True)
    progress.note("lora", "exercises", "Of 0.29, 1.5e-3: what share?", given="2", right=False)
    assert progress.count("lora") == (1, 1), "once right, it stays right"
    kept = json.loads((home / "lora.json").read_text())
    assert kept["exercises"]["Of # #: what share?"]["tries"] == 2
    progress.finish("lora")
    assert progress.load("lora")["finished"] and progress.count("lora") == (1, 1)


@pytest.mark.parametrize("broken", ["{", "[]", '{"exercises": []}', "\x00"])
def test_a_broken_file_is_set_aside_with_one_sentence(home, broken, capsys):
    home.mkdir()
    (home / "lora.json").write_text(broken)
    progress.note("lora", "exercises", "how many?", given="3", right=True)
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "lora.broken.json" in said
    assert (home / "lora.broken.json").read_text() == broken and progress.count("lora") == (1, 1)
    (home / "lora.json").write_text("{ again")
    assert progress.count("lora") == (0, 0)
    assert (home / "lora.broken.json").read_text() == "{ again"
    assert (home / "lora.broken.json.kept-1").read_text() == broken


def test_a_home_that_cannot_be_written_costs_one_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GLASSTUNE_HOME", str(tmp_path / "file" / "home"))
    progress.note("lora", "exercises", "how many?", given="3", right=True)
    assert "not kept" in capsys.readouterr().out


def test_the_course_is_listed_with_progress_and_forgotten_on_request(home, capsys):
    progress.note("lora", "exercises", "how many?", given="3", right=True)
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert (
        "1 of" in listed
        and re.search(r"machine +class", listed)
        and re.search(r"lora .*\d+ min", listed)
        and "--reset [lesson]" in listed
        and "glasstune lesson when" in listed
    )
    assert main(["--reset", "lora"]) == 0 and not (home / "lora.json").exists()
    assert main(["--reset"]) == 0
    assert capsys.readouterr().out == "Forgotten: lora\nThere was nothing to forget.\n"
    progress.note("mine", "exercises", "how many?", given="3", right=True)
    assert main(["--reset", "gone/mine.py"]) == 0 and capsys.readouterr().out == "Forgotten: mine\n"
    for wrong in (["--reset", "cooking"], ["cooking"], ["lora", "full"]):
        assert main(wrong) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ") and said.count("\n") == 1


def test_tables_and_text_are_shown_as_they_are(watched):
    _, said = watched
    stage.show("[not markup]", pd.DataFrame({"x": [0.123456, 2.0]}, index=pd.Index(["a", "b"], name="which")))
    assert "[not markup]" in said.getvalue() and "0.1235" in said.getvalue() and "which" in said.getvalue()


def test_the_code_that_is_shown_leaves_answers_out():
    source = "x = 1\n\n\ndef try_it(f):\n    assert f(x)\n\n\ndef kept(): ...\n\n\nasked = exercise_code('?', test=try_it)\nshow(x)"
    shown = without_answers(source)
    assert shown == "x = 1\n\ndef kept(): ...\n\nshow(x)"
    assert without_answers("exercise('?', answer=3,\n    hint='')") == ""
    assert without_answers("y = 2  # as it is") == "y = 2  # as it is"


def test_exploring_is_one_picture_in_a_terminal(watched, lora_run, tmp_path):
    stage.explore(plots.plot_delta, lora_run, name="delta", modules=lora_run.modules[3:])
    assert [path.name for path in tmp_path.glob("test-1/pictures/*")] == ["01-delta.png"]


def test_exploring_keeps_one_colour_scale_over_all_steps(watched, lora_run):
    """Else the first step is as vivid as the last, and nothing is seen to grow."""
    drawn = []

    def keep(run, **options):
        drawn.append(plots.plot_delta(run, **options))
        return drawn[-1]

    keep.__signature__ = inspect.signature(plots.plot_delta)
    for step in lora_run.steps[1:]:
        stage.explore(keep, lora_run, name="delta", steps=[step])
    limits = {ax.images[0].get_clim() for ax in drawn}
    assert len(drawn) > 1 and len(limits) == 1


def test_sliders_redraw_the_step_and_matrix_that_are_chosen(monkeypatch):
    shown, drawn = [], []
    monkeypatch.setattr(explore, "show_form", lambda form, *_: shown.append(form))

    def draw(module, step):
        drawn.append((module, step))
        return plt.subplots()[1]

    assert explore._sliders(draw, ["a", "b"], [0, 5])
    (box, picture) = shown[0].children
    slider, menu = box.children
    first = bytes(picture.value)
    slider.value, menu.value = 0, "b"
    assert drawn == [("a", 5), ("a", 0), ("b", 0)] and first.startswith(b"\x89PNG")


def test_a_lesson_is_about_what_the_teacher_brings(watched, tmp_path, own):
    (gpt2, qwen), file = own
    assert (stage.model(), stage.data("spanish"), stage.is_own()) == ("embedded", "spanish", False)
    assert stage.questions(["mine?"]) == ["mine?"] and stage.rate("lora") == LEARNING_RATES["lora"]
    stage.configure(stage.Session(model=str(gpt2), data=str(file)))
    assert (stage.model(), stage.data("spanish"), stage.is_own()) == (str(gpt2), str(file), True)
    assert len(set(stage.questions(["mine?"], 3))) == 3 and stage.rate("lora") == LEARNING_RATES_LARGE["lora"]
    names = stage.matrices(load_model(gpt2))
    assert names[0] == "transformer.h.0.attn.c_attn" and "lm_head" not in names and len(names) == 8
    wrapped = LoRA(r=2).prepare(qwen)
    assert stage.matrices(wrapped) == stage.matrices(load_model(qwen)) and len(stage.matrices(wrapped)) == 14


def test_examples_longer_than_a_training_reads_are_not_asked(watched, tmp_path, own):
    file = tmp_path / "mine.jsonl"
    long = [json.dumps({"instruction": f"{n} " * 600, "output": "red"}) + "\n" for n in range(30)]
    stage.configure(stage.Session(model=str(own[0][0]), data=str(file), console=stage.current().console, out=tmp_path))
    file.write_text(own[1].read_text() + "".join(long))
    task = stage.task_of("spanish", graded=True)
    assert len(task.train) + len(task.heldout) == 80 and task.heldout
    assert all(len(talk[0]["content"]) < 100 for talk in [*task.train, *task.heldout])
    said = " ".join(watched[1].getvalue().split())
    assert (
        said == "30 of the 110 examples of mine are longer than the 512 tokens that are read of one: they are left out."
    )
    assert len(stage.task_of("spanish").train) > len(task.train), "what is trained on alone may be cut"
    file.write_text("".join(long))
    with pytest.raises(InputError, match=r"30 of the 30 examples of mine are longer .* to learn from none is left"):
        stage.task_of("spanish", graded=True)


def test_answers_may_be_as_long_as_right_ones_and_cut_ones_are_marked():
    tokenizer = load_tokenizer("embedded")
    talk = [[{"role": "user", "content": "?"}, {"role": "assistant", "content": " ".join(["red"] * 40)}]]
    whole = len(tokenizer(" ".join(["red"] * 40), add_special_tokens=False)["input_ids"])
    assert stage.answer_length(tokenizer, Conversations("long", talk, [])) >= 1.5 * whole
    assert stage.answer_length(tokenizer, Conversations("none", [], [])) == 16
    said = stage.cut_marked(tokenizer, ["red red red", "red"], 3)
    assert said[0].startswith("red red red [") and "cut at 3 tokens" in said[0] and said[1] == "red"


def test_skills_that_were_not_graded_are_empty(lora_run, monkeypatch):
    assert "spanish" not in stage.old_skills(lora_run) and len(stage.new_skill(lora_run)) == len(lora_run.skills)
    monkeypatch.setattr(type(lora_run), "skills", property(lambda _: pd.DataFrame()))
    with pytest.raises(InputError, match="no held-out answer of spanish fits whole"):  # they have a loss
        stage.new_skill(lora_run, graded=True)
    assert stage.new_skill(lora_run).empty, "a lesson that can do without goes on"
    monkeypatch.setattr(type(lora_run), "graded", property(lambda _: pd.DataFrame()))
    assert stage.old_skills(lora_run).empty and stage.new_skill(lora_run).empty


def test_a_form_has_a_plain_form_for_pages_without_a_kernel(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    showing.show_form(ipywidgets.Label("x"), "  1. x", b"png")
    assert shown[0]["text/plain"] == "  1. x" and shown[0]["image/png"] == "cG5n"
    assert "application/vnd.jupyter.widget-view+json" in shown[0]


def test_a_notebook_does_not_print_the_answer():
    assert DisplayFormatter().format(stage.Exercise("how many?", 3, "count")) == ({}, {})
