"""A program is translated in place: what is said, and not a byte of anything else."""

import ast
import io
import re
import tokenize
from tokenize import COMMENT

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.language.source import Prose, filled, messages, translate
from lessons.teaching.course import FOLDER, lessons
from lessons.teaching.language import PROSE
from lessons.teaching.percent import read_cells

SAYS = Prose(frozenset({"ask", "tell"}), frozenset({"name"}))
PROGRAM = """\
# %% [markdown]
# # A title
#
# A paragraph of
# two lines, with `code` in it.
#
#     x = not prose
#
# - one point
# - another, which goes
#   on

# %%
none = ask("how many?", {"none": "because", f"at least {n + 1}": "that many"}, name="a file")  # a comment
configure(bias="none", mode="not said")
found = {0: "none"}[len(things)]
tell("a sentence that"
     f" goes on for {len(things):,} "
     "lines", table.sort("by this"), found if found == "told" else "untold")
assert found, "it was found"
frame = DataFrame({"the count": [1], "who": ["nobody here"]})
"""


def shouted(text: str) -> str:
    """Another text with the same fields."""
    return re.sub(r"\{[^}]*\}|[^{]+", lambda part: part[0] if part[0][0] == "{" else part[0].upper(), text)


def test_what_is_said_is_found_and_nothing_else():
    assert messages(PROGRAM, SAYS) == [
        "A title", "A paragraph of two lines, with `code` in it.", "one point", "another, which goes on",
        "how many?", "none", "because", "at least {n + 1}", "that many",
        "a sentence that goes on for {len(things):,} lines", "untold", "it was found",
        "the count", "who", "nobody here",
    ]  # fmt: skip


def test_it_is_replaced_where_it_stands_and_lines_stay_lines():
    said = translate(PROGRAM, SAYS, shouted)
    lines = said.split("\n")
    assert len(lines) == len(PROGRAM.split("\n"))
    assert lines[:6] == [
        "# %% [markdown]",
        "# # A TITLE",
        "#",
        "# A PARAGRAPH OF TWO",
        "# LINES, WITH `CODE` IN IT.",
        "#",
    ]
    assert lines[6] == "#     x = not prose" and lines[8:11] == ["# - ONE POINT", "# - ANOTHER,", "#   WHICH GOES ON"]
    assert 'name="a file")  # a comment' in said and 'bias="none", mode="not said"' in said
    assert 'found = {0: "NONE"}' in said, "an answer is looked up among the choices"
    assert 'table.sort("by this")' in said and 'found == "told" else "UNTOLD"' in said
    assert '{"the count": [1], "who": ["NOBODY HERE"]}' in said, "headings are keys"
    given = next(
        node for node in ast.walk(ast.parse(said)) if isinstance(node, ast.JoinedStr) and "SENTENCE" in ast.dump(node)
    )
    assert eval(ast.unparse(given), {"things": "xy", "len": len}) == "A SENTENCE THAT GOES ON FOR 2 LINES"


@pytest.mark.parametrize("lesson", lessons())
def test_a_lesson_that_is_not_translated_stays_byte_for_byte(lesson):
    source = (FOLDER / f"{lesson}.py").read_text(encoding="utf-8")
    assert translate(source, PROSE, lambda text: text) == source


class Unsaid(ast.NodeTransformer):
    """A program without what is said in it: a text of `known` is empty, and an f-string is its fields."""

    def __init__(self, known):
        self.known = known

    def visit_Constant(self, node):
        return ast.Constant("") if node.value in self.known else node

    def visit_JoinedStr(self, node):
        return [ast.unparse(part) for part in node.values if isinstance(part, ast.FormattedValue)]


def unsaid(source, known):
    """The program of a lesson, and its comments, without what is said."""
    code = "\n".join(cell.text for cell in read_cells(source) if cell.kind != "markdown")
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return ast.dump(Unsaid(known).visit(ast.parse(source))), [one.string for one in tokens if one.type == COMMENT]


@pytest.mark.parametrize("lesson", lessons())
def test_of_a_lesson_nothing_but_what_is_said_changes(lesson):
    source = (FOLDER / f"{lesson}.py").read_text(encoding="utf-8")
    known = messages(source, PROSE)
    said = translate(source, PROSE, lambda text: f"Ein {text}")
    assert unsaid(said, {*known, *(f"Ein {text}" for text in known)}) == unsaid(source, set(known))
    assert len(said.split("\n")) == len(source.split("\n"))


def test_a_translation_that_lost_a_field_is_not_used():
    source = 'tell(f"{a} of {b}")\n'
    assert translate(source, SAYS, lambda _: "von {b}") == source
    assert translate(source, SAYS, lambda _: "{b}, davon {a}") == 'tell(f"{b}, davon {a}")\n'


def test_quotes_braces_and_backslashes_are_text():
    source = "tell('plain', f'{x[\"k\"]} with field')\n"
    said = translate(source, SAYS, lambda text: text.replace("plain", 'a "b" \\ {c}').replace("field", '"q" \\ {{d}}'))
    told = []
    exec(said, {"tell": lambda *texts: told.extend(texts), "x": {"k": 1}})
    assert told == ['a "b" \\ {c}', '1 with "q" \\ {d}']


@given(st.text(st.sampled_from("ab {}-#1. "), min_size=1), st.integers(1, 5))
def test_lines_hold_the_whole_text_and_break_between_words_only(text, count):
    parts = filled(text, count)
    assert "".join(parts) == text and len(parts) <= count
    assert not any(re.match(r"([-+*>]|#+|\d+\.) ", part) for part in parts[1:])


FILM = """\
class Named(Card):
    title = "A title here"
    shows = "a run"

    def asked(self) -> str:
        kind = "not said"
        if kind:
            return f"One of {self.count:,} answers"
        return "none at all"

    def count(self) -> int:
        return len("not this")

    def construct(self):
        ask(self.asked())
        table = Series("no table", self.asked())
"""


def test_a_film_says_its_titles_and_what_functions_return():
    prose = Prose(frozenset({"ask"}), titles=frozenset({"title"}), returns=True, tables=False)
    assert messages(FILM, prose) == ["A title here", "One of {self.count:,} answers", "none at all"]
    changed = [line for line in translate(FILM, prose, shouted).split("\n") if line not in FILM.split("\n")]
    assert [line.strip() for line in changed] == [
        'title = "A TITLE HERE"', 'return f"ONE OF {self.count:,} ANSWERS"', 'return "NONE AT ALL"',
    ]  # fmt: skip
    assert messages(FILM, SAYS) == ["no table"]
