"""When to fine-tune, and when not? Formats, domains, styles, few examples, simple tasks, private data."""

from lessons.claims.claim import Claim, Results, Values
from lessons.claims.readings import best, last, lost, minus
from lessons.claims.themes import TASKS, good, sweep, training
from lessons.claims.trials.canaries import Canaries
from lessons.claims.trials.prompting import Prompting
from lessons.claims.trials.training import Training
from lessons.claims.verdict import Says

TITLE = "When to fine-tune"
METHODS = ("full", "lora")
FEW = (4,)
SHOWN = ("front", "json", "pirate")
SIMPLE = ("capital", "sum")
PLANTED = {"one pass": Canaries(steps=18), "four passes": Canaries()}  # over 294 examples, 16 a step
SWEEPS = tuple(t for task in TASKS for method in METHODS for t in sweep(task, method))


def few_tuned(task: str, count: int) -> tuple[Training, ...]:
    """Fine-tuned on so few examples, both ways."""
    return tuple(good(task, method, steps=40, batch=min(16, count), examples=count, every=40) for method in METHODS)


def prompts(task: str) -> tuple[Prompting, ...]:
    """What a prompt can do: an instruction, examples, both."""
    return (
        Prompting(task=task, told=True),
        Prompting(task=task, examples=16),
        Prompting(task=task, told=True, examples=16),
    )


def best_prompt(r: Results, task: str, what: str) -> list[float]:
    return [100 * max(row[what] for row in rows) for rows in zip(*(r(prompt) for prompt in prompts(task)), strict=True)]


def specialist(r: Results) -> Values:
    return {f"{task}, {method}": lost(r, best(r, sweep(task, method))) for task in TASKS for method in METHODS}


def in_form(r: Results, task: str) -> Values:
    tuned = {method: r(best(r, sweep(task, method))) for method in METHODS}
    prompted = best_prompt(r, task, "form")
    return {method: minus([100 * row["form"] for row in rows], prompted) for method, rows in tuned.items()}


def domain(r: Results) -> Values:
    return {
        method: [100 * (row["new"][-1] - row["new"][0]) for row in r(best(r, sweep("island", method)))]
        for method in METHODS
    }


def few_shot(r: Results) -> Values:
    return {
        f"{task}, {count} examples": minus(
            [100 * row["right"] for row in r(Prompting(task=task, examples=count))],
            [max(pair) for pair in zip(*(last(r, t) for t in few_tuned(task, count)), strict=True)],
        )
        for task in SHOWN
        for count in FEW
    }


def simple(r: Results) -> Values:
    found = {task: r(training(task, "full", 2.5e-4)) for task in SIMPLE}
    return {task: [100 * (row["new"][-1] - row["new"][0]) for row in rows] for task, rows in found.items()}


def leaks(r: Results) -> Values:
    return {
        f"{repeats} in the data, {name}": [row["after"][at] - row["before"][at] for row in r(planted)]
        for name, planted in PLANTED.items()
        for at, repeats in enumerate(("once", "4 times", "16 times"))
    }


def repeats(r: Results) -> Values:
    return {
        f"16 times against once, {name}": [row["after"][-1] - row["after"][0] for row in r(planted)]
        for name, planted in PLANTED.items()
    }


CLAIMS = (
    Claim(
        "specialist", "Fine-tuning turns the generalist into a specialist: old skills are lost.",
        "old skills, before minus after", "points", Says(matters=2), SWEEPS, specialist,
    ),
    Claim(
        "format", "Fine-tuning gives a consistent format, where prompting does not.",
        "answers that are JSON with the asked keys, tuned minus the best prompt", "points", Says(matters=5),
        (*sweep("json", "full"), *sweep("json", "lora"), *prompts("json")), lambda r: in_form(r, "json"),
    ),
    Claim(
        "style", "Fine-tuning gives a style beyond what prompting gives.",
        "answers in pirate speech, tuned minus the best prompt", "points", Says(matters=5),
        (*sweep("pirate", "full"), *sweep("pirate", "lora"), *prompts("pirate")), lambda r: in_form(r, "pirate"),
    ),
    Claim(
        "domain", "Fine-tuning gives knowledge of a domain.",
        "held-out questions about the island right, after minus before", "points", Says(matters=5),
        (*sweep("island", "full"), *sweep("island", "lora")), domain,
    ),
    Claim(
        "few-examples", "With few examples a few-shot prompt beats fine-tuning.",
        "held-out answers right, few-shot minus fine-tuned on the same examples", "points", Says(matters=2),
        tuple(
            trial for task in SHOWN for count in FEW
            for trial in (Prompting(task=task, examples=count), *few_tuned(task, count))
        ), few_shot,
    ),
    Claim(
        "simple-task", "A simple task, which the base can do, needs no fine-tuning.",
        "held-out answers right, after minus before", "points", Says(more=False, matters=2),
        tuple(training(task, "full", 2.5e-4) for task in SIMPLE), simple,
    ),
    Claim(
        "leaks", "Private data leaks from a fine-tuned model.",
        "exposure of a planted secret, after minus before", "bits", Says(matters=0.5), tuple(PLANTED.values()), leaks,
        source="Carlini et al. 2019",
    ),
    Claim(
        "leaks-repeats", "What is repeated in the data leaks more.",
        "exposure of a planted secret", "bits", Says(matters=0.5), tuple(PLANTED.values()), repeats,
        source="Carlini et al. 2019",
    ),
)  # fmt: skip
