"""Text from anywhere is shown and never obeyed, in whatever a terminal is given; and nothing prints past the door."""

import ast
import io
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from rich.markdown import Markdown
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from engine.terminal import Terminal, note, progress_bar, say

ROOT = Path(__file__).parents[2]
HOSTILE = ["[/]", "[/x]", "[a-z]", r".*\.[qkvo]_proj", "run [v2]", "[link=http://x]y[/link]", "\x1b]52;c;aGk=\x07",
           "\x1b[2J", "\u202egnp.exe", "\0", "\x9b31m", ":smile:", "a\rb", "\u2028"]  # fmt: skip
STEERS = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def drawn(thing, colour=False) -> str:
    out = io.StringIO()
    Terminal(file=out, width=200, force_terminal=colour).print(thing)
    return out.getvalue()


def as_table(text):
    table = Table(text, title=text, caption=text)
    table.add_row(text)
    return table


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("made", [str, Text, as_table, Rule, Panel, Markdown], ids=lambda made: made.__name__)
def test_whatever_is_drawn_steers_nothing(text, made):
    said = drawn(made(text))
    assert not any(unicodedata.category(c) in STEERS for c in said if c != "\n")
    if made in (str, Text, as_table) and text.isprintable():
        assert text in said, "square brackets are text, not markup"


def test_colours_are_still_ours():
    assert drawn(Text("x", "bold red"), colour=True).startswith("\x1b[1;31mx")
    assert "\x1b[2J" not in drawn(Text("\x1b[2J", "bold"), colour=True)


def test_lines_notes_and_bars(capsys):
    say("a\x1b[2Jb\nc")
    note("d\x1b[2J")
    progress_bar(title="e\x1b[2J", total=1).close()
    said = capsys.readouterr()
    assert said.out.startswith("a\\x1b[2Jb\nc\n") and "\x1b[2J" not in said.out + said.err.replace("\x1b[A", "")


@pytest.mark.parametrize("folder", ["engine", "visualize", "animations", "lessons", "glasstune"])
def test_nothing_prints_past_the_door(folder):
    # The front door says an error before it knows that `engine` is ours.
    doors = {ROOT / name for name in ("engine/terminal.py", "engine/errors.py", "glasstune/command.py")}
    past = []
    for path in (ROOT / folder).rglob("*.py"):
        if path in doors:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if name in ("print", "tqdm", "tqdm.write", "Console"):
                    past.append(f"{path.relative_to(ROOT)}, line {node.lineno}: {name}")
    assert not past, "use engine.terminal instead"


def test_a_stream_that_cannot_show_it_is_no_traceback(tmp_path):
    """An old terminal, or a pipe to a file."""
    import os

    done = subprocess.run(
        [sys.executable, "-m", "engine.inspect", str(tmp_path / "größe 漢字")], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr and "gr\\xf6\\xdfe" in done.stderr
