"""Does QLoRA cost anything but bits? Four-bit types on the base, QLoRA beside LoRA, and the memory figures."""

from collections.abc import Sequence

from lessons.claims.claim import Claim, Results, Values
from lessons.claims.readings import last, minus
from lessons.claims.themes import GOOD, good, training
from lessons.claims.trials.quantised import Quantised
from lessons.claims.trials.sizes import Sizes
from lessons.claims.verdict import Says

TITLE = "QLoRA"
QLORA = training("spanish", "qlora", GOOD["lora"])
SIZES = ("1B", "7B")


def column(r: Results, kind: str, what: str) -> list[float]:
    return [row[kind][what] for row in r(Quantised())]


def points(values: Sequence[float | None]) -> list[float | None]:
    return [None if value is None else 100 * value for value in values]


def little(r: Results) -> Values:
    return {"old skills": points(minus(column(r, "nf4", "right"), column(r, "none", "right")))}


def beats(r: Results) -> Values:
    return {kind: minus(column(r, kind, "loss"), column(r, "nf4", "loss")) for kind in ("fp4", "int4")}


def double(r: Results) -> Values:
    return {"old skills": minus(column(r, "nf4 double", "loss"), column(r, "nf4", "loss"))}


def as_lora(r: Results) -> Values:
    return {"spanish": minus(last(r, QLORA), last(r, good("spanish", "lora")))}


def gigabytes(r: Results, model: str, method: str) -> list[float]:
    return [row["gigabytes"] for row in r(Sizes(model=model, method=method))]  # type: ignore[arg-type]


def less_memory(r: Results) -> Values:
    pairs = (("full", "lora"), ("lora", "qlora"))
    return {
        f"{model}, {more} over {less}": [
            one / other for one, other in zip(gigabytes(r, model, more), gigabytes(r, model, less), strict=True)
        ]
        for model in SIZES
        for more, less in pairs
    }


def fits(r: Results) -> Values:
    return {"65B in 48 GB": [48 - value for value in gigabytes(r, "65B", "qlora")]}


CLAIMS = (
    Claim(
        "nf4-costs-little", "Keeping the base in NF4 costs it little.",
        "old skills right, NF4 minus float32", "points", Says(more=False, matters=2), (Quantised(),), little,
        source="Dettmers et al. 2023",
    ),
    Claim(
        "nf4-best", "NF4 costs less than FP4 and int4.",
        "loss on old skills, the other type minus NF4", "nats a token", Says(matters=0.001), (Quantised(),), beats,
        source="Dettmers et al. 2023",
    ),
    Claim(
        "qlora-as-lora", "QLoRA reaches LoRA's quality.",
        "held-out answers right, QLoRA minus LoRA, same rate and data", "points", Says(more=False, matters=5),
        (QLORA, good("spanish", "lora")), as_lora, source="Dettmers et al. 2023",
    ),
    Claim(
        "double-free", "Double quantisation costs nothing that can be measured.",
        "loss on old skills, double minus single", "nats a token", Says(more=False, matters=0.005), (Quantised(),),
        double, source="Dettmers et al. 2023",
    ),
    Claim(
        "memory-steps", "LoRA needs much less memory than full fine-tuning, and QLoRA much less than LoRA.",
        "memory of a training step of 512 tokens, one over the other (computed)", "times", Says(target=1, matters=0.5),
        tuple(Sizes(model=model, method=method) for model in SIZES for method in ("full", "lora", "qlora")),  # type: ignore[arg-type]
        less_memory,
    ),
    Claim(
        "memory-65b", "QLoRA fine-tunes a model of 65 billion weights on one GPU of 48 GB.",
        "48 GB minus what a training step of 512 tokens holds (computed)", "GB", Says(),
        (Sizes(model="65B", method="qlora"),), fits, source="Dettmers et al. 2023",
    ),
)  # fmt: skip
