"""What do the kept figures look like? One table of all, in docs/figures.md, and one picture of what grows."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "benchmarks" / "figures.json"
PAGE = ROOT / "docs" / "figures.md"
GROWTH = ROOT / "docs" / "pictures" / "growth.png"


def kept() -> dict[str, Any]:
    """benchmark -> what was kept of its last run."""
    return json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}


def table(everything: bool = False) -> str:
    """In Markdown, each figure with the command that measures it again. everything: not only what had a goal."""
    rows = ["| what | median | from - to | goal | measure again |", "|---|---|---|---|---|"]
    for entry in kept().values():
        chosen = [figure for figure in entry["figures"] if everything or figure["goal"]]
        for number, figure in enumerate(chosen):
            again = f"`{entry['command']}`" if number == 0 else ""
            spread = f"{figure['lowest']:.3g} - {figure['highest']:.3g}"
            median = f"{figure['median']:.3g} {figure['unit']}"
            rows.append(f"| {figure['what']} | {median} | {spread} | {figure['goal']} | {again} |")
    return "\n".join(rows)


def page() -> str:
    """docs/figures.md: every figure, the machine that it is from, and what could not be measured there."""
    rows = ["| command | measured | took | on |", "|---|---|---|---|"]
    rows += [
        f"| `{entry['command']}` | {entry['measured']} | {entry['took']} s | "
        f"{', '.join(map(str, entry['host'].values()))} |"
        for entry in kept().values()
    ]
    missing = [f"- {each['what']}: {each['why']}" for entry in kept().values() for each in entry["unmeasured"]]
    return (
        "# Every figure that was measured\n\nWritten by `python -m benchmarks`, from what it keeps in "
        "`benchmarks/figures.json`.\n\n" + "\n".join(rows) + "\n\n" + table(everything=True) + "\n"
        + ("\nNot measured:\n\n" + "\n".join(missing) + "\n" if missing else "")
    )  # fmt: skip


def growth() -> bool:
    """Draw docs/pictures/growth.png: how cost goes with steps, weights and length. Gives whether any was measured."""
    import matplotlib.pyplot as plt

    from visualize.plots.axes import themed
    from visualize.theme import palette

    grown = [figure for entry in kept().values() for figure in entry["figures"] if figure.get("points")]
    if not grown:
        return False

    @themed
    def draw() -> Any:
        figure, axes = plt.subplots(1, len(grown), figsize=(5.2 * len(grown), 4.4), squeeze=False)
        for ax, one in zip(axes[0], grown, strict=True):
            x, y = zip(*one["points"], strict=True)
            ax.plot(x, y, "o-", markersize=4, color=palette().delta)
            ax.set(xlabel=one["axes"][0], ylabel=one["axes"][1], ylim=(0, 1.25 * max(y)), xlim=(0, None))
            ax.grid(axis="y")
        return figure

    figure = draw()
    figure.savefig(GROWTH, dpi=100)
    plt.close(figure)
    return True


def write() -> list[Path]:
    """Both, anew; gives the files."""
    PAGE.write_text(page(), encoding="utf-8")
    return [KEPT, PAGE, *([GROWTH] if growth() else [])]
