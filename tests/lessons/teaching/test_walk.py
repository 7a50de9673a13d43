"""A lesson is walked through from outside, in a namespace of its own: of the course, or somebody's own file."""

import os
import re
import subprocess
import sys

import pytest

from glasstune import InputError
from lessons.commands import lesson
from lessons.teaching import progress, stage, walk
from lessons.teaching.course import FOLDER, file_of, in_fives, standing
from lessons.teaching.percent import Cell

BEGIN = "# %% tags=[\"hide-input\"]\nfrom lessons.teaching.walk import begin\n\nbegin(__name__, lesson='tiny')\n\n"
SPAWNS = (
    "# %%\nfrom concurrent.futures import ProcessPoolExecutor\nfrom math import sqrt\n"
    "from multiprocessing import get_context\n\nprint('cell', 'ran', __name__)\n"
    "with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:\n"
    "    print('root', pool.submit(sqrt, 16).result())\n"
)


def python(*arguments, **options):
    command = [sys.executable, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, **options)


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.py"
    path.write_text(BEGIN + SPAWNS)
    return path


@pytest.mark.parametrize("how", ["as a program", "from outside"])
def test_processes_that_a_cell_starts_do_not_run_the_lesson_again(how, tiny, tmp_path):
    """A film's workers are spawned, and a spawned process imports the main module."""
    done = python(*([tiny] if how == "as a program" else ["-m", "lessons", tiny]), "--auto", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("cell ran lesson") == 1 and "root 4.0" in done.stdout
    assert "begin(" not in done.stdout, "plumbing is not shown"


def test_a_lesson_is_not_imported():
    with pytest.raises(ImportError, match="run, not imported: python -m lessons lora"):
        walk.begin("lessons.lora", lesson="lora", place=3)


def test_help_and_the_list_load_no_model_library():
    code = (
        "import runpy, sys\nsys.argv = ['lessons', *sys.argv[1:]]\n"
        "try:\n    runpy.run_module('lessons', run_name='__main__')\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(sorted({'torch', 'transformers', 'matplotlib', 'pandas', 'manim'} & set(sys.modules)))"
    )
    for arguments in ([], ["--help"], ["lora", "--help"]):
        done = python("-c", code, *arguments)
        assert done.stdout.rstrip().endswith("[]"), done.stdout + done.stderr


def test_a_file_of_ones_own_needs_no_first_cell(tmp_path, capsys):
    mine = tmp_path / "mine.py"
    mine.write_text("# %% [markdown]\n# # Mine\n# %%\ndef twice(x):\n    return 2 * x\n# %%\nprint(twice(21))\n")
    assert walk.main(str(mine), ["--auto"]) == 0
    said = capsys.readouterr().out
    assert "Mine" in said and "\n42\n" in said


def test_tracebacks_keep_the_files_lines(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text("# %% [markdown]\n# # Mine\n\n# %%\nx = 1\nraise KeyError(x)\n")
    with pytest.raises(KeyError) as raised:
        walk.main(str(mine), ["--auto"])
    assert (raised.traceback[-1].path, raised.traceback[-1].lineno + 1) == (mine, 6)


def test_one_goes_on_at_a_cell(tmp_path, capsys):
    mine = tmp_path / "mine.py"
    mine.write_text("# %%\nfrom lessons.teaching.stage import show\n\nx = 20\nshow('first')\n# %%\nshow(f'{x + 3}')\n")
    assert walk.main(str(mine), ["--auto", "--from", "2"]) == 0
    said = capsys.readouterr().out
    assert "23" in said and "first" not in said
    with pytest.raises(InputError, match=r"cells 1 to 2; --from 3 is none"):
        walk.main(str(mine), ["--from", "3"])


def test_ctrl_c_says_how_to_go_on_and_keeps_the_place(tmp_path, capsys, monkeypatch):
    mine = tmp_path / "mine.py"
    mine.write_text("# %%\nx = 1\n# %%\nraise KeyboardInterrupt\n")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("rich.console.Console.input", lambda *_, **__: "")
    assert walk.main(str(mine), ["--quick", "--from=1", "--out", str(tmp_path)]) == 130
    said = " ".join(capsys.readouterr().out.split())
    again = f"python -m lessons {mine} --quick --out {tmp_path} --from 2"
    assert f"Stopped in cell 2 of 2. To go on there: {again}" in said
    assert progress.load("mine")["stopped"] == 2
    progress.finish("mine")
    assert "stopped" not in progress.load("mine")


def test_ctrl_c_while_catching_up_keeps_the_place(tmp_path, capsys, monkeypatch):
    mine = tmp_path / "mine.py"
    mine.write_text("# %%\nx = 1\n# %%\nraise KeyboardInterrupt\n# %%\nx = 2\n# %%\nx = 3\n")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert walk.main(str(mine), ["--from", "4"]) == 130
    assert "Stopped in cell 4 of 4." in capsys.readouterr().out
    assert progress.load("mine")["stopped"] == 4


def test_the_list_says_how_to_go_on_as_it_was_begun(tmp_path, monkeypatch):
    """With the same student, model and data: else the numbers are others."""
    mine = tmp_path / "lora.py"
    mine.write_text("# %%\nx = 1\n# %%\nraise KeyboardInterrupt\n")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("rich.console.Console.input", lambda *_, **__: "")
    monkeypatch.setenv("LESSON_DATA", "my data.jsonl")
    assert walk.main(str(mine), ["--student", "Ada L"]) == 130
    assert standing("lora").endswith(
        "to go on: glasstune lesson lora --data 'my data.jsonl' --student 'Ada L' --from 2"
    )
    progress.finish("lora")
    assert "--from" not in standing("lora") and "options" not in progress.load("lora")


def test_minutes_are_told_in_fives():
    assert [in_fives(minutes) for minutes in (0.0, 1.0, 7.4, 7.6, 52.4, 52.6)] == [5, 5, 5, 10, 50, 55]


def test_a_lesson_of_the_course_is_called_by_its_name_however_it_was_begun(tiny):
    assert lesson._called(str(FOLDER / "lora.py")) == lesson._called("lora") == "lora"
    assert lesson._called(str(tiny)) == str(tiny)


def test_a_model_of_ones_own_is_named_again(tmp_path, capsys, monkeypatch):
    """It may have been named by a variable of the command before, which is gone."""
    mine = tmp_path / "mine.py"
    mine.write_text("# %%\nraise KeyboardInterrupt\n")
    monkeypatch.setenv("LESSON_MODEL", "mine/model")
    assert walk.main(str(mine), ["--auto"]) == 130
    assert "--auto --model mine/model --from 1" in " ".join(capsys.readouterr().out.split())


def test_long_prose_is_shown_by_the_screen(watched, tmp_path):
    typed, said = watched
    session = stage.current()
    session.console.size = (60, 12)
    cells = [Cell("markdown", "\n\n".join(f"line {n}" for n in range(12)), 1)]
    typed += ["", ""]
    walk.Walk(tmp_path, cells, session).go(1)
    assert not typed, "two pauses, for 23 lines on screens of ten"
    assert [int(n) for n in re.findall(r"line (\d+)", said.getvalue())] == list(range(12))


def test_what_is_no_lesson_gets_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"no lesson called 'cooking'; there are:.*lora.*mine\.py"):
        file_of("cooking")
    with pytest.raises(InputError, match="there is no file"):
        file_of(str(tmp_path / "mine.py"))
    (tmp_path / "plain.py").write_text("x = 1\n")
    (tmp_path / "bytes.py").write_bytes(b"\xff# %%\n")
    for name, why in (("plain.py", "has no cells"), ("bytes.py", "cannot be read")):
        with pytest.raises(InputError, match=why):
            file_of(str(tmp_path / name))
    assert file_of("lora") == FOLDER / "lora.py"
