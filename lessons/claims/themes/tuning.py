"""Data and settings: how good, how many, how fast, how long, and what regularises?"""

import json
import math
from typing import Any

from engine.run.base import EMBEDDED_FOLDER
from lessons.claims.claim import Claim, Results, Values
from lessons.claims.readings import best_rates, last, minus, number
from lessons.claims.themes import GOOD, TASKS, good, sweep, training
from lessons.claims.trials.accumulated import Accumulated
from lessons.claims.trials.training import Training, material
from lessons.claims.verdict import Says

TITLE = "Data and tuning"
NOISE = (0.25, 0.5)
FEW = 77  # clean examples, against four times as many with noise
SMALL: dict[str, Any] = {"examples": 32, "steps": 80, "batch": 8, "every": 16}  # twenty passes over 32 examples
HIGH = (4e-3,)
UNMASKED = (("spanish", "full"), ("json", "full"))


CLEAN = good("spanish", examples=FEW)
NOISY = {share: good("spanish", noise=share) for share in NOISE}
OPEN = {(task, method): good(task, method, masked=False) for task, method in UNMASKED}
SMALL_RUNS = {method: good("json", method, **SMALL) for method in GOOD}
DECAYED = {decay: good("json", decay=decay, **SMALL) for decay in (0.1, 1.0)}
DROPPED = {dropout: good("json", "lora", dropout=dropout, **SMALL) for dropout in (0.1,)}
OVERFITTED = (*SMALL_RUNS.values(), *DECAYED.values(), *DROPPED.values())
WARM = {(rate, w): training("spanish", "full", rate, warmup=w) for rate in HIGH for w in (0.0, 0.2)}
EXAMPLES = {task: len(material(task)[0]) for task in TASKS}
WHOLE = {
    "spanish": training("spanish", "full", 2e-3, part=1.0, steps=100, every=100),
    "json": training("json", "full", 1e-3),
    "pirate": training("pirate", "full", 1e-3),
    "island": training("island", "full", 2e-3, part=1.0, steps=150, every=150),
}


def quality(r: Results) -> Values:
    return {
        f"{share:.0%} of the answers wrong": minus(last(r, CLEAN), last(r, noisy)) for share, noisy in NOISY.items()
    }


def enough(r: Results) -> Values:
    return {f"{task}, {EXAMPLES[task]:,} examples": last(r, run) for task, run in WHOLE.items()}


def masking(r: Results) -> Values:
    return {
        f"{task}, {method}": minus(last(r, good(task, method)), last(r, OPEN[task, method]))
        for task, method in UNMASKED
    }


def lower_rate(r: Results) -> Values:
    pretrained = json.loads((EMBEDDED_FOLDER / "card.json").read_text(encoding="utf-8"))["recipe"]["adam_rate"]
    found = {
        f"{task}, to learn it best": [math.log10(pretrained / rate) for rate in best_rates(r, sweep(task, "full"))]
        for task in ("spanish", "json")
    }
    for task in ("spanish", "json"):
        rates = sweep(task, "full")
        both = [[result["new"][-1] + result["old"][-1] for result in r(t)] for t in rates]
        found[f"{task}, to learn it and keep the old"] = [
            math.log10(pretrained / rates[max(range(len(rates)), key=lambda at: sums[at])].rate)
            for sums in zip(*both, strict=True)
        ]
    return found


def overfit(r: Results) -> Values:
    return {
        method: [
            number(row["new_loss"][-1]) - min(number(value) for value in row["new_loss"])
            for row in r(SMALL_RUNS[method])
        ]
        for method in SMALL_RUNS
    }


def accumulated(r: Results) -> Values:
    return {"10 steps": [row["difference"] for row in r(Accumulated())]}


def warmed(r: Results) -> Values:
    return {
        f"at {rate:g}": minus(
            [number(row["peak"]) for row in r(WARM[rate, 0.0])], [number(row["peak"]) for row in r(WARM[rate, 0.2])]
        )
        for rate in HIGH
    }


def warm_learns(r: Results) -> Values:
    return {f"at {rate:g}": minus(last(r, WARM[rate, 0.2]), last(r, WARM[rate, 0.0])) for rate in HIGH}


def regularised(r: Results, without: Training, runs: dict[float, Training]) -> Values:
    return {
        f"{amount:g}": minus(last(r, without, "new_loss"), last(r, run, "new_loss")) for amount, run in runs.items()
    }


CLAIMS = (
    Claim(
        "quality", "Quality beats quantity: clean examples beat four times as many noisy ones.",
        f"held-out answers right, {FEW} clean minus 308 with noise", "points", Says(matters=2),
        (CLEAN, *NOISY.values()), quality, source="Zhou et al. 2023",
    ),
    Claim(
        "thousand", "About a thousand good examples suffice.",
        "held-out answers right after training on all examples (enough: 90)", "points", Says(target=90),
        tuple(WHOLE.values()), enough, source="Zhou et al. 2023",
    ),
    Claim(
        "masking", "Masking the prompt helps.",
        "held-out answers right, only the answers learned minus everything learned", "points", Says(matters=2),
        tuple(t for pair in UNMASKED for t in (good(*pair), OPEN[pair])), masking,
    ),
    Claim(
        "lower-rate-than-pretraining", "Fine-tuning wants a lower learning rate than pretraining did.",
        "log10 of pretraining's Adam rate over full fine-tuning's best (0: the same)", "", Says(matters=0.1),
        tuple(t for task in ("spanish", "json") for t in sweep(task, "full")), lower_rate,
    ),
    Claim(
        "overfit", "Many epochs on few examples overfit.",
        "held-out loss after 20 epochs on 32 examples, minus its lowest on the way", "nats a token", Says(matters=0.02),
        tuple(SMALL_RUNS.values()), overfit,
    ),
    Claim(
        "accumulation", "Accumulated small batches equal one large batch.",
        "difference of the trained weights beside how far they moved, 4 x 4 against 16", "",
        Says(more=False, matters=0.01), (Accumulated(),), accumulated,
    ),
    Claim(
        "warmup-steadies", "Warm-up steadies training at high learning rates.",
        "highest loss of a step after the tenth, without minus with warm-up", "nats a token", Says(matters=0.05),
        tuple(WARM.values()), warmed,
    ),
    Claim(
        "warmup-learns", "At high learning rates, warm-up makes the model learn better.",
        "held-out answers right, with minus without warm-up", "points", Says(matters=2), tuple(WARM.values()),
        warm_learns,
    ),
    Claim(
        "weight-decay", "Weight decay regularises.",
        "held-out loss after 20 epochs on 32 examples, without minus with weight decay", "nats a token",
        Says(matters=0.01), (SMALL_RUNS["full"], *DECAYED.values()),
        lambda r: regularised(r, SMALL_RUNS["full"], DECAYED),
    ),
    Claim(
        "dropout", "Dropout regularises.",
        "held-out loss after 20 epochs on 32 examples, without minus with dropout (LoRA)", "nats a token",
        Says(matters=0.01), (SMALL_RUNS["lora"], *DROPPED.values()),
        lambda r: regularised(r, SMALL_RUNS["lora"], DROPPED),
    ),
)  # fmt: skip
