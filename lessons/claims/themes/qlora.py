"""Does QLoRA cost anything but bits? Four-bit types on the base, QLoRA beside LoRA, and the memory figures."""

from lessons.claims.claim import Claim, Results, over
from lessons.claims.compact import unpack_bits, unpack_nats, unpack_shares
from lessons.claims.intervals import Array, Effect, exact_effect
from lessons.claims.readings import at_end, difference
from lessons.claims.themes import MEASURES, SAME_POINTS, plain
from lessons.claims.trials.quantised import Quantised
from lessons.claims.trials.sizes import Sizes
from lessons.claims.verdict import Says

TITLE = "QLoRA"
MODELS = {"1B": "1B", "7B": "7B"}
STEPS_DOWN = {"full over LoRA": ("full", "lora"), "LoRA over QLoRA": ("lora", "qlora")}
NATS = "one hundredth of a nat is one per cent of perplexity, less than another seed changes"


def column(r: Results, kind: str, what: str) -> Array:
    """(1, questions): of the base in one type; points or nats."""
    (row,) = r(Quantised())
    if what == "exact":
        return 100.0 * unpack_bits(row[kind][what])[None]
    return 100 * unpack_shares(row[kind][what])[None] if what == "choice" else unpack_nats(row[kind][what])[None]


def little(r: Results, what: str) -> Effect:
    return difference(column(r, "nf4", what), column(r, "none", what), what)


def beats(r: Results, kind: str) -> Effect:
    return difference(column(r, kind, "loss"), column(r, "nf4", "loss"), "loss")


def double(r: Results, what: str) -> Effect:
    return difference(column(r, "nf4 double", what), column(r, "nf4", what), what)


def as_lora(r: Results, what: str) -> Effect:
    qlora, lora = r.each(plain(method="qlora"), plain(method="lora"))
    return difference(at_end(qlora, what), at_end(lora, what), what)


def gigabytes(r: Results, model: str, method: str) -> float:
    (row,) = r(Sizes(model=model, method=method))  # type: ignore[arg-type]
    return row["gigabytes"]


def less_memory(r: Results, model: str, pair: tuple[str, str]) -> Effect:
    return exact_effect(gigabytes(r, model, pair[0]) / gigabytes(r, model, pair[1]))


CLAIMS = (
    Claim(
        "nf4-costs-little", "Keeping the base in NF4 costs it little.",
        "old skills right, NF4 minus float32", "points", SAME_POINTS, over(little, MEASURES),
        design="Every linear layer of the base is rounded to NF4 in blocks of 64 and read back; the same questions are "
        "asked of both, and the interval is over questions, since nothing else is random.",
        wrong="A model of a million weights that knows its answers well has room for errors that a large one may not.",
        student="Four bits are enough to hold a model that is only read. What training does on top is another claim.",
        source="Dettmers et al. 2023",
        quote="preserving full 16-bit finetuning task performance",
    ),
    Claim(
        "nf4-best", "NF4 costs less than FP4 and int4.",
        "loss on old skills, the other type minus NF4", "nats a token", Says("more", 0.005, NATS, top=0),
        {"FP4": lambda r: beats(r, "fp4"), "int4": lambda r: beats(r, "int4")},
        design="The same rounding in each type, the same questions, block size and layers.",
        wrong="Loss on what the base knows; a difference may show only where it is unsure, or in larger models.",
        student="NF4's levels fit weights that are spread like a bell. How much that buys is measured, not assumed.",
        source="Dettmers et al. 2023",
    ),
    Claim(
        "qlora-as-lora", "QLoRA reaches LoRA's quality on the new task.",
        "held-out answers right, QLoRA minus LoRA", "points", SAME_POINTS,
        {"spanish": lambda r: as_lora(r, "new")},
        design="The same data, rate, steps and seeds; only the base is kept in NF4.",
        wrong="At LoRA's usual rate; both may be near the ceiling, which is then said.",
        student="Choose QLoRA for memory. It trades time, since each layer is unpacked whenever it is used.",
        source="Dettmers et al. 2023", quote="preserving full 16-bit finetuning task performance",
    ),
    Claim(
        "qlora-keeps", "QLoRA keeps as much of the old as LoRA does.",
        "old skills right after the training, QLoRA minus LoRA", "points", SAME_POINTS, over(as_lora, MEASURES),
        design="The trainings of qlora-as-lora, asked for what they could do before.",
        wrong="At the same number of steps, not at the same score of the new task.",
        student="Quality on the new task says nothing about the old ones: measure both.",
    ),
    Claim(
        "double-free", "Double quantisation costs nothing that can be measured.",
        "loss on old skills, double minus single", "nats a token", Says("same", 0.005, NATS, top=0),
        {"answers": lambda r: double(r, "loss"), "stories": lambda r: double(r, "text")},
        design="NF4 with the scales of its blocks rounded to eight bits, too, against NF4 with scales in float32.",
        wrong="On a base this small there are few blocks, so their scales' own blocks are few.",
        student="It saves another third of a bit a weight; take it.",
        source="Dettmers et al. 2023",
    ),
    Claim(
        "memory-steps", "LoRA needs much less memory than full fine-tuning, and QLoRA much less than LoRA.",
        "memory of a training step of 512 tokens, one over the other", "times",
        Says("more", 0.5, "half as much again is what decides which card is bought", target=1, top=0),
        over(less_memory, MODELS, STEPS_DOWN),
        design="Counted from the models' shapes: weights, gradients, Adam's moments, activations with checkpointing.",
        wrong="A count, not a measurement: fragmentation and the framework's own memory come on top.",
        student="Weights, gradients and optimizer each have a size that one can count before renting anything.",
        exact=True,
    ),
    Claim(
        "memory-65b", "QLoRA fine-tunes a model of 65 billion weights on one GPU of 48 GB.",
        "memory of a training step of 512 tokens", "GB",
        Says("less", 0, "it fits or it does not", target=48, top=0),
        {"65B": lambda r: exact_effect(gigabytes(r, "65B", "qlora"))},
        design="Counted from the shape of Llama 65B: 4-bit weights, adapters of rank 8 on every linear layer.",
        wrong="One example of 512 tokens at a time; longer ones need paged optimisers or more memory.",
        student="Do this sum for your own model and card: `glasstune preflight`.",
        source="Dettmers et al. 2023", quote="finetune a 65B parameter model on a single 48GB GPU", exact=True,
    ),
)  # fmt: skip
