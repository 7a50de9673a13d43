"""Where do the embedded model, a real LLM and the literature agree, and what is a student to take from that?"""

from collections.abc import Mapping

from lessons.claims.claim import Claim
from lessons.claims.ledger import CLAIMS, Row
from lessons.claims.verdict import EXACT, FAILS, HOLDS

DECIDED = (HOLDS, EXACT, FAILS)


def markdown(toy: Mapping[str, Row], llm: Mapping[str, Row], claims: Mapping[str, Claim] = CLAIMS) -> str:
    """The opening of the ledger's page: both columns side by side, by what they say. llm: empty if it is not tried."""
    parts = ["## What to take from it\n", _beside_sources(toy, claims)]
    if llm:
        parts.append(_side_by_side(toy, llm, claims))
    return "\n".join(parts)


def _beside_sources(toy: Mapping[str, Row], claims: Mapping[str, Claim]) -> str:
    """What the embedded model says of the sentences that have a source, arithmetic aside."""
    sourced = [name for name, claim in claims.items() if claim.source and not claim.exact and name in toy]
    agrees, differs = ([name for name in sourced if toy[name].verdict in kinds] for kinds in ((HOLDS, EXACT), (FAILS,)))
    said = f"Of {len(sourced)} measured sentences that come from the literature, the embedded model decides "
    said += f"{len(agrees) + len(differs)}: it says the same of {len(agrees)}{_names(agrees)}, "
    return (
        said + f"and otherwise of {len(differs)}{_names(differs)}. Of the others it says that it depends, or nothing.\n"
    )


def _side_by_side(toy: Mapping[str, Row], llm: Mapping[str, Row], claims: Mapping[str, Claim]) -> str:
    model = next(iter(llm.values())).bases[0]
    both = [name for name in claims if name in toy and name in llm]
    same, other = both_say(toy, llm)
    rest = [name for name in both if name not in (*same, *other)]
    lines = [
        f"{len(both)} sentences were tried on a real language model, too: {model} "
        "(docs/claims-llm.md; some measures are other ones there).\n",
        "| | sentence | embedded | " + model + " | for a student |",
        "|---|---|---|---|---|",
    ]
    for title, names in (("both say the same", same), ("they differ", other), ("not decided on both", rest)):
        for name in names:
            claim = claims[name]
            lines.append(
                f"| {title} | [{name}](#{name}): {claim.sentence} | {toy[name].said} | {llm[name].said} | "
                f"{claim.student} |"
            )
    lines.append("")
    if same:
        lines.append("What both models say is the safest to take along.")
    if other:
        lines.append("Where they differ, the size of the model, its data or the measure decides: try it on yours.")
    lines.append("What is not decided on both is open here, whatever a textbook says.\n")
    return "\n".join(lines)


def both_say(toy: Mapping[str, Row], llm: Mapping[str, Row]) -> tuple[list[str], list[str]]:
    """(claims of which both say the same, claims of which they say otherwise), of those that both have decided."""
    both = [name for name in toy if toy[name].verdict in DECIDED and name in llm and llm[name].verdict in DECIDED]
    same = [name for name in both if (toy[name].verdict == FAILS) == (llm[name].verdict == FAILS)]
    return same, [name for name in both if name not in same]


def _names(names: list[str]) -> str:
    return f" ({', '.join(names)})" if names else ""
