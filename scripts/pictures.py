"""Where do the README's pictures come from? `python scripts/pictures.py` draws them: what the films' LoRA run captured,
and what the benchmarks kept of growth."""

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from animations.film import watched_module
from animations.runs import film_run
from visualize import plots
from visualize.plots.axes import themed
from visualize.theme import palette

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "pictures"


def main() -> None:
    run = film_run("lora")
    FOLDER.mkdir(parents=True, exist_ok=True)
    square = watched_module(run)
    drawn = {
        "factors": plots.plot_factors(run, module=square)[0].figure,
        "skills": plots.plot_skills(run).figure,
        "answers": plots.plot_answers(run).figure,
    }
    if grown := [figure for entry in kept_figures() for figure in entry["figures"] if figure.get("points")]:
        drawn["growth"] = growth(grown)
    for name, figure in drawn.items():
        figure.savefig(FOLDER / f"{name}.png", dpi=100)
        plt.close(figure)
        print(FOLDER / f"{name}.png")


def kept_figures() -> list[dict[str, Any]]:
    return list(json.loads((ROOT / "benchmarks" / "figures.json").read_text(encoding="utf-8")).values())


@themed
def growth(grown: list[dict[str, Any]]) -> Figure:
    """What was measured of growth: how the cost of a capture, and the memory of a render, go with size and length."""
    figure, axes = plt.subplots(1, len(grown), figsize=(5.2 * len(grown), 4.4), squeeze=False)
    for ax, one in zip(axes[0], grown, strict=True):
        x, y = zip(*one["points"], strict=True)
        ax.plot(x, y, "o-", markersize=4, color=palette().delta)
        ax.set(xlabel=one["axes"][0], ylabel=one["axes"][1], ylim=(0, 1.25 * max(y)), xlim=(0, None))
        ax.grid(axis="y")
    return figure


if __name__ == "__main__":
    main()
