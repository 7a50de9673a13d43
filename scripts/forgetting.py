"""How does the embedded base forget, and a real LLM? `python scripts/forgetting.py` draws docs/pictures/forgetting.png.

The embedded model's numbers are those of its card (`engine/base/card.json`), measured there by
`python -m engine.school.card`; below them a real LLM's, from the trials that ship (`lessons/claims/llm/trials.jsonl`).
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from lessons.claims.llm.column import shipped
from lessons.claims.llm.forgetting import MEASURES, METHODS, of_embedded, of_llm
from visualize.theme import theme

PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "forgetting.png"


def main() -> None:
    subject, trials = shipped()
    models = {"the embedded model": of_embedded(), subject.name: of_llm(trials)}
    with theme("light") as colors:
        figure, axes = plt.subplots(len(models), len(MEASURES), figsize=(15, 6.8), layout="constrained")
        for row, (model, curves) in zip(axes, models.items(), strict=True):
            for ax, (measure, (what, unit, _)) in zip(row, MEASURES.items(), strict=True):
                for method, dashes in zip(METHODS, ("-", "--"), strict=True):
                    curve = curves[method][measure]
                    color = getattr(colors, method)
                    ax.plot(curve.steps, curve.values, dashes, color=color, label=method, marker=".")
                ax.set_title(f"{what}\n({unit})", fontsize=11)
                ax.set_xlabel("step")
                ax.set_ylim(0, 103 if unit == "%" else None)
            row[0].set_ylabel(model, fontsize=12)
        axes[0][0].legend(frameon=False)
        figure.savefig(PICTURE, dpi=100)
    plt.close(figure)
    print(PICTURE)


if __name__ == "__main__":
    main()
