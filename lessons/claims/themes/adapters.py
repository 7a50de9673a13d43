"""Full fine-tuning and LoRA: what does each change, how much, and at which rate?"""

import math

from lessons.claims.claim import Claim, Results, Values
from lessons.claims.readings import best, best_rates, last, minus
from lessons.claims.themes import TASKS, good, sweep, training
from lessons.claims.trials.adapters import Overlap, Switching
from lessons.claims.trials.sizes import Sizes
from lessons.claims.verdict import Says

TITLE = "Full fine-tuning and LoRA"
SWEPT = ("spanish", "json")  # with enough rates to find the best one
RANK_RATES = (8e-3, 1.6e-2)
FEW = 77
SHARES = {
    "this model, r = 8": Sizes(),
    "this model, r = 1": Sizes(rank=1),
    "7B, r = 8": Sizes(model="7B"),
    "7B, r = 8, queries and values": Sizes(model="7B", targets=("q_proj", "v_proj")),
}


def at_rank(rank: int) -> tuple:
    if rank == 8:
        return sweep("spanish", "lora")
    return tuple(training("spanish", "lora", rate, rank=rank) for rate in RANK_RATES)


def few(method: str) -> tuple:
    return (good("spanish", method, examples=FEW),)


def full_most(r: Results) -> Values:
    return {
        f"{task}{'' if len(sweep(task, 'full')) > 1 else ', one rate'}": minus(
            last(r, best(r, sweep(task, "full"))), last(r, best(r, sweep(task, "lora")))
        )
        for task in TASKS
    }


def shares(r: Results) -> Values:
    return {name: [100 * row["share"] for row in r(sizes)] for name, sizes in SHARES.items()}


def by_rank(r: Results) -> Values:
    full = last(r, best(r, sweep("spanish", "full")))
    return {f"r = {rank}": minus(full, last(r, best(r, at_rank(rank)))) for rank in (1, 8, 32)}


def by_amount(r: Results) -> Values:
    def gap(full: tuple, lora: tuple) -> list[float | None]:
        return minus(last(r, best(r, full)), last(r, best(r, lora)))

    return {
        f"all 308 examples against {FEW}": minus(
            gap(sweep("spanish", "full"), sweep("spanish", "lora")), gap(few("full"), few("lora"))
        )
    }


def rates(r: Results) -> Values:
    return {
        task: [
            math.log10(lora / full)
            for lora, full in zip(best_rates(r, sweep(task, "lora")), best_rates(r, sweep(task, "full")), strict=True)
        ]
        for task in SWEPT
    }


def ranks(r: Results) -> Values:
    rows = r(best(r, sweep("spanish", "full")))
    return {f"r = {rank}": [row["changes"]["rank_90"] - rank for row in rows] for rank in (8, 16, 64)}


def switching(r: Results) -> Values:
    rows = r(Switching())
    return {
        "switched off, against the base": [float(row["off"]) for row in rows],
        "switched back, against before": [float(row["back"]) for row in rows],
        "second adapter, shared base against its own": [float(row["joined"]) for row in rows],
    }


def overlaps(r: Results) -> Values:
    rows = r(Overlap())
    return {
        "the top direction" if i == 1 else f"the first {i}": [row["phi"][at] - row["chance"][at] for row in rows]
        for at, i in enumerate(rows[0]["directions"])
    }


def intruders(r: Results) -> Values:
    lora, full = (r(best(r, sweep("spanish", method))) for method in ("lora", "full"))
    return {
        "LoRA minus full": minus([x["changes"]["intruders"] for x in lora], [x["changes"]["intruders"] for x in full]),
    }


def beside_chance(r: Results) -> Values:
    found = {method: r(best(r, sweep("spanish", method))) for method in ("lora", "full")}
    return {
        method: [row["changes"]["intruders_by_chance"] - row["changes"]["intruders"] for row in rows]
        for method, rows in found.items()
    }


SPANISH = (*sweep("spanish", "full"), *sweep("spanish", "lora"))
CLAIMS = (
    Claim(
        "full-most", "Full fine-tuning adapts most.",
        "held-out answers right, full minus LoRA (r = 8), each at its best rate of those tried", "points",
        Says(matters=2), tuple(t for task in TASKS for method in ("full", "lora") for t in sweep(task, method)),
        full_most,
    ),
    Claim(
        "one-per-cent", "LoRA trains about one per cent of the weights, or less.",
        "share of the weights that are trained", "%", Says(more=False, target=1, matters=1),
        tuple(SHARES.values()), shares, source="Hu et al. 2021",
    ),
    Claim(
        "less-by-rank", "LoRA of a low rank is less expressive than full fine-tuning.",
        "held-out answers right, full minus LoRA, each at its best rate", "points", Says(matters=2),
        (*SPANISH, *at_rank(1), *at_rank(32)), by_rank, source="Biderman et al. 2024",
    ),
    Claim(
        "less-by-data", "The more data, the further LoRA falls behind full fine-tuning.",
        "how far LoRA is behind in held-out answers, with all the data minus with a quarter", "points", Says(matters=2),
        (*SPANISH, *few("full"), *few("lora")), by_amount, source="Biderman et al. 2024",
    ),
    Claim(
        "lora-rate", "LoRA's best learning rate is about ten times as high as full fine-tuning's.",
        "log10 of LoRA's best rate over full's (1: ten times as high)", "", Says(more=False, target=1, matters=0.35),
        tuple(t for task in SWEPT for method in ("full", "lora") for t in sweep(task, method)), rates,
        source="Schulman et al. 2025",
    ),
    Claim(
        "lora-rate-higher", "LoRA's best learning rate is higher than full fine-tuning's.",
        "log10 of LoRA's best rate over full's (0: the same)", "", Says(matters=0.1),
        tuple(t for task in SWEPT for method in ("full", "lora") for t in sweep(task, method)), rates,
    ),
    Claim(
        "full-rank", "Full fine-tuning's change has a higher rank than usual adapters.",
        "directions that hold 90 % of full's delta-W (mean over matrices), minus the adapter's rank", "directions",
        Says(matters=1), sweep("spanish", "full"), ranks, source="Biderman et al. 2024",
    ),
    Claim(
        "share-a-base", "Adapters share one base, and switching between them is exact.",
        "logits that differ", "logits", Says(more=False), (Switching(),), switching,
    ),
    Claim(
        "overlap", "LoRA of rank 8 and of rank 64 find the same top directions.",
        "overlap phi of the input directions, minus chance", "", Says(matters=0.1), (Overlap(),), overlaps,
        source="Hu et al. 2021, section 7.2",
    ),
    Claim(
        "intruders", "LoRA brings more intruder dimensions than full fine-tuning.",
        "intruders among the ten largest directions of W', mean over matrices", "directions", Says(matters=0.2),
        SPANISH, intruders, source="Shuttleworth et al. 2024",
    ),
    Claim(
        "intruders-chance", "Even a tuned model has fewer intruder dimensions than random directions would be.",
        "intruders by chance minus intruders found, of the ten largest directions", "directions", Says(matters=0.2),
        SPANISH, beside_chance, source="Shuttleworth et al. 2024",
    ),
)  # fmt: skip
