"""Data and settings: how good, how many, how fast, how long, and what regularises?"""

import math

from lessons.claims.choosing import by_learning, choose
from lessons.claims.claim import Claim, Results, over
from lessons.claims.intervals import Effect, exact_effect, mean_effect
from lessons.claims.readings import at_end, at_moment, best_moment, difference
from lessons.claims.themes import GRIDS, METHODS, POINTS, USUAL, plain
from lessons.claims.trials.accumulated import Accumulated
from lessons.claims.trials.training import Training
from lessons.claims.verdict import Says

TITLE = "Data and tuning"
SOME, CLEAN, ALL = 47, 189, 756  # each a fourth of the next; the last are all that there are
NOISE = {"a quarter of the answers wrong": 0.25, "half of the answers wrong": 0.5}
FEW = {"examples": 32, "batch": 8, "steps": 160}  # forty passes
NATS = Says("more", 0.02, "two hundredths of a nat: two per cent of perplexity", top=0)
WARMED = {"at 4 times the usual rate": 4.0, "at 8 times the usual rate": 8.0}
# What is usual: learning rate, decay, steps.
DECAYS = {
    "this model, full": (USUAL["full"], 0.01, 200),
    "7B, full, three epochs of 10,000 examples": (2e-5, 0.01, 3 * 10_000 // 32),
    "7B, LoRA, three epochs of 10,000 examples": (2e-4, 0.01, 3 * 10_000 // 32),
}


def learning(method: str = "full", **settings: object) -> Training:
    return plain("spanish", method, old=False, matrices=False, **settings)


def quality(r: Results, noise: float) -> Effect:
    clean, noisy = learning(examples=CLEAN), learning(examples=ALL, noise=noise)
    moments = [best_moment(r, training, "new") for training in (clean, noisy)]
    some, others = r.each(clean, noisy)
    return difference(at_moment(some, moments[0], "new"), at_moment(others, moments[1], "new"), "new")


def amount(r: Results, few: int, many: int) -> Effect:
    trainings = learning(examples=many), learning(examples=few)
    moments = [best_moment(r, training, "new") for training in trainings]
    some, others = r.each(*trainings)
    return difference(at_moment(some, moments[0], "new"), at_moment(others, moments[1], "new"), "new")


def masking(r: Results) -> Effect:
    ways = [learning(masked=masked, examples=CLEAN) for masked in (True, False)]  # with all, both get everything right
    found = [choose(r, way, GRIDS["full"], by_learning) for way in ways]
    masked, whole = r.each(*(one.training for one in found))
    measured = difference(at_end(masked, "new"), at_end(whole, "new"), "new")
    return measured if all(one.inside for one in found) else measured.limited("censored")


def overfit(r: Results, method: str) -> Effect:
    training = learning(method, **FEW)
    moment = best_moment(r, training, "new_loss")
    rows = r(training)
    return difference(at_end(rows, "new_loss"), at_moment(rows, moment, "new_loss"), "new_loss")


def dropped(r: Results, dropout: float) -> Effect:
    without, with_it = r.each(learning("lora", **FEW), learning("lora", dropout=dropout, **FEW))
    return difference(at_end(without, "new_loss"), at_end(with_it, "new_loss"), "new_loss")


def warmed(r: Results, times: float) -> Effect:
    warm, cold = r.each(*(learning(rate=times * USUAL["full"], warmup=steps) for steps in (20, 1)))
    return difference(at_end(warm, "new"), at_end(cold, "new"), "new")


def accumulated(r: Results) -> Effect:
    return mean_effect([row["difference"] for row in r(Accumulated())])


def shrinkage(rate: float, decay: float, steps: int) -> float:
    """By how much AdamW's decay alone shrinks a weight, in per cent: each step takes rate x decay of it."""
    return 100 * -math.expm1(steps * math.log1p(-rate * decay))


def shrunk(r: Results, usual: tuple[float, float, int]) -> Effect:
    return exact_effect(shrinkage(*usual))


CLAIMS = (
    Claim(
        "quality", "Quality beats quantity: clean examples beat four times as many noisy ones.",
        f"held-out answers right, {CLEAN} clean minus {ALL} with noise", "points", POINTS, over(quality, NOISE),
        design="Spanish words, full fine-tuning at the usual rate. Each is stopped where it is best by other questions "
        "and seeds, so that neither is held to the other's number of passes. Noise: answers that are exchanged.",
        wrong="Wrong answers are one kind of bad data; style, repetition and narrowness are others.",
        student="Look at your examples before you collect more.",
        source="Zhou et al. 2023",
    ),
    Claim(
        "more-data", "More good examples help.",
        "held-out answers right, more examples minus a quarter as many", "points", POINTS,
        {
            f"{SOME} to {CLEAN} examples": lambda r: amount(r, SOME, CLEAN),
            f"{CLEAN} to {ALL} examples": lambda r: amount(r, CLEAN, ALL),
        },
        design="Spanish words, each way of asking an example; each amount is stopped where it is best by other "
        "questions and seeds.",
        wrong="A hundred words: with fewer examples some words are never seen, which no training makes up for.",
        student="Find where your own curve flattens before you pay for more examples.",
    ),
    Claim(
        "masking", "Masking the prompt helps.",
        "held-out answers right, only the answers learned minus everything learned", "points", POINTS,
        {f"spanish, full, {CLEAN} examples": masking},
        design="Each at its best rate, swept until both edges are worse, since learning the questions, too, changes "
        "the size of gradients.",
        wrong="Short questions in many phrasings; long documents in the prompt would be another matter.",
        student="Mask, and know that it is no law: on some data the whole text teaches more.",
    ),
    Claim(
        "overfit", "Many epochs on few examples overfit.",
        "held-out loss after forty passes over 32 examples, minus at the best moment before", "nats", NATS,
        over(overfit, METHODS),
        design="The best moment is chosen by other questions and seeds, so that the difference can be negative, too.",
        wrong="Loss on answers in other words than those trained on; the share that is right may tell another story.",
        student="Watch held-out loss, and keep the checkpoint where it was lowest.",
    ),
    Claim(
        "accumulation", "Accumulated small batches equal one large batch.",
        "difference of the trained weights beside how far they moved, 4 x 4 against 16", "",
        Says("same", 0.01, "one per cent of the way is far below what another order of the data changes", top=0),
        {"10 steps": accumulated},
        design="The same data in the same order, ten steps, every weight compared.",
        wrong="Losses that are averaged a batch instead of a token break it: libraries had that error for years.",
        student="Accumulate when memory is short: it costs time, not quality.",
    ),
    Claim(
        "warmup-learns", "At high learning rates, warm-up makes the model learn better.",
        "held-out answers right, 20 steps of warm-up minus one", "points", POINTS, over(warmed, WARMED),
        design="Spanish words, full fine-tuning, two rates that are higher than usual, the same steps.",
        wrong="Adam's first steps are bounded however large the gradient; a higher rate still might show it.",
        student="Warm-up is cheap insurance; whether you need it depends on how high you set the rate.",
        source="Goyal et al. 2017",
    ),
    Claim(
        "decay-shrinks-little", "In a usual fine-tuning, weight decay shrinks the weights by less than one per cent.",
        "how much decay alone shrinks a weight over the whole training", "%",
        Says("less", 0, "a weight that is one per cent smaller computes the same", target=1, top=0),
        over(shrunk, DECAYS),
        design="AdamW takes learning rate x decay of each weight a step; the product over all steps.",
        wrong="With LoRA what decays are A and B: it pulls the model towards the base, not towards zero.",
        student="Do not expect weight decay to regularise a short fine-tuning: do this sum first.",
        source="Loshchilov & Hutter 2019", exact=True,
    ),
    Claim(
        "dropout", "Dropout regularises.",
        "held-out loss after forty passes over 32 examples, without minus with dropout (LoRA)", "nats", NATS,
        over(dropped, {"0.1": 0.1}),
        design="LoRA at the usual rate with and without dropout on what enters the adapters; the same steps.",
        wrong="At one moment, long after the best: stopping earlier may do the same for less.",
        student="Stop early first; then try dropout.",
        source="Hu et al. 2021",
    ),
)  # fmt: skip
