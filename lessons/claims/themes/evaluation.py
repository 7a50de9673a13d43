"""Can the loss alone be trusted? Where it and the answers disagree, within a run and between runs."""

from itertools import combinations

from lessons.claims.claim import Claim, Results, Values
from lessons.claims.readings import number
from lessons.claims.themes import TASKS, sweep
from lessons.claims.themes.tuning import OVERFITTED
from lessons.claims.trials import Result
from lessons.claims.verdict import Says

TITLE = "Evaluation"
CLEAR = 0.02  # a difference in answers that is more than one question's luck, as a share
CLEAR_LOSS = 0.005  # nats a token
RUNS = {task: (*sweep(task, "full"), *sweep(task, "lora")) for task in TASKS}
RUNS["json, 32 examples"] = OVERFITTED


def disagrees(result: Result) -> bool:
    """Between two grades, does the held-out loss improve and the answers worsen, or the reverse?"""
    loss, right = [number(value) for value in result["new_loss"]], result["new"]
    return any(
        (loss[at] - loss[at - 1]) * (right[at] - right[at - 1]) > 0
        and abs(loss[at] - loss[at - 1]) >= CLEAR_LOSS
        and abs(right[at] - right[at - 1]) >= CLEAR
        for at in range(1, len(loss))
    )


def within(r: Results) -> Values:
    return {
        task: [100 * sum(map(disagrees, rows)) / len(rows) for rows in zip(*(r(t) for t in runs), strict=True)]
        for task, runs in RUNS.items()
    }


def misranked(rows: tuple[Result, ...]) -> float:
    """In how many of the pairs with clearly different answers has the worse run the lower perplexity? In %."""
    clear = wrong = 0
    for one, other in combinations(rows, 2):
        right = one["new"][-1] - other["new"][-1]
        if abs(right) >= CLEAR:
            clear += 1
            wrong += (number(one["new_loss"][-1]) - number(other["new_loss"][-1])) * right > 0
    return 100 * wrong / clear if clear else 0.0


def between(r: Results) -> Values:
    return {task: [misranked(rows) for rows in zip(*(r(t) for t in runs), strict=True)] for task, runs in RUNS.items()}


EVERY = tuple(t for runs in RUNS.values() for t in runs)
CLAIMS = (
    Claim(
        "loss-against-answers", "In some runs the loss improves while the answers get worse, or the reverse.",
        "runs with such a stretch, of all runs of that kind", "%", Says(), EVERY, within,
    ),
    Claim(
        "perplexity-misranks", "Perplexity alone puts some pairs of runs in the wrong order.",
        "pairs in the wrong order, of the pairs whose answers differ clearly", "%", Says(), EVERY, between,
    ),
)  # fmt: skip
