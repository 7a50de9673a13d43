"""How well, and how fast, is each built-in task learned with LoRA's default settings? And what is forgotten?"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure
from engine.school.tasks import TASKS
from glasstune import LoRA, finetune

ASKED = ("spanish", "pirate", "json")  # of these 90 % is asked; the island shows what memorising facts takes
TITLE = "Learning the built-in tasks, with default settings"


def measure() -> Iterator[Figure]:
    """For each task: held-out exact answers, mean of the old skills, and seconds, evaluation included."""
    for task in TASKS:
        yield from _learn(task)


def _learn(task: str) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run = finetune("embedded", task, LoRA(), out=Path(folder) / "run", seed=0, progress=False)
        took = time.perf_counter() - began
        scores = 100 * run.skills
    old = scores.drop(columns=task).mean(axis=1)
    learned, before, after = (float(value) for value in (scores[task].iloc[-1], old.iloc[0], old.iloc[-1]))
    goal = "at least 90" if task in ASKED else ""
    yield Figure(f"{task}: held-out answers exactly right", "%", [learned], goal)
    yield Figure(f"{task}: old skills before", "%", [before])
    yield Figure(f"{task}: old skills after", "%", [after])
    yield Figure(f"{task}: time", "s", [took], "at most 60")
