"""Which trials are made of a real LLM? A pilot that finds the rates, then thirteen arms, each with several seeds."""

from collections.abc import Mapping
from dataclasses import replace

from lessons.claims.llm.trial import PILOT_SEED, Tuning

# The learning rates that the pilot tries, wide enough that both edges are worse than the best of SmolLM2-135M; the best
# is the one with the lowest held-out loss at the end.
PILOT_RATES = {"full": (3e-5, 1e-4, 3e-4, 1e-3), "lora": (3e-4, 1e-3, 3e-3, 1e-2)}
GENTLER = 3  # the low rate is the best one, divided by this
QV = ("q_proj", "v_proj")  # where the first paper on LoRA put it
FEW = 32  # examples
SHOWN = 8  # examples that a prompt shows


def pilot(task: str = "facts") -> list[Tuning]:
    """The middle rate of each method first. task: what is learned, as in `Tuning`."""
    order = sorted((abs(at - len(rates) // 2), method, rate)
                   for method, rates in PILOT_RATES.items() for at, rate in enumerate(rates))  # fmt: skip
    return [Tuning(task, method, rate, bare=True, seed=PILOT_SEED) for _, method, rate in order]


def arms(best: Mapping[str, float], task: str = "facts") -> dict[str, Tuning]:
    """Name -> trial, of seed 0. best: the rate of each method that the pilot chose. task: as of the pilot; what is read
    of the form of answers is of JSON, whatever else is learned."""
    full, lora = (Tuning(task, method, best[method]) for method in ("full", "lora"))
    return {
        "full": replace(full, look=True),
        "lora": replace(lora, look=True),
        "full, gentle": replace(full, rate=best["full"] / GENTLER),
        "lora, gentle": replace(lora, rate=best["lora"] / GENTLER),
        "full, half replayed": replace(full, replay=0.5),
        "full, few examples": replace(full, examples=FEW),
        "full, half wrong": replace(full, wrong=0.5),
        "lora on q and v": replace(lora, targets=QV),
        "full, json": replace(full, task="json"),
        "lora, json": replace(lora, task="json"),
        "full, secrets": replace(full, secrets=True),
        "full, json, few examples": replace(full, task="json", examples=SHOWN, bare=True),
        "json, few shown": Tuning(method="prompt", rate=0.0, task="json", examples=SHOWN, bare=True),
    }
