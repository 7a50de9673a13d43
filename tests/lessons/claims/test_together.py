"""Both models and the literature: what is counted as agreement, and what the page opens with."""

import pytest

from lessons.claims.ledger import CLAIMS, Row
from lessons.claims.together import both_say, markdown
from lessons.claims.verdict import DEPENDS, FAILS, HOLDS, OPEN


def row(name, verdict, base="toy"):
    claim = CLAIMS[name]
    return Row(name, "", claim.sentence, claim.effect, claim.unit, 5, {}, [], verdict, "", [base], 1, 0)


@pytest.fixture
def toy():
    said = {"mixing": HOLDS, "quality": FAILS, "overfit": HOLDS, "gentle-rate": DEPENDS, "full-most": OPEN}
    return {name: row(name, verdict) for name, verdict in said.items()}


@pytest.fixture
def llm():
    said = {"mixing": HOLDS, "quality": HOLDS, "gentle-rate": HOLDS, "intruders": FAILS}
    return {name: row(name, verdict, "A real one") for name, verdict in said.items()}


def test_they_agree_or_differ_only_where_both_have_decided(toy, llm):
    assert both_say(toy, llm) == (["mixing"], ["quality"])
    assert both_say({**toy, "quality": row("quality", HOLDS)}, llm) == (["mixing", "quality"], [])


def test_the_opening_counts_what_agrees_with_the_sources_and_names_what_does_not(toy, llm):
    sourced = [name for name in toy if CLAIMS[name].source]
    said = markdown(toy, {})
    assert f"Of {len(sourced)} measured sentences that come from the literature" in said
    assert f"it says the same of {sum(toy[name].verdict == HOLDS for name in sourced)} (" in said
    assert "and otherwise of 1 (quality)." in said and "real language model" not in said
    whole = markdown(toy, llm)
    assert "3 sentences were tried on a real language model, too: A real one" in whole
    assert f"| they differ | [quality](#quality): {CLAIMS['quality'].sentence} | {FAILS} | {HOLDS} |" in whole
    assert f"| not decided on both | [gentle-rate](#gentle-rate): {CLAIMS['gentle-rate'].sentence}" in whole
    assert "the size of the model, its data or the measure decides" in whole
    alike = markdown(toy, {"mixing": llm["mixing"]})
    assert "they differ" not in alike and "Where they differ" not in alike


def test_what_holds_by_arithmetic_is_no_agreement_with_a_source(toy):
    name = next(name for name, claim in CLAIMS.items() if claim.exact and claim.source)
    assert markdown({**toy, name: row(name, HOLDS)}, {}) == markdown(toy, {})
