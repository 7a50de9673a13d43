"""A stranger's regular expression is counted before it is used: those that people write pass, those that hang do not."""

import math

import pytest

from engine.errors import InputError
from engine.patterns import check, ways

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
