"""Every lesson runs: as a walkthrough on the embedded model, and as a notebook on a teacher's own model and data.

The same cells are in both, so each form is run with one of the two: that keeps the suite short.
"""

import ast
import re
from pathlib import Path

import pytest

from glasstune import InputError, Run
from lessons.claims.ledger import CLAIMS
from lessons.handout.notebooks import make_notebook
from lessons.teaching import stage
from lessons.teaching.course import FOLDER, lessons
from lessons.teaching.percent import read_cells
from tests.programs import run_code, run_module


@pytest.mark.parametrize("lesson", lessons())
def test_it_walks_through(lesson, tmp_path):
    done = run_module(f"lessons.{lesson}", "--auto", "--quick", "--no-film", "--out", tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "Warning" not in done.stderr
    pictures = sorted((tmp_path / f"{lesson}-1" / "pictures").glob("*.png"))
    assert pictures and all(path.stat().st_size > 5000 for path in pictures)
    assert all(str(path) in done.stdout.replace("\n", "") for path in pictures)
    assert "Measured:" in done.stdout and "The answer:" in done.stdout
    if lesson == "lora":  # `make lora` ends with a film of these very runs
        pytest.importorskip("manim", reason="films need the extra 'film'")
        from animations.studio.scenes import chosen_scenes, runs_of

        first, second = (Run.load(tmp_path / "lora-1" / name) for name in ("first", "second"))
        assert [*runs_of("lora", first, {"pirate": second}, chosen_scenes("lora", None))] == ["lora", "pirate"]


# As of a large model: its runs have room for sketches of most matrices only.
LITTLE_ROOM = """
import engine.quietly
import engine.recording.recorder as recorder
from lessons.teaching.walk import main

recorder.parse_bytes = lambda _: {room}
raise SystemExit(main({lesson!r}, ["--auto", "--quick", "--no-film", "--out", {out!r}]))
"""


@pytest.fixture
def of_a_large_model(tmp_path):
    """of_a_large_model(lesson): what a lesson says whose runs have room for sketches of most matrices only."""

    def walk(lesson, room=6_000_000):
        done = run_code(LITTLE_ROOM.format(lesson=lesson, room=room, out=str(tmp_path)))
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
        return " ".join(done.stdout.split())

    return walk


@pytest.mark.parametrize("lesson", ["full", "batches"])
def test_single_weights_are_looked_at_where_they_were_kept(lesson, of_a_large_model):
    said = of_a_large_model(lesson)
    looked_at, of = map(int, re.search(r"(\d+) of (\d+) matrices were kept weight by weight", said).groups())
    assert 0 < looked_at < of
    if lesson == "full":
        assert re.search(r"Not decided: of all weights it may be anything from \d+% to 100%", said)


def test_no_rank_is_told_of_sketches(of_a_large_model):
    said = of_a_large_model("knobs", room=1_500_000)
    assert "Not decided: of a model this large only the strongest directions" in said
    assert re.search(r"\d+ of \d+ matrices need more directions than were kept", said)
    assert not re.search(r"the median \d|change has rank \d", said)


@pytest.mark.parametrize(
    "lesson, left_out",
    [("evaluation", r"cannot be asked: of \d+ of the \d+ matrices"), ("data", r'(?<!")No picture of its tokens')],
)
def test_no_model_is_made_again_from_sketches(lesson, left_out, of_a_large_model):
    assert re.search(left_out, of_a_large_model(lesson))


@pytest.mark.parametrize("lesson", lessons())
def test_it_runs_as_a_notebook_on_a_teachers_own_model_and_data(lesson, tmp_path, monkeypatch, own, quick_kernel):
    model, data = own
    monkeypatch.setenv("LESSON_MODEL", str(model[lessons().index(lesson) % 2]))
    monkeypatch.setenv("LESSON_DATA", str(data))
    monkeypatch.setenv("GLASSTUNE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    path = make_notebook(lesson, tmp_path, quick=True)
    import nbformat

    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    kinds = {kind for cell in cells for output in cell.outputs for kind in output.get("data", {})}
    assert {"image/png", "text/html"} <= kinds
    streams = [output.text for cell in cells for output in cell.outputs if output.get("name") == "stderr"]
    assert not [text for text in streams if "Warning" in text]
    assert list((tmp_path / "runs").glob(f"{lesson}-1/pictures/*.png"))
    if lesson == "forgetting":  # what another model was taught nobody knows: it is asked the two in two ways
        said = " ".join(
            str([*output.get("data", {}).values(), output.get("text")]) for cell in cells for output in cell.outputs
        )
        assert "of your model patterns were asked to the letter, and facts among four" in said
    assert cells[0].id == "install" and "--source" in cells[0].source and not cells[0].outputs
    folded = [cell for cell in cells if cell.metadata.get("jupyter", {}).get("source_hidden")]
    assert folded and all(
        re.search("exercise|predict", cell.source) or "hide-input" in cell.metadata["tags"] for cell in folded
    )


def test_batches_says_how_many_examples_it_takes(tmp_path, own):
    model, data = own[0][0], tmp_path / "few.jsonl"
    data.write_text("".join(own[1].read_text().splitlines(keepends=True)[:30]))
    options = ("--auto", "--quick", "--no-film", "--out", tmp_path, "--model", model, "--data", data)
    done = run_module("lessons.batches", *options)
    assert done.returncode == 2 and "Traceback" not in done.stdout + done.stderr
    assert "batches of up to 64 examples, and few has 27 to learn from" in done.stderr


@pytest.mark.parametrize("lesson", lessons())
def test_it_names_itself_and_begins_first(lesson):
    cells = list(read_cells((FOLDER / f"{lesson}.py").read_text(encoding="utf-8")))
    first = next(cell for cell in cells if cell.kind == "code")
    assert re.search(rf'begin\(__name__, lesson="{lesson}"(, place=\d+)?\)', first.text)


@pytest.mark.parametrize("lesson", lessons())
def test_each_prediction_has_a_name_of_its_own(lesson):
    """Else, in a notebook that was run, choosing an earlier answer would be compared with what a later one measured."""
    asked = re.findall(r"^ *(\w+) = predict\(", (FOLDER / f"{lesson}.py").read_text(encoding="utf-8"), re.MULTILINE)
    assert asked and len(set(asked)) == len(asked)


def calls_in(lesson, name):
    """The calls of a function in a lesson's file."""
    tree = ast.parse((FOLDER / f"{lesson}.py").read_text(encoding="utf-8"))
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == name]


@pytest.mark.parametrize("lesson", lessons())
def test_every_choice_of_a_prediction_has_its_reason(lesson):
    given = [call.args[1] for call in calls_in(lesson, "predict")]
    assert given and all(isinstance(choices, ast.Dict | ast.Call) for choices in given)
    reasons = [value for choices in given if isinstance(choices, ast.Dict) for value in choices.values]
    assert all(not isinstance(reason, ast.Constant) or len(reason.value) > 20 for reason in reasons)


@pytest.mark.parametrize("lesson", lessons())
def test_the_claims_that_a_lesson_shows_are_in_the_ledger(lesson):
    shown = [name.value for call in calls_in(lesson, "ledger") for name in call.args]
    assert shown and set(shown) <= set(CLAIMS)


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "x-1").mkdir()
    assert stage.Session(lesson="x", out=tmp_path).folder == tmp_path / "x-2"


def test_an_unknown_lesson_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no lesson called 'cooking'; there are:.*lora"):
        make_notebook("cooking", tmp_path)


def test_bad_options_of_the_walkthrough_get_one_line(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    done = run_module("lessons.lora", "--auto", "--quick", "--no-film", "--out", blocked)
    assert done.returncode == 2 and "Traceback" not in done.stdout + done.stderr
    assert "cannot be written" in done.stdout + done.stderr


def test_walkthroughs_and_notebooks_are_of_this_folder():
    assert Path(FOLDER).name == "lessons" and "lora" in lessons()
