"""What a student wrote is kept with what it needs, runs alone, and is text where it is no Python."""

import functools
import linecache

import pytest

from lessons.teaching.written import complete, names_in, source_of

CELL = """\
import math
from statistics import mean as average

import json

HALF, unused = 0.5, "UNUSED"


@lambda function: function
def root(x):
    return math.sqrt(x)  # a comment


def wanted(x):
    def inside():
        return root(x) * HALF

    return inside() + average([x])


print(json.dumps("said"))
"""


def cell(source, name="wanted"):
    """A function of a cell, as a notebook has it: its lines are known, though no file holds them."""
    linecache.cache["a cell"] = (len(source), None, source.splitlines(keepends=True), "a cell")
    there = {"__name__": "lesson"}
    exec(compile(source, "a cell", "exec"), there)
    return there[name]


def alone(text, name="wanted"):
    """The function that these lines define, with nothing else there."""
    there = {}
    exec(text, there)
    return there[name]


def test_a_function_is_kept_with_what_it_needs_of_its_cell(capsys):
    text = source_of(cell(CELL), "wanted")
    capsys.readouterr()
    assert alone(text)(16.0) == 4 * 0.5 + 16
    assert not capsys.readouterr().out and "json" not in text and "# a comment" in text


def test_a_function_needs_nothing_of_what_it_does_not_name():
    assert source_of(cell("import math\n\n\ndef wanted(math):\n    return math"), "wanted") == (
        "def wanted(math):\n    return math"
    )


@pytest.mark.parametrize(
    "lines, called", [("def mine(x):\n    return 2 * x", "mine"), ("wanted = lambda x: 2 * x", "wanted")]
)
def test_it_is_called_as_it_was_asked_for(lines, called):
    text = complete(source_of(cell(lines, called), "wanted"), "def wanted(x): ...")
    assert alone(text)(3) == 6


def test_what_has_no_lines_is_said_to_have_none():
    def itself(): ...

    itself.__wrapped__ = itself
    for function in (itself, len, functools.partial(len), alone("def wanted(): ...")):
        assert source_of(function, "wanted") == ""


def test_a_line_that_checks_is_left_out():
    text = complete("def wanted(x):\n    return x\n\n\nasked.check(wanted)", "def wanted(x): ...")
    assert alone(text)(3) == 3 and "check" not in text


@pytest.mark.parametrize(
    "text", ["\ud800", "x = '\ud800'", "\0", "(" * 9000, "-" * 9000 + "1", "1" + "+1" * 50_000, "x y"]
)
def test_what_is_no_python_is_text(text):
    assert complete(text, "def wanted(x): ...") == text
    assert names_in(text) == set()
