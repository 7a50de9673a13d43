"""What may a lesson say of what it measured? Who leads, if anybody; and nothing after too little training."""

from collections.abc import Mapping, Sequence

from engine.language.speaking import tr
from lessons.teaching.session import current
from lessons.teaching.showing import show


def conclude(*sentences: str) -> None:
    """Say what follows from what was measured, but not in the quick preset, in which nothing follows."""
    too_short = tr("Nothing is concluded here: the quick preset trains too little. The whole lesson does.")
    show(*([too_short] if current().quick else sentences))


def leader(scores: Mapping[str, float], apart: float, *, lowest: bool = False) -> str | None:
    """Whose score is best, if it is better than every other by more than `apart`; None where it is not, or alone.

    apart: what could be chance, in the scores' unit. lowest: a lower score is better.
    """
    ordered = sorted(scores, key=scores.__getitem__, reverse=not lowest)
    if len(ordered) < 2 or not abs(scores[ordered[0]] - scores[ordered[1]]) > apart:
        return None
    return ordered[0]


def around(losses: Mapping[float, float], apart: float) -> tuple[float, float] | None:
    """Between which of the settings that were tried does the best one lie, if the loss falls to it and rises again?

    losses: setting -> loss. apart: what could be chance; so it lies between the neighbours of all that are no further
    from the lowest. None where one of those is at an end of what was tried: beyond it something may be better.
    """
    tried = sorted(losses)
    lowest = min(losses.values())
    near = [place for place, setting in enumerate(tried) if losses[setting] <= lowest + apart]
    if near[0] == 0 or near[-1] == len(tried) - 1:
        return None
    return tried[near[0] - 1], tried[near[-1] + 1]


def inside(best: float, tried: Sequence[float]) -> bool:
    """Is the best of what was tried at neither end of it? At an end, something beyond may be better."""
    return min(tried) < best < max(tried)
