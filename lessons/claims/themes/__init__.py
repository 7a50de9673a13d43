"""The claims, theme by theme: each file has a TITLE and CLAIMS. Here: the trainings that they share."""

from typing import Any

from lessons.claims.trials.training import Training

TASKS = ("spanish", "json", "pirate", "island")
# Small enough to be learned by five seeds of some seventy trainings: a third of the words, and of the island's facts.
SIZES: dict[str, dict[str, Any]] = {
    "spanish": {"part": 1 / 3, "steps": 60, "every": 12},
    "json": {"steps": 80, "every": 16},
    "pirate": {"steps": 60, "every": 12},
    "island": {"part": 1 / 3, "steps": 80, "every": 16},
}
# The rates that are tried; the best is chosen among them, for each method and task.
RATES = {
    ("spanish", "full"): (5e-4, 1e-3, 2e-3, 4e-3),
    ("spanish", "lora"): (2e-3, 4e-3, 8e-3, 1.6e-2),
    ("json", "full"): (5e-4, 1e-3, 2e-3),
    ("json", "lora"): (2e-3, 4e-3, 8e-3),
    ("pirate", "full"): (1e-3,),
    ("pirate", "lora"): (4e-3,),
    ("island", "full"): (2e-3,),
    ("island", "lora"): (8e-3,),
}
# Rates that learn, for comparisons in which only something else differs.
GOOD = {"full": 1e-3, "lora": 8e-3}


def training(task: str, method: str, rate: float, **settings: Any) -> Training:
    """One training. Every matrix is looked at where a Spanish one is of the usual kind."""
    usual = task == "spanish" and method != "qlora" and not settings
    return Training(
        task=task,
        method=method,
        rate=rate,
        **{"matrices": usual, **SIZES.get(task, {"steps": 40, "every": 40}), **settings},
    )


def good(task: str, method: str = "full", **settings: Any) -> Training:
    """The same at a rate that learns."""
    return training(task, method, GOOD[method], **settings)


def sweep(task: str, method: str, **settings: Any) -> tuple[Training, ...]:
    """The same training at each of its rates."""
    return tuple(training(task, method, rate, **settings) for rate in RATES[task, method])
