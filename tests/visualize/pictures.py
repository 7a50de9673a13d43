"""Every plot there is, found on disk, and what each is drawn from."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd

from visualize import plots

FOLDER = Path(plots.__file__).parent
FAMILIES = ("of_run", "of_runs", "of_table")
FAMILY_OF = {
    path.stem: family for family in FAMILIES for path in sorted((FOLDER / family).glob("*.py")) if path.stem[0] != "_"
}
NAMES = sorted(FAMILY_OF)


def plot_of(name):
    return getattr(importlib.import_module(f"visualize.plots.{FAMILY_OF[name]}.{name}"), f"plot_{name}")


def canaries(seed):
    """What `measure_exposure` gives, without a model: four secrets, two of them never planted."""
    ranks = np.random.default_rng(seed).integers(1, 17, 4)
    exposure = np.log2(16) - np.log2(ranks)
    return pd.DataFrame({"repeats": [0, 0, 1, 8], "of": 16, "exposure": exposure, "extracted": ranks < 4})


def losses():
    """What `token_losses` gives, without a model: two short conversations at three steps."""
    texts = ["<|user|>", "Spanish", " for", " small", "?", "<|end|>", "peque", "\u00f1o", "<|end|>"]
    rows = [
        (step, row, place, text, place > 5, np.nan if place == 0 else 9.0 / (1 + step) + place)
        for step in (0, 5, 25)
        for row in (0, 1)
        for place, text in enumerate(texts)
    ]
    return pd.DataFrame(rows, columns=["step", "row", "place", "text", "learned", "loss"])


def memory():
    """What `memory_table` gives, without a model."""
    index = pd.MultiIndex.from_product([["1B", "8B"], ["full", "lora", "qlora"]])
    return pd.DataFrame({"total": [9.5, 2.7, 1.4, 60.3, 15.8, 6.1]}, index=index)


def adapters():
    """What `placed` gives, without a folder: two that are alike, and one that is broken."""
    columns = {"method": ["lora", "lora", "loha"], "verdict": ["fine", "fine", "fault"], "nearest": ["b", "a", None],
               "overlap": [0.9, 0.9, np.nan], "chance": [0.1, 0.1, np.nan], "x": [0.0, 0.2, 0.9],
               "y": [0.0, 0.1, 0.4], "shown": 0.8}  # fmt: skip
    return pd.DataFrame(columns, index=["a", "b", "c"])


TABLES = {
    "adapters": adapters(),
    "exposure": {"base": canaries(0), "tuned": canaries(1)},
    "tokens": losses(),
    "memory": memory(),
}


def draw(name, run, **options):
    """The plot of a run, or of its table, if it takes one."""
    return plot_of(name)(TABLES.get(name, run), **options)


def figure_of(drawn):
    return drawn if hasattr(drawn, "savefig") else drawn.get_figure()
