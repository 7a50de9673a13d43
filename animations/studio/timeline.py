"""When does something move in a scene? What the suite counts: stills, pauses that are meant, and hard swaps.

A scene keeps its own record while it is drawn: every animation that is not a caption's is movement, and what appears
or goes at once, outside of a replay, is a swap. The frames of a finished film can be counted, too; they agree.
"""

from dataclasses import dataclass, field

Span = tuple[float, float]


@dataclass
class Timeline:
    """moves: when something moved. pauses: when the audience was asked to guess. swaps: (second, what) for each thing
    that was put there, or taken away, at once. blank: whether the first frame showed nothing but its title."""

    moves: list[Span] = field(default_factory=list)
    pauses: list[Span] = field(default_factory=list)
    swaps: list[tuple[float, str]] = field(default_factory=list)
    blank: bool = True

    def stills(self, end: float) -> list[Span]:
        """The stretches in which nothing moved and no pause was meant, in order."""
        found, reached = [], 0.0
        for start, stop in sorted([*self.moves, *self.pauses]):
            if start > reached + 1e-6:
                found.append((reached, start))
            reached = max(reached, stop)
        return [*found, (reached, end)] if end > reached + 1e-6 else found

    def still(self, end: float) -> float:
        """Seconds without movement, pauses left out."""
        return sum(stop - start for start, stop in self.stills(end))

    def longest(self, end: float) -> float:
        """The longest of them."""
        return max((stop - start for start, stop in self.stills(end)), default=0.0)
