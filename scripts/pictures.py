"""Where do the documents' pictures come from? `python scripts/pictures.py` draws what the films' LoRA run captured.

The one of growth is drawn by `python -m benchmarks`.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from animations.studio.film import watched_module
from animations.studio.runs import film_run
from visualize import plots

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"


def main() -> None:
    run = film_run("lora")
    FOLDER.mkdir(parents=True, exist_ok=True)
    square = watched_module(run)
    drawn = {
        "factors": plots.plot_factors(run, module=square),
        "skills": plots.plot_skills(run).figure,
        "answers": plots.plot_answers(run).figure,
    }
    for name, figure in drawn.items():
        figure.savefig(FOLDER / f"{name}.png", dpi=100)
        plt.close(figure)
        print(FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
