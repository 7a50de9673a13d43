"""What are several runs called beside each other? By their names; where two share one, by what tells them apart."""

from collections import Counter
from collections.abc import Sequence

from engine.run.run import Run


def told_apart(runs: Sequence[Run]) -> list[str]:
    """A label for each run, no two alike: "out" and "other"; "a/out" and "b/out"; the same run twice, "out (2)"."""
    labels = [run.name for run in runs]
    for name, count in Counter(labels).items():
        if count > 1:
            alike = [at for at, label in enumerate(labels) if label == name]
            for at, label in zip(alike, _tails([runs[at].path.absolute().parts for at in alike]), strict=True):
                labels[at] = label
    return labels


def _tails(paths: list[tuple[str, ...]]) -> list[str]:
    """The shortest ends of these paths that are as different as the paths themselves; equal paths are numbered."""
    length = 1
    while len({path[-length:] for path in paths}) < len(set(paths)):
        length += 1
    seen = Counter[tuple[str, ...]]()
    labels = []
    for path in paths:
        seen[path] += 1
        labels.append("/".join(path[-length:]) + (f" ({seen[path]})" if seen[path] > 1 else ""))
    return labels
