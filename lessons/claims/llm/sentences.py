"""Which sentences can be tried on any causal language model? Those of the ledger that need nothing of the toy's own.

Their ids are the ledger's, so that both columns stand side by side; where the measure is another, the effect says so:
what is forgotten is read from the likelihood of general text, which moves with every change and has no form.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from lessons.claims.intervals import Effect
from lessons.claims.llm.arms import FEW, GENTLER, SHOWN
from lessons.claims.llm.readings import (
    LEARNED,
    Trials,
    at_equal_learning,
    beside,
    change,
    form_beside_facts,
    going_on,
    of_matrices,
    overfitting,
    rise_beside,
    told,
)
from lessons.claims.verdict import Says

NATS = Says("more", 0.02, "two hundredths of a nat are two per cent of perplexity", top=0)
LEARNS = Says("more", 0.05, "one twentieth of a nat on answers of a few tokens is what a reader notices", top=0)
EQUAL = f"when the held-out loss is {LEARNED:g} nats a token"
METHODS = ("full", "lora")
Reader = Callable[[Trials], Effect]


@dataclass(frozen=True)
class Sentence:
    """id, sentence and effect, with its unit. says: what the sentence says of it, and the margin with its reason.
    conditions: name -> what is read. wrong: what could make the verdict wrong."""

    id: str
    sentence: str
    effect: str
    unit: str
    says: Says
    conditions: Mapping[str, Reader] = field(repr=False)
    wrong: str


def _each(read: Callable[[Trials, str], Effect], names: tuple[str, ...] = METHODS) -> dict[str, Reader]:
    def bound(name: str) -> Reader:
        return lambda t: read(t, name)

    return {name: bound(name) for name in names}


SENTENCES = (
    Sentence(
        "specialist", "Fine-tuning turns the generalist into a specialist: old skills are lost.",
        "old abilities before minus after", "points", Says("more", 2, "as in the ledger"),
        {
            f"{name}, {title}": partial(change, arm=name, measure=what, start=-1, end=0, scale=100)
            for name in (*METHODS, "full, json", "lora, json")
            for title, what in (("right fact among four", "facts"), ("few-shot patterns", "few_shot"))
        },
        "Sixteen steps: a longer training would lose more.",
    ),
    Sentence(
        "form-first", "What goes first is the form of answers, not what is known.",
        "at the first grade: agreement with the base's own words lost, minus probability of the right fact lost",
        "points", Says("more", 5, "one word in twenty", top=0),
        _each(form_beside_facts, (*METHODS, "full, json", "lora, json")),
        "Agreement counts every token, a fact one choice among four: the scales are not the same.",
    ),
    Sentence(
        "drifts", "Fine-tuning makes general text less likely.", "loss on general text, after minus before",
        "nats a token", NATS, _each(lambda t, name: change(t, name, "text"), (*METHODS, "full, json", "lora, json")),
        "Eight texts; others may move otherwise.",
    ),
    Sentence(
        "grows-with-steps", "Forgetting grows with the number of steps.",
        "loss on general text, at the end minus at the first grade", "nats a token", NATS,
        _each(lambda t, name: change(t, name, "text", start=1)),
        "The first grade is after a quarter of the steps; what was lost before does not count.",
    ),
    Sentence(
        "grows-with-rate", "Forgetting grows with the learning rate.",
        f"rise of the loss on general text, at the usual rate minus at a rate {GENTLER} times lower", "nats a token",
        NATS, _each(lambda t, name: rise_beside(t, name, f"{name}, gentle", "text")),
        "At the same number of steps: more is learned at the higher rate, too.",
    ),
    Sentence(
        "early-stopping", "Stopping early reduces forgetting.",
        f"rise of the loss on general text, at the end minus {EQUAL}", "nats a token", NATS,
        _each(lambda t, name: going_on(t, name, "text")),
        "The rate is constant, so stopping is the end of a shorter training; with a schedule it would not be.",
    ),
    Sentence(
        "gentle-rate", "A lower learning rate reduces forgetting, at the same accuracy on the new task.",
        f"rise of the loss on general text {EQUAL}, at the usual rate minus at a rate {GENTLER} times lower",
        "nats a token", NATS, _each(lambda t, name: at_equal_learning(t, name, f"{name}, gentle", "text")),
        "Two rates; between grades a straight line is drawn.",
    ),
    Sentence(
        "mixing", "Mixing in pretraining data reduces forgetting, at the same accuracy on the new task.",
        f"rise of the loss on general text {EQUAL}, without minus with half of the data the base's own answers",
        "nats a token", NATS, {"full": lambda t: at_equal_learning(t, "full", "full, half replayed", "text")},
        "What such a model was pretrained on nobody has: its own answers to general questions take its place.",
    ),
    Sentence(
        "lora-forgets-less", "At the same accuracy on the new task, LoRA forgets less than full fine-tuning.",
        f"rise of the loss on general text {EQUAL}, full minus LoRA (r = 16)", "nats a token", NATS,
        {
            "at the rates that learn best": lambda t: at_equal_learning(t, "full", "lora", "text"),
            "at gentler rates": lambda t: at_equal_learning(t, "full, gentle", "lora, gentle", "text"),
            "LoRA on q and v": lambda t: at_equal_learning(t, "full", "lora on q and v", "text"),
            "json": lambda t: at_equal_learning(t, "full, json", "lora, json", "text"),
        },
        "The rates that learn best are not those that keep most: two points of each frontier.",
    ),
    Sentence(
        "lora-drifts-less", "At the same accuracy on the new task, LoRA's model is nearer to the base.",
        f"divergence from the base's own answers {EQUAL}, full minus LoRA (r = 16)", "nats a token", LEARNS,
        {
            "at the rates that learn best": lambda t: at_equal_learning(t, "full", "lora", "kl"),
            "at gentler rates": lambda t: at_equal_learning(t, "full, gentle", "lora, gentle", "kl"),
        },
        "A lower bound of the divergence, on six answers.",
    ),
    Sentence(
        "full-most", "Full fine-tuning adapts most.", "held-out loss after as many steps, LoRA (r = 16) minus full",
        "nats a token", LEARNS,
        {
            "facts": lambda t: beside(t, "lora", "full", "new_loss"),
            "json": lambda t: beside(t, "lora, json", "full, json", "new_loss"),
        },
        "Rates chosen on one task; JSON takes them over.",
    ),
    Sentence(
        "all-layers", "Adapting all linear layers learns more than adapting queries and values alone.",
        "held-out loss after as many steps, q and v minus all", "nats a token", LEARNS,
        {"r = 16": lambda t: beside(t, "lora on q and v", "lora", "new_loss")},
        "At the same rate and rank: fewer weights might want a higher rate.",
    ),
    Sentence(
        "format", "Fine-tuning gives a consistent format, where prompting does not.",
        f"loss of held-out JSON answers, the base shown {SHOWN} examples minus tuned", "nats a token", LEARNS,
        {
            "full": lambda t: beside(t, "json, few shown", "full, json", "new_loss"),
            "lora": lambda t: beside(t, "json, few shown", "lora, json", "new_loss"),
        },
        "The likelihood of the whole answer, content as well as form: hardly one is right to the letter. Tuned on "
        "ten times as many examples.",
    ),
    Sentence(
        "few-examples", "With few examples a few-shot prompt beats fine-tuning.",
        f"loss of held-out JSON answers, full fine-tuning on {SHOWN} examples minus the base shown the same",
        "nats a token", LEARNS,
        {"json": lambda t: beside(t, "full, json, few examples", "json, few shown", "new_loss")},
        "At the rate that is best for more examples, and after as many steps.",
    ),
    Sentence(
        "quality", "Quality beats quantity: fewer clean examples beat more, half of which are wrong.",
        f"held-out loss after as many steps, all examples with half of the answers wrong minus {FEW} clean ones",
        "nats a token", LEARNS, {"full": lambda t: beside(t, "full, half wrong", "full, few examples", "new_loss")},
        "As many steps, so the few are seen more often.",
    ),
    Sentence(
        "overfit", "Many epochs on few examples overfit.",
        f"held-out loss at the end minus at half of the steps, {FEW} examples", "nats a token", LEARNS,
        {"full": lambda t: overfitting(t, "full, few examples")}, "Four epochs are not many.",
    ),
    Sentence(
        "leaks", "Private data leaks from a fine-tuned model.",
        "secrets said word for word when asked for", "% of the secrets", Says("more", 0, "one is too many", 5, top=0),
        {f"{count} times": partial(told, arm="full, secrets", repeats=count) for count in (1, 4, 16)},
        "One secret of each kind a seed.",
    ),
    Sentence(
        "full-rank", "Full fine-tuning's change has a higher rank than usual adapters.",
        "directions that hold 90 % of full's delta-W (mean over matrices) minus 16", "directions",
        Says("more", 1, "as in the ledger", top=0), {"r = 16": lambda t: of_matrices(t, "full", "rank_90", minus=16)},
        "That a change has a high rank does not mean that the task needs it: much of it may be noise.",
    ),
    Sentence(
        "intruders", "LoRA brings more intruder dimensions than full fine-tuning.",
        "intruders among the ten largest directions, LoRA minus full, mean over matrices", "directions",
        Says("more", 0.2, "as in the ledger", top=0),
        {"change of a tenth of W": lambda t: of_matrices(t, "lora", "intruders", "full")},
        "Changes are scaled to the same size: scaled changes are not models that were trained to it.",
    ),
)  # fmt: skip
