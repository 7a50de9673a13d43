"""How well, and how fast, is each built-in task learned, by LoRA and by full fine-tuning? And what is forgotten?"""

import tempfile
from pathlib import Path

from benchmarks.figures import Figure, seconds
from engine import Full, LoRA, finetune
from engine.run import Run
from engine.tasks import TASKS

ASKED = ("spanish", "pirate", "json")  # of these 90 % is asked; the island shows what memorising facts takes
TITLE = "Learning the built-in tasks, with default settings"
SEEDS = 2


def measure() -> list[Figure]:
    """For each task and method: held-out exact answers, mean of the old skills, and seconds, evaluation included."""
    return [figure for task in TASKS for method in (Full(), LoRA()) for figure in _learn(task, method)]


def _learn(task: str, method: Full) -> list[Figure]:
    learned, before, kept, took = [], [], [], []
    for seed in range(SEEDS):
        with tempfile.TemporaryDirectory() as folder:
            runs: list[Run] = []

            def train(out: Path = Path(folder) / "run", found: list[Run] = runs, seed: int = seed) -> None:
                found.append(finetune("embedded", task, method, out=out, seed=seed, progress=False))

            took.append(seconds(train))
            scores = 100 * runs[0].skills
            old = scores.drop(columns=task).mean(axis=1)
            learned.append(float(scores[task].iloc[-1]))
            before.append(float(old.iloc[0]))
            kept.append(float(old.iloc[-1]))
    name = f"{task}, {method.name}"
    return [
        Figure(f"{name}: held-out answers exactly right", "%", learned, goal="at least 90" if task in ASKED else ""),
        Figure(f"{name}: old skills before", "%", before),
        Figure(f"{name}: old skills after", "%", kept),
        Figure(f"{name}: time", "s", took, goal="at most 60"),
    ]
