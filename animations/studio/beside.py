"""May these runs stand beside each other? What a film says of several is true only of runs that are alike in the rest.

A film's `check_beside` is asked when runs of one's own are given: the films' own are alike by their recipes.
"""

from collections.abc import Mapping
from typing import Any

from engine.errors import InputError
from engine.run.run import Run


def differing(run: Run, other: Run) -> set[str]:
    """In what two trainings differ: "model", "data", "method", and the names of settings."""

    def told(one: Run) -> dict[str, Any]:
        info = one.info
        settings = info.raw.get("settings")
        return {
            **(settings if isinstance(settings, dict) else {}),
            "model": info.model.source,
            "data": (info.data.digest, info.data.mixed_in and info.data.mixed_in.digest),
            "method": info.method.to_json(),
        }

    mine, others = told(run), told(other)
    return {name for name in mine.keys() | others.keys() if mine.get(name) != others.get(name)}


def check_alike(runs: Mapping[str, Run], names: tuple[str, ...], but: set[str], why: str) -> None:
    """Raises InputError where two of these runs, of those that are there, differ in more than `but`. why: what the film
    says of them."""
    there = [runs[name] for name in names if name in runs]
    for other in there[1:]:
        if more := sorted(differing(there[0], other) - but):
            raise InputError(
                f"{why}, but runs {there[0].name} and {other.name} differ in {', '.join(more)}, too; give others"
            )
