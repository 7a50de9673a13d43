"""Every lesson runs: as a walkthrough, as a notebook, and its questions tell right answers from wrong ones."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from engine import InputError
from lessons import stage
from lessons.notebooks import FOLDER, lessons, make_notebook
from lessons.walk import read_cells

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("lesson", lessons())
def test_it_walks_through(lesson, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", f"lessons.{lesson}", "--auto", "--quick", "--no-film", "--out", str(tmp_path)],
        capture_output=True, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    pictures = sorted((tmp_path / f"{lesson}-1" / "pictures").glob("*.png"))
    assert pictures and all(path.stat().st_size > 5000 for path in pictures)
    assert all(str(path) in done.stdout.replace("\n", "") for path in pictures)
    assert "Measured:" in done.stdout and "The answer:" in done.stdout


@pytest.mark.parametrize("lesson", lessons())
def test_it_runs_as_a_notebook(lesson, tmp_path, monkeypatch):
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


@pytest.mark.parametrize("lesson", lessons())
def test_it_names_itself_and_begins_first(lesson):
    cells = list(read_cells((FOLDER / f"{lesson}.py").read_text(encoding="utf-8")))
    first = next(cell for cell in cells if cell.kind == "code")
    assert f'begin(globals(), lesson="{lesson}")' in first.text


def test_cells_keep_their_lines():
    cells = list(read_cells("# head\n# %% [markdown]\n# # Title\n# text\n\n# %%\nx = 1\n# %%\n\ny = 2\n"))
    assert [(cell.kind, cell.line) for cell in cells] == [("markdown", 3), ("code", 7), ("code", 9)]
    assert cells[0].text == "# Title\ntext" and cells[1].text == "x = 1"


def test_processes_that_a_cell_starts_do_not_run_the_lesson_again(tmp_path):
    """A film's workers are spawned, and a spawned process imports the main module."""
    lesson = tmp_path / "tiny.py"
    lesson.write_text(
        "# %%\nfrom lessons.walk import begin\n\nbegin(globals(), lesson='tiny')\n\n"
        "# %%\nfrom concurrent.futures import ProcessPoolExecutor\nfrom math import sqrt\n"
        "from multiprocessing import get_context\n\nprint('cell', 'ran')\n"
        "with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:\n"
        "    print('root', pool.submit(sqrt, 16).result())\n"
    )
    command = [sys.executable, str(lesson), "--auto", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("cell ran") == 1 and "root 4.0" in done.stdout


@pytest.fixture
def watched(tmp_path):
    """A stage with somebody there: what is typed is given, what is said is kept."""
    typed: list[str] = []
    said = io.StringIO()
    console = Console(file=said, width=100)
    console.input = lambda *_, **__: typed.pop(0)
    before = stage.current()
    stage.configure(stage.Stage(lesson="test", out=tmp_path, console=console, interactive=True))
    yield typed, said
    stage.configure(before)


def test_a_prediction_is_compared_with_what_was_measured(watched):
    typed, said = watched
    typed += ["seven", "3", "2"]
    guess = stage.predict("which?", ["only A", "only B"])
    assert guess.guess == "only B" and said.getvalue().count("a number from 1 to 2") == 2
    guess.reveal("only A")
    assert "Measured: only A - you predicted: only B." in said.getvalue()
    with pytest.raises(ValueError, match="none of the choices"):
        guess.reveal("neither")


def test_an_exercise_takes_right_answers_and_hints_after_wrong_ones(watched):
    typed, said = watched
    typed += ["much", "17", "0.39 %"]
    asked = stage.exercise("what share?", 0.390625, hint="divide")
    assert said.getvalue().count("Hint: divide") == 2 and "Right." in said.getvalue()
    assert asked.is_right("0.3906") and not asked.is_right("0.5") and not asked.is_right("")
    assert stage.Exercise("which?", "sums", "look").is_right(" Sums ")


def test_skipping_shows_the_answer(watched):
    typed, said = watched
    typed += [""]
    stage.exercise("how many?", 1024, hint="count")
    assert "The answer: 1,024" in said.getvalue()


def test_tables_and_text_are_shown_as_they_are(watched):
    _, said = watched
    stage.show("[not markup]", pd.DataFrame({"x": [0.123456, 2.0]}, index=pd.Index(["a", "b"], name="which")))
    assert "[not markup]" in said.getvalue() and "0.1235" in said.getvalue() and "which" in said.getvalue()


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "x-1").mkdir()
    assert stage.Stage(lesson="x", out=tmp_path).folder == tmp_path / "x-2"


def test_an_unknown_lesson_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no lesson called 'cooking'; there are:.*lora"):
        make_notebook("cooking", tmp_path)


def test_bad_options_of_the_walkthrough_get_one_line(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    done = subprocess.run(
        [sys.executable, "-m", "lessons.lora", "--auto", "--quick", "--no-film", "--out", str(blocked)],
        capture_output=True, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stdout + done.stderr
    assert "cannot be written" in done.stdout + done.stderr


def test_walkthroughs_and_notebooks_are_of_this_folder():
    assert Path(FOLDER).name == "lessons" and "lora" in lessons()
