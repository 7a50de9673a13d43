"""What is a verdict made of? Findings: what was seen, how bad it is, and what to do about it."""

from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

Level = Literal["fault", "doubt", "fine"]
LEVELS: tuple[Level, ...] = get_args(Level)  # the worst first


class Finding(NamedTuple):
    """level: "fault" (it cannot work so), "doubt" (it may be meant), or "fine". what: seen. remedy: what to do."""

    level: Level
    what: str
    remedy: str = ""


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Faults, then doubts, then what is fine; those of a level in the order in which they were found."""
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def some(names: list[str], of: int | None = None) -> str:
    """ "3 of 8 (model.layers.0.self_attn.q_proj, ...)", for a list of any length."""
    return f"{len(names)}{f' of {of}' if of else ''} ({names[0]}{', ...' if len(names) > 1 else ''})"
