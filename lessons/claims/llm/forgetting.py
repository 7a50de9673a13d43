"""Does the embedded model forget as a real LLM does? The curves of both, measure by measure.

The embedded model's are those of its card (`engine.school.card`), the real LLM's the mean over the seeds of two arms.
To the letter the one is asked its own curriculum, of the other it is the share of its own words that it would still
say: both see a changed form first. Among four, text and divergence are the same measures of other questions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.reading import read_json
from engine.run.base import EMBEDDED_FOLDER
from engine.school.curves import REBOUND, came_back
from lessons.claims.llm.readings import Trials
from lessons.claims.llm.sentences import METHODS

# Measure -> (what it is, unit, what a real LLM's trials call it).
MEASURES = {
    "new": ("the new task, right", "%", "new"),
    "exact": ("old: answers to the letter", "%", "agreement"),
    "choice": ("old: the right one among four", "%", "facts"),
    "text": ("loss on text", "nats a token", "text"),
    "kl": ("divergence from the base", "nats a token", "kl"),
}


@dataclass(frozen=True)
class Curve:
    """One measure of one training: at `steps`, in per cent or nats a token."""

    steps: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def came_back(self) -> float:
        """By how much it rose, at most, from any step to a later one."""
        return came_back(self.values)


Curves = Mapping[str, Mapping[str, Curve]]  # method -> measure -> curve


def of_embedded() -> Curves:
    kept = read_json(EMBEDDED_FOLDER / "card.json")["forgetting"]
    return {method: {name: _curve(kept[method], name) for name in MEASURES} for method in METHODS}


def _curve(points: Sequence[Mapping[str, float]], name: str) -> Curve:
    scale = 100 if MEASURES[name][1] == "%" else 1
    return Curve(tuple(int(one["step"]) for one in points), tuple(scale * one[name] for one in points))


def of_llm(trials: Trials) -> Curves:
    """Raises NotTried where a seed of either arm is missing."""
    found = {}
    for method in METHODS:
        steps = tuple(trials.steps(method))
        found[method] = {
            name: Curve(steps, tuple((100 if unit == "%" else 1) * trials.scores(method, theirs).mean(axis=(1, 2))))
            for name, (_, unit, theirs) in MEASURES.items()
        }
    return found


def markdown(toy: Curves, llm: Curves, model: str) -> str:
    """Both side by side: where each measure began and ended, and what of the old came back on the way."""
    lines = [
        "## Do both forget alike?\n",
        "From before the training to its end; in brackets what came back on the way, without being taught.\n",
        "| | " + " | ".join(f"{name}, {method}" for name in ("embedded", model) for method in METHODS) + " |",
        "|---|" + "---|" * (2 * len(METHODS)),
    ]
    for name, (what, unit, _) in MEASURES.items():
        cells = [_cell(curves[method][name], unit, name) for curves in (toy, llm) for method in METHODS]
        lines.append(f"| {what} ({unit}) | " + " | ".join(cells) + " |")
    lines += ["", *_in_kind(toy, llm, model), ""]
    return "\n".join(lines)


def _cell(curve: Curve, unit: str, name: str) -> str:
    digits = 0 if unit == "%" else 2
    back = f" ({curve.came_back:.0f})" if name in ("exact", "choice") else ""
    return f"{curve.values[0]:.{digits}f} to {curve.values[-1]:.{digits}f}{back}"


def _in_kind(toy: Curves, llm: Curves, model: str) -> list[str]:
    """Whether each measure of the old went the same way, and whether the answers collapsed and came back."""
    ways = {
        name: {_way(curves[method][name]) for curves in (toy, llm) for method in METHODS}
        for name in MEASURES
        if name != "new"
    }
    same = [MEASURES[name][0] for name, found in ways.items() if len(found) == 1]
    other = [MEASURES[name][0] for name, found in ways.items() if len(found) > 1]
    said = [f"They go the same way with both methods on both models: {'; '.join(same) or 'none'}."]
    said += [f"They do not: {'; '.join(other)}."] if other else []
    backs = [
        f"{what}, {method}: {curves[method]['exact'].came_back:.0f} points"
        for what, curves in (("embedded", toy), (model, llm))
        for method in METHODS
        if curves[method]["exact"].came_back > 100 * REBOUND
    ]
    said.append(
        f"Of the answers to the letter more than {100 * REBOUND:.0f} points came back untaught ({'; '.join(backs)})."
        if backs
        else f"Nowhere did more than {100 * REBOUND:.0f} points of the answers to the letter come back untaught."
    )
    return said


def _way(curve: Curve) -> int:
    """1 up, -1 down, 0 where it ended as it began, to a point or a hundredth of a nat."""
    change = curve.values[-1] - curve.values[0]
    return 0 if abs(change) < 0.01 * max(1.0, abs(curve.values[0])) else (1 if change > 0 else -1)
