"""The claims, theme by theme: each file has a TITLE and CLAIMS. Here: the trainings and margins that they share."""

from typing import Any

from lessons.claims.choosing import Chosen, by_keeping, choose
from lessons.claims.claim import Results
from lessons.claims.readings import LEARNED
from lessons.claims.trials import Result
from lessons.claims.trials.training import Training
from lessons.claims.verdict import Says

METHODS = {"full": "full", "lora": "lora"}
MEASURES = {"to the letter": "exact", "among four": "choice"}  # how old skills are asked for
# What the embedded model is usually trained with (`engine.training.settings`): other settings are compared with these.
USUAL = {"full": 5e-4, "lora": 2e-3, "qlora": 2e-3}
STEPS = 160  # of 16 examples: about three passes over the Spanish words
MOST = 429  # steps in which a training that goes on until it has learned has to get there
GRIDS = {"full": (2.5e-4, 5e-4, 1e-3), "lora": (1e-3, 2e-3, 4e-3)}  # where sweeps begin; they go on by themselves

MATTERS = "two points are one question in fifty: the least that one would notice in use"
POINTS = Says("more", 2, MATTERS)
SAME_POINTS = Says("same", 2, MATTERS)


def plain(task: str = "spanish", method: str = "full", **settings: Any) -> Training:
    """The usual training, of `STEPS` steps. Every matrix is looked at where nothing of it is special."""
    looked_at = task == "spanish" and method in METHODS and not settings
    usual = {"rate": USUAL[method], "steps": STEPS, "matrices": looked_at}
    return Training(task=task, method=method, **{**usual, **settings})


def until_learned(task: str = "spanish", method: str = "full", **settings: Any) -> Training:
    """A training that goes on until nine tenths of the new task's answers are right: it passes `LEARNED` on the way."""
    usual = {"rate": USUAL[method], "steps": MOST, "until": 0.9}
    return Training(task=task, method=method, **{**usual, **settings})


def gentlest(r: Results, task: str, method: str) -> Chosen:
    """Of all rates, the one that keeps most of the old when the new task is learned, chosen on other questions."""
    return choose(r, until_learned(task, method), GRIDS[method], by_keeping)


def frontier(r: Results, task: str, method: str) -> tuple[list[Result], bool]:
    """The trainings at that rate, and whether the sweep found it inside."""
    found = gentlest(r, task, method)
    return r(found.training), found.inside


EQUAL = f"when the new task was right to {LEARNED:.0%}"
