"""A stranger's regular expression is counted before it is used: those that people write pass, those that hang do not."""

import math
import re

import pytest

from engine.errors import InputError
from engine.evaluate.probes import general
from engine.patterns import check, check_by_trying, check_form, fits, ways

NAMES = [f"model.layers.{n}.self_attn.q_proj" for n in range(200)]


@pytest.mark.parametrize("pattern", [
    "q_proj", r"^model\.layers\.0\.self_attn", r".*\.[qkvo]_proj", r"layers\.(0|1|2|3|4|5|6|7|8|9|10|11)\..*(q|v)_proj",
    r"model\.layers\.[0-9]+\.mlp\..*", r"(.*\.)?(q_proj|v_proj)$", r"(?:self_attn|mlp)\.\w+",
])  # fmt: skip
def test_patterns_that_people_write_are_allowed(pattern):
    check([pattern], NAMES, "here")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("pattern", [
    r"(a+)+$", r"(a|a)*$", r"(a*)*b", r"(.*a){20}", "a?" * 40 + "a" * 40, r"(a|b|ab)*c", ".*" * 12 + "x", r"(\w+\s?)*$",
    r"(?=(a+))\1", r"(a)\1", "((a{0,50}){0,50}){0,50}", "(a|aa)" * 60, "x" * 5000,
])  # fmt: skip
def test_patterns_that_could_hang_are_refused(pattern):
    with pytest.raises(InputError, match=r"could take for ever|is no regular expression that can be used"):
        check([pattern], ["a" * 300] * 50, "here")


@pytest.mark.parametrize("pattern", ["(", "[", "*", "a**", "(?P<", "\\"])
def test_what_is_no_pattern_is_said(pattern):
    with pytest.raises(InputError, match="is no regular expression"):
        ways(pattern, 10)


@pytest.mark.parametrize("pattern, count", [("abc", 1), ("a*b", 11), ("a*b*", 121), ("ab|cd|ef", 3), ("(ab|cd)e?", 4),
                                            ("a{2,5}", 4), ("(ab|cd){3}", 8), ("(a+)+", math.inf)])  # fmt: skip
def test_ways_are_counted(pattern, count):
    assert ways(pattern, 10 if count < math.inf else 100) == count


SENTENCES = ["", "Yes.", "1 2 3 4 5", "An umbrella is wet when it rains, as I told you.", '{"name": "Tom"}', "red, green and blue",
             "Certainly. Birds sing.", "banana Banana banana", "1. apple\n2. pear", "THE SEA", "K \u212a \u017f \u0130"]  # fmt: skip


def test_our_own_probes_are_checked_as_ever():
    for asked, pattern in general().asked:
        if pattern is not None:
            check_form(pattern, "here")
            assert [fits(pattern, text, asked) for text in SENTENCES] == [
                re.fullmatch(pattern, text) is not None for text in SENTENCES
            ]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("pattern", [
    "Dear {s}", "x{s<=1}", "f{d}", r"a\{2}", "a{2}", "a{,2}", "a{1,}", "a{}", "[{x}]+", r"\N{DIGIT ONE}{2}", "a{b,c}", "{i}{1}",
])  # fmt: skip
@pytest.mark.parametrize(
    "text", ["Dear {s}", "DearX", "x{s<=1}", "f{d}", "f", "a{2}", "aa", "a", "a{}", "{x}", "11", "{i}", ""]
)
def test_a_pattern_means_what_pythons_own_makes_of_it(pattern, text):
    assert fits(pattern, text, "here") == (re.fullmatch(pattern, text) is not None)


def test_a_list_of_names_however_long_is_tried():
    """As a pattern that somebody joined; and one of which Python warns."""
    names = [f"model.layers.{at}.self_attn.q_proj" for at in range(120)]
    joined = "(" + "|".join(re.escape(name) for name in names) + ")"
    check_by_trying([joined, "[[a]b_proj"], names, "here")
    with pytest.raises(InputError, match="is no regular expression"):
        check_by_trying(["(" * 3000], names, "here")


def test_what_hangs_on_an_answer_is_stopped_and_what_fills_memory_is_refused(monkeypatch):
    monkeypatch.setattr("engine.patterns._SECONDS", 0.05)
    assert not fits(r"(([A-Za-z ,.]+)+)+!", "a" * 300, "here")
    with pytest.raises(InputError, match="it was not clear whether"):
        fits(r"(a|a)*b|!c", "a" * 300, "here")
    for pattern in (
        "a{1000000000}",
        "((a{1000}){1000}){1000}",
        "(?=(?:a{1000}){1000})|b",
        "x" * 5000,
        "(" * 900 + ")" * 900,
    ):
        with pytest.raises(InputError, match="is no regular expression that can be used"):
            check_form(pattern, "here")
    check_form("(?s)(ab?){30}.{8,}(?=x)?", "here")
