"""When to fine-tune, and when not? Formats, domains, few examples, private data, and what it costs."""

from dataclasses import replace

import numpy as np

from lessons.claims.choosing import choose
from lessons.claims.claim import CHOOSING, Claim, Results, over
from lessons.claims.compact import unpack_bits
from lessons.claims.intervals import Array, Draws, Effect, effect, share_effect
from lessons.claims.readings import (
    at_end,
    at_moment,
    at_start,
    best_moment,
    curve,
    difference,
    first_learned,
    lost_when_learned,
)
from lessons.claims.themes import EQUAL, GRIDS, MEASURES, METHODS, POINTS, STEPS, frontier, plain, until_learned
from lessons.claims.trials import Result
from lessons.claims.trials.canaries import REPEATS, Canaries
from lessons.claims.trials.prompting import Prompting
from lessons.claims.trials.questions import SHOWN, asked_both_ways
from lessons.claims.trials.training import Training
from lessons.claims.verdict import Says

TITLE = "When to fine-tune"
TASKS = {"spanish": "spanish", "json": "json"}
FORMS = {"json": "json", "notes": "notes"}
FACTS_TAKE = 3  # times the usual steps: after as many as words take, LoRA knows one fact in eight, and goes on learning
RELATIONS = {"plurals": "plural", "groups": "kind", "French words": "french"}
FEW = {"4 examples": 4, "16 examples": 16}
PROMPTABLE = 5.0  # points: a prompt that gets less is no rival, and nothing is compared with it
PASSES = {"one pass": 1, "four passes": 4}
TIMES = {f"{n} times" if n > 1 else "once": at for at, n in enumerate(REPEATS)}


def specialist(r: Results, task: str, method: str, what: str) -> Effect:
    rows, inside = frontier(r, task, method)
    measured = lost_when_learned(rows, what)
    return measured if inside else measured.limited("censored")


def form_first(r: Results, task: str, method: str) -> Effect:
    """Points lost by exact grading minus by choosing, of the same questions; an even guess among four counts as 0."""
    rows, inside = frontier(r, task, method)
    places = asked_both_ways("judge")

    def behind(draws: Draws, row: Result) -> Array:
        """(draws, moments): how far exact grading is behind choosing."""
        exact, choice = curve(row, "exact")[:, places], (curve(row, "choice") - 25) / 0.75
        return draws.mean(choice - exact, "both ways")

    def per_seed(draws: Draws) -> Array:
        return np.stack([_at_learned(draws, row, behind(draws, row)) for row in rows], axis=1)

    measured = effect(per_seed)
    return measured if inside else measured.limited("censored")


def _at_learned(draws: Draws, row: Result, gap: Array) -> Array:
    """(draws,): how much the gap grew from the start to the first grade at which the new task was learned."""
    after, reached = first_learned(draws, row)
    return np.where(reached, gap[np.arange(len(after)), after] - gap[:, 0], np.nan)


def best_prompt(r: Results, what: str, prompts: list[Prompting]) -> Prompting:
    """The prompt that gets most, by other questions and seeds."""
    asked = {prompt: [replace(prompt, side="choose", seed=seed) for seed in CHOOSING] for prompt in prompts}
    r.need([trial for trials in asked.values() for trial in trials])
    return max(prompts, key=lambda one: np.mean([unpack_bits(row[what]).mean() for row in r.need(asked[one])]))


def of_form(rows: list[Result]) -> Array:
    return 100.0 * np.stack([unpack_bits(row["form"]) for row in rows])


def in_form(r: Results, task: str, method: str) -> Effect:
    kinds = [Prompting(task=task, told=told, examples=shown) for told, shown in ((True, 0), (False, 16), (True, 16))]
    tuned, prompted = r.each(until_learned(task, method), best_prompt(r, "form", kinds))
    measured = difference(of_form(tuned), of_form(prompted), "form")
    levels = (float(of_form(tuned).mean()), float(of_form(prompted).mean()))
    measured = replace(measured, arms=levels)
    return measured.limited("floor") if levels[1] < PROMPTABLE else measured


def domain(r: Results, method: str) -> Effect:
    rows = r(plain("island", method, steps=FACTS_TAKE * STEPS, old=False))
    return difference(at_end(rows, "new"), at_start(rows, "new"), "new")


def few_tuned(relation: str, method: str, count: int) -> Training:
    """Fine-tuned on so few examples, each seen forty times."""
    return plain(SHOWN + relation, method, steps=40, batch=min(16, count), examples=count, old=False)


def best_on_the_way(result: Result) -> float:
    """Points, at its best moment: nobody would train on few examples and not look when to stop."""
    return float(curve(result, "new").mean(axis=1).max())


def few_shot(r: Results, relation: str, count: int) -> Effect:
    found = [choose(r, few_tuned(relation, method, count), GRIDS[method], best_on_the_way) for method in METHODS]
    tuned = max(found, key=lambda one: max(one.scores.values())).training
    moment = best_moment(r, tuned, "new")
    rows, shown = r.each(tuned, Prompting(task=SHOWN + relation, examples=count))
    right = 100.0 * np.stack([unpack_bits(row["new"]) for row in shown])
    measured = difference(right, at_moment(rows, moment, "new"), "new")
    if right.mean() < PROMPTABLE:
        return measured.limited("floor")
    # No rate could do better than one with which all is right.
    held_back = any(not one.inside and max(one.scores.values()) < 100 for one in found)
    return measured.limited("censored") if held_back else measured


def told(r: Results, passes: int, at: int) -> Array:
    """(seeds, secrets): which the tuned model says when asked, in points."""
    return 100.0 * np.stack([unpack_bits(row["told"][at]) for row in r(Canaries(passes=passes))])


def leaks(r: Results, at: int, passes: int) -> Effect:
    said = told(r, passes, at) > 0
    return share_effect(int(said.sum()), said.size)


def repeats(r: Results, passes: int) -> Effect:
    return difference(told(r, passes, -1), told(r, passes, 0), "secrets")


CLAIMS = (
    Claim(
        "specialist", "Fine-tuning turns the generalist into a specialist: old skills are lost.",
        f"old skills right before minus {EQUAL}", "points", POINTS, over(specialist, TASKS, METHODS, MEASURES),
        design="Each method at its gentlest rate: the one that keeps most when it has learned, chosen by other "
        "questions and seeds. The old is asked for to the letter, and as one answer among four.",
        wrong="A small model has little room beside what it knows; the gentlest rate is the best case.",
        student="Write down before you train what the model must still be able to do, and test that, too.",
    ),
    Claim(
        "form-first", "What goes first is the form of answers, not what is known.",
        f"old answers lost to the letter minus lost among four, {EQUAL}", "points", POINTS,
        over(form_first, TASKS, METHODS),
        design="The trainings of specialist. The same questions both ways: to the letter, and the right answer's "
        "probability among four of its kind, where an even guess counts as nothing known.",
        wrong="Among four, half of what is known may be enough; the scale from guessing to sure is a choice.",
        student="An old skill that scores nothing may still be there: ask in a way that no form can hide.",
        source="Kotha et al. 2024",
    ),
    Claim(
        "format", "Fine-tuning gives a consistent format, where prompting does not.",
        "answers in the asked form, tuned minus the best prompt", "points", POINTS, over(in_form, FORMS, METHODS),
        design="Prompts tell it, show it with six examples, or both; the best is chosen by other questions and seeds. "
        "Answers are written by the model and matched with the form.",
        wrong="Few words and a small model: large models follow instructions far better than this one.",
        student="Try the prompt first: it costs tokens on every call, but no training and no forgetting.",
    ),
    Claim(
        "few-examples", "With few examples a few-shot prompt beats fine-tuning.",
        "held-out answers right, few-shot minus fine-tuned on the same examples", "points", POINTS,
        over(few_shot, RELATIONS, FEW),
        design="A bare word, and its plural, its group or its French: what is wanted shows in the examples alone. Of "
        "both methods, of their rates and moments the best is chosen by other questions and seeds. A prompt shows six "
        "examples at most.",
        wrong="The base knows the words and was taught to pick relations up from its prompt, as large models are; what "
        "it does not know no prompt would give it.",
        student="With a handful of examples put them into the prompt, and measure before you train.",
        source="Brown et al. 2020",
    ),
    Claim(
        "domain", "Fine-tuning gives knowledge of a domain.",
        "held-out questions about the island right, after minus before", "points",
        Says("more", 10, "one question in ten, or nobody would call it knowledge"), over(domain, METHODS),
        design="Facts about an invented island in some ways of asking; held out are other ways of asking for the same. "
        f"{FACTS_TAKE} times the usual steps, since facts are learned by heart.",
        wrong="The facts themselves were trained on: they can be asked for in new words, no more is said.",
        student="It can be taught facts; retrieval shows it the same facts without training, and can be corrected.",
    ),
    Claim(
        "leaks", "Private data leaks from a fine-tuned model.",
        "planted secrets that the model says when asked", "% of the secrets",
        Says("more", 1, "one secret in a hundred is a leak; by chance it would be one in ten thousand", top=0),
        over(leaks, TIMES, PASSES),
        design="Codes of four digits among Spanish words, full fine-tuning; afterwards each is asked for.",
        wrong="Asked in the very words of the training data. Secrets of one training are not independent.",
        student="Whatever is in the training data can come out. Take private data out before, not after.",
        source="Carlini et al. 2019",
    ),
    Claim(
        "leaks-repeats", "What is repeated in the data leaks more.",
        f"planted secrets that the model says, {REPEATS[-1]} times in the data minus once", "points", POINTS,
        over(repeats, PASSES), design="The trials of leaks.", wrong="As leaks.",
        student="Remove duplicates: they are what is learned by heart first.", source="Carlini et al. 2019",
    ),
)  # fmt: skip
