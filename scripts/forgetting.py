"""How does the embedded base forget? `python scripts/forgetting.py` draws docs/pictures/forgetting.png.

The numbers are those of its card (`engine/base/card.json`), measured there by `python -m engine.school.card`.
"""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from engine.run.base import EMBEDDED_FOLDER
from visualize.theme import theme

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"

# Measure -> what its axis says, and the range that it has whatever the model does (None: as far as it went).
PANELS = {
    "new": ("the new task: Spanish, right (%)", 100),
    "exact": ("old: answers right to the letter (%)", 100),
    "choice": ("old: right one among four (%)", 100),
    "text": ("stories: loss (nats a token)", None),
    "kl": ("KL from the base (nats a token)", None),
}


def main() -> None:
    curves = json.loads((EMBEDDED_FOLDER / "card.json").read_text(encoding="utf-8"))["forgetting"]
    with theme("light") as colors:
        figure, axes = plt.subplots(1, len(PANELS), figsize=(15, 3.2), layout="constrained")
        for ax, (measure, (label, top)) in zip(axes, PANELS.items(), strict=True):
            for method, dashes in (("full", "-"), ("lora", "--")):
                scale = 100 if top else 1
                points = [(point["step"], scale * point[measure]) for point in curves[method]]
                ax.plot(*zip(*points, strict=True), dashes, color=getattr(colors, method), label=method, marker=".")
            ax.set_title(label, fontsize=9)
            ax.set_xlabel("step")
            ax.set_ylim(0, top and top * 1.03)
        axes[0].legend(frameon=False)
        figure.savefig(FOLDER / "forgetting.png", dpi=100)
    plt.close(figure)
    print(FOLDER / "forgetting.png")


if __name__ == "__main__":
    main()
