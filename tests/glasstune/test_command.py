"""The one command: its help and lists load nothing heavy, its words complete, and what it says can be typed."""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from animations.studio.render import FORMATS
from engine.training.methods import METHODS
from glasstune.command import HOMES, commands, main, parser_of
from lessons.claims.run import BACKENDS
from visualize.theme import PALETTES, Theme

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "peft", "manim", "matplotlib", "scipy", "pandas")
LIGHT = [
    ["--help"], ["--version"], ["--print-completion", "bash"], ["film", "--list"], ["claims", "--list"], ["lesson"],
    *([name, "--help"] for name in HOMES),
]  # fmt: skip


def test_help_lists_and_completion_load_nothing_heavy():
    """One process for all of them: what one had loaded, the next would show."""
    code = f"""
import contextlib, io, json, sys
from glasstune.command import main
loaded = {{}}
for arguments in {LIGHT!r}:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            status = main(arguments)
        except SystemExit as stopped:
            status = stopped.code or 0
    assert status == 0 and said.getvalue().strip(), arguments
    loaded[" ".join(arguments)] = [name for name in {HEAVY!r} if name in sys.modules]
print(json.dumps(loaded))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert set(map(tuple, json.loads(done.stdout).values())) == {()}, done.stdout


@pytest.mark.parametrize("module", ["engine.finetune", "engine.rerun", "engine.inspect", "animations.render",
                                    "animations.slides", "animations.runs", "lessons", "lessons.notebooks"])  # fmt: skip
def test_the_modules_typed_with_python_m_are_as_light(module):
    code = f"""
import runpy, sys
sys.argv = ["x", "--help"]
try:
    runpy.run_module("{module}", run_name="__main__", alter_sys=True)
except SystemExit as stopped:
    assert not stopped.code
assert not [name for name in {HEAVY!r} if name in sys.modules]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and f"python -m {module}" in done.stdout, done.stderr


def test_every_line_of_the_list_of_commands_fits_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([]) == 0
    shown = capsys.readouterr().out
    for name, command in commands().items():
        assert any(line.split() == [name, *command.about.split()] for line in shown.splitlines()), name


def test_what_help_names_is_what_there_is():
    """These files load nothing, so they cannot ask; this asks for them."""
    helps = {
        (name, action.dest): action
        for name, command in commands().items()
        for action in options_of(command)
    }  # fmt: skip
    assert all(method in helps["finetune", "method"].help for method in METHODS)
    assert all(name in helps["film", "format"].help for name in FORMATS)
    assert all(name in helps["film", "theme"].help for name in PALETTES) and set(PALETTES) == set(get_args(Theme))
    assert tuple(helps["claims", "backend"].choices) == BACKENDS


def options_of(command):
    parser = argparse.ArgumentParser()
    command.options(parser)
    return parser._actions


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash here")
@pytest.mark.parametrize(
    ("typed", "offered"), [("ju", "judge"), ("finetune --learn", "--learning-rate"), ("claims --backend d", "dask")]
)
def test_bash_completes(typed, offered, capsys):
    with pytest.raises(SystemExit):
        parser_of(commands()).parse_args(["--print-completion", "bash"])
    words = ["glasstune", *typed.split()]
    ask = f"""
COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}; _shtab_glasstune; echo "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", capsys.readouterr().out + ask], capture_output=True, text=True)
    assert done.stdout.split() == [offered], done.stderr


def test_a_mistake_is_one_line_and_status_2(capsys):
    assert main(["inspect", "/nowhere/at/all"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    with pytest.raises(SystemExit) as stopped:
        main(["cook"])
    assert stopped.value.code == 2 and "invalid choice: 'cook'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["inspect", "audit", "evaluate", "judge", "data", "rerun", "compare", "page", "watch"])
def test_a_command_is_reached_with_what_it_takes(name, capsys):
    """Through the one command, whose parser has options of its own."""
    assert main([name, *["no-such-folder"] * (3 if name == "audit" else 2 if name == "judge" else 1)]) == 2
    assert "no-such-folder" in capsys.readouterr().err


def test_what_counts_something_is_never_negative(capsys):
    """Whole numbers of other kinds are checked where they are used."""
    others = {"seed", "limit", "max_new_tokens", "jobs", "start"}
    counted = 0
    for name, command in commands().items():
        parser = argparse.ArgumentParser()
        command.options(parser)
        for action in parser._actions:
            if action.type is int and name not in ("finetune", "preflight"):  # whose settings have a test of their own
                assert action.dest in others, (name, action.dest)
            if getattr(action.type, "__module__", "") != "engine.commands":
                continue
            counted += 1
            given = ["x" for one in parser._actions if not one.option_strings and one.nargs is None]
            with pytest.raises(SystemExit):
                parser.parse_args([*given, action.option_strings[0], "-1"])
            assert "-1 is less than" in capsys.readouterr().err
    assert counted >= 10
