"""What makes a model forget, and what helps, at the same accuracy on the new task?"""

from lessons.claims.claim import Claim, Results, Values
from lessons.claims.readings import best, kept, last, lost, minus, most_kept
from lessons.claims.themes import GOOD, RATES, good, sweep, training
from lessons.claims.trials.adapters import Switching
from lessons.claims.trials.training import Training
from lessons.claims.verdict import Says

TITLE = "Forgetting"
LONG = (good("spanish"), good("spanish", "lora"), good("json"), good("pirate"))  # trained on, once they have learned
LOW = {"full": 5e-4, "lora": 8e-3}
HIGH = {"full": 2e-3, "lora": 1.6e-2}
COMPARED = ("spanish", "json", "pirate")  # the island is not learned to 80 % in so few steps


def mixed(mix: float, method: str = "full") -> Training:
    return training("spanish", method, GOOD[method], mix=mix, steps=100, every=20)


MIXED = {(method, mix): mixed(mix, method) for method, mix in (("full", 0.5), ("lora", 0.5))}


def with_steps(r: Results) -> Values:
    """The first grade after the start is at the same share of every training, a fifth of its steps."""
    found = {}
    for one in LONG:
        old = [row["old"] for row in r(one)]
        name = f"{one.task}, {one.method}, steps"
        found[f"{name} 0 to {one.every}"] = [100 * (values[0] - values[1]) for values in old]
        found[f"{name} {one.every} to {one.steps}"] = [100 * (values[1] - values[-1]) for values in old]
    return found


def with_rate(r: Results) -> Values:
    found = {}
    for method in GOOD:
        low, high = (training("spanish", method, rate) for rate in (min(RATES["spanish", method]), HIGH[method]))
        found[f"{method}, {high.rate:g} against {low.rate:g}"] = minus(lost(r, high), lost(r, low))
    return found


def stopping(r: Results) -> Values:
    return {f"{one.task}, {one.method}": minus(kept(r, one), last(r, one, "old")) for one in LONG}


def gentler(r: Results) -> Values:
    return {
        f"{method}, {LOW[method]:g} against {HIGH[method]:g}": minus(
            kept(r, training("spanish", method, LOW[method])), kept(r, training("spanish", method, HIGH[method]))
        )
        for method in GOOD
    }


def mixing(r: Results) -> Values:
    return {
        f"{method}, {mix:.0%} mixed in": minus(kept(r, run), kept(r, training("spanish", method, GOOD[method])))
        for (method, mix), run in MIXED.items()
    }


def lora_less(r: Results) -> Values:
    found: dict[str, list[float | None]] = {}
    for task in COMPARED:
        full, lora = sweep(task, "full"), sweep(task, "lora")
        learned = minus(kept(r, best(r, lora)), kept(r, best(r, full)))
        if len(full) == 1:
            found[f"{task}, one rate"] = learned
        else:
            found[f"{task}, at the rates that learn best"] = learned
            found[f"{task}, at the rates that keep most"] = minus(most_kept(r, lora), most_kept(r, full))
    return found


def switched_off(r: Results) -> Values:
    return {"LoRA": [float(row["off"]) for row in r(Switching())]}


CLAIMS = (
    Claim(
        "grows-with-steps", "Forgetting grows with the number of steps.",
        "old skills, at the earlier step minus at the later", "points", Says(matters=2), LONG, with_steps,
    ),
    Claim(
        "grows-with-rate", "Forgetting grows with the learning rate.",
        "old skills lost in as many steps, high rate minus low", "points", Says(matters=2),
        tuple(
            training("spanish", method, rate)
            for method in GOOD for rate in (min(RATES["spanish", method]), HIGH[method])
        ), with_rate,
    ),
    Claim(
        "early-stopping", "Stopping early reduces forgetting.",
        "old skills right, stopped at 80 % on the new task minus at the end", "points", Says(matters=2),
        LONG, stopping,
    ),
    Claim(
        "gentle-rate", "A lower learning rate reduces forgetting, at the same accuracy on the new task.",
        "old skills right when the new task is at 80 %, low rate minus high", "points", Says(matters=2),
        tuple(training("spanish", method, rates[method]) for method in GOOD for rates in (LOW, HIGH)), gentler,
    ),
    Claim(
        "mixing", "Mixing in pretraining data reduces forgetting, at the same accuracy on the new task.",
        "old skills right when the new task is at 80 %, mixed minus not", "points", Says(matters=2),
        (*MIXED.values(), *(training("spanish", method, rate) for method, rate in GOOD.items())), mixing,
    ),
    Claim(
        "lora-forgets-less", "LoRA forgets less than full fine-tuning, at the same accuracy on the new task.",
        "old skills right when the new task is at 80 %, LoRA (r = 8) minus full", "points", Says(matters=2),
        tuple(t for task in COMPARED for method in GOOD for t in sweep(task, method)), lora_less,
        source="Biderman et al. 2024",
    ),
    Claim(
        "switch-off", "Switching the adapter off undoes forgetting exactly.",
        "logits that differ from the base's", "logits", Says(more=False), (Switching(),), switched_off,
    ),
)  # fmt: skip
