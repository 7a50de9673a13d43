"""Which learning rates and warm-ups suit the embedded base? `python scripts/rates.py` sweeps them for each method.

It writes docs/rates.json and draws docs/pictures/rates.png. The default rate is the gentlest whose score on the new
tasks lies within 5 points of the best one's; both edges of the grid have to be worse than the best, or the page says
that they are not. At that rate the default warm-up is the shortest after which old answers fall without coming back
untaught: less than 10 points on the way, and the new tasks learned less well by no more than 5.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from engine.evaluate.forgetting import curriculum_knowledge
from engine.run.base import EMBEDDED_FOLDER
from engine.school.curves import REBOUND, came_back, forgetting_curve
from engine.training.settings import LEARNING_RATES, WARMUP
from visualize.theme import theme

DOCS = Path(__file__).parent.parent / "docs"
KEPT = DOCS / "rates.json"  # delete it to measure anew
RATES = {
    "full": (6.25e-5, 1.25e-4, 2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3),
    "lora": (2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2),
}
WARMUPS = (0.05, 0.1, 0.2, 0.4)
TASKS = ("spanish", "json")
STEPS = 200
LOOKED_AT = (0, 10, 15, 20, 30, 45, 60, 120, STEPS)
QUESTIONS = 10  # of each old skill
CLOSE = 0.05  # what shares of some 230 questions, from one seed each, cannot tell apart
Trial = dict[str, Any]


def tried(found: list[Trial], method: str, task: str, rate: float, warmup: float, steps: tuple[int, ...]) -> Trial:
    """The trial of these settings, looked at after these steps; made, and kept, if it is not there yet."""
    about = {"method": method, "task": task, "rate": rate, "warmup": warmup, "looked_at": list(steps)}
    for one in found:
        if about.items() <= one.items():
            return one
    points = forgetting_curve(
        EMBEDDED_FOLDER, task, method,
        steps=steps, old=curriculum_knowledge(QUESTIONS), learning_rate=rate, warmup=warmup,
    )  # fmt: skip
    exact = [point.exact for point in points]
    one = {**about, "back": came_back(exact), "lowest": min(exact), **asdict(points[-1])}
    found.append(one)
    KEPT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(
        f"{method} {task} {rate:g}, warm-up {warmup:g}: new {100 * one['new']:.0f} %, old {100 * one['exact']:.0f} %, "
        f"lowest {100 * one['lowest']:.0f} %, came back {100 * one['back']:.0f}",
        flush=True,
    )
    return one


def mean(trials: list[Trial], measure: str) -> float:
    return sum(one[measure] for one in trials) / len(trials)


def rates(found: list[Trial], method: str) -> dict[float, float]:
    """Rate -> share of the new tasks' held-out questions that are right, at the shortest warm-up."""
    return {
        rate: mean([tried(found, method, t, rate, WARMUPS[0], (STEPS,)) for t in TASKS], "new")
        for rate in RATES[method]
    }


def warmups(found: list[Trial], method: str, rate: float) -> dict[float, tuple[float, float]]:
    """Warm-up -> (share right on the new tasks, the most that came back of the old), at this rate."""
    result = {}
    for warmup in WARMUPS:
        trials = [tried(found, method, task, rate, warmup, LOOKED_AT) for task in TASKS]
        result[warmup] = (mean(trials, "new"), max(one["back"] for one in trials))
    return result


def gentlest(score: dict[float, float]) -> tuple[float, bool]:
    """The lowest rate close to the best; and whether both edges of the grid are worse than the best."""
    best = max(score.values())
    edges = next(iter(score.values())), list(score.values())[-1]
    return min(rate for rate, value in score.items() if value >= best - CLOSE), max(edges) < best


def shortest(score: dict[float, tuple[float, float]]) -> float | None:
    """The shortest warm-up that learns as well and forgets without a rebound; None if none does."""
    best = max(new for new, _ in score.values())
    return next((w for w, (new, back) in score.items() if new >= best - CLOSE and back < REBOUND), None)


def draw(found: list[Trial]) -> Path:
    """Above: learned and kept by rate. Below: learned, and what came back untaught, by warm-up."""
    path = DOCS / "pictures" / "rates.png"
    with theme("light") as colors:
        figure, axes = plt.subplots(2, len(TASKS), figsize=(10, 6.6), layout="constrained", sharey=True)
        for column, task in enumerate(TASKS):
            above, below = axes[0][column], axes[1][column]
            for method in RATES:
                color, default = getattr(colors, method), LEARNING_RATES[method]
                ours = [one for one in found if (one["method"], one["task"]) == (method, task)]
                swept = sorted((one for one in ours if one["looked_at"] == [STEPS]), key=lambda one: one["rate"])
                by_rate = [one["rate"] for one in swept]
                above.semilogx(by_rate, [100 * one["new"] for one in swept], "-o", color=color, label=f"{method}: new")
                above.semilogx(
                    by_rate, [100 * one["exact"] for one in swept], ":o", color=color, label=f"{method}: old"
                )
                above.axvline(default, color=color, alpha=0.4, linewidth=1)
                followed = (one for one in ours if one["rate"] == default and one["looked_at"] == list(LOOKED_AT))
                warm = sorted(followed, key=lambda one: one["warmup"])
                shares = [100 * one["warmup"] for one in warm]
                below.plot(shares, [100 * one["new"] for one in warm], "-o", color=color, label=f"{method}: new")
                below.plot(
                    shares, [100 * one["back"] for one in warm], "--s", color=color, label=f"{method}: old, came back"
                )
            above.set_title(f"{task}, {STEPS} steps")
            above.set_xlabel("learning rate (lines: the defaults)")
            above.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            above.xaxis.set_minor_formatter(lambda value, _: "")
            below.set_xlabel(f"warm-up, % of the steps (default: {100 * WARMUP:g})")
        for row in axes:
            row[0].set_ylabel("held-out answers (%)")
            row[0].legend(frameon=False, fontsize=8)
        figure.savefig(path, dpi=100)
    plt.close(figure)
    return path


def main() -> None:
    found: list[Trial] = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else []
    for method in RATES:
        rate, inside = gentlest(rates(found, method))
        edges = "both edges of the grid are worse" if inside else "AN EDGE OF THE GRID IS AMONG THE BEST: widen it"
        print(f"{method}: {rate:g} (the default is {LEARNING_RATES[method]:g}); {edges}")
        warmup = shortest(warmups(found, method, rate))
        print(f"{method}: warm-up {warmup if warmup is not None else 'NONE IS GOOD ENOUGH'} ({WARMUP:g})")
    print(draw(found))


if __name__ == "__main__":
    main()
