"""Full fine-tuning and LoRA: what does each change, how much, and at which rate?"""

import numpy as np

from lessons.claims.choosing import by_learning, choose
from lessons.claims.claim import Claim, Results, over
from lessons.claims.intervals import Effect, effect, exact_effect, mean_effect
from lessons.claims.readings import at_end, best_rates, difference, log_best
from lessons.claims.themes import GRIDS, METHODS, POINTS, plain
from lessons.claims.trials.adapters import Overlap, Switching
from lessons.claims.trials.matrices import SIZES
from lessons.claims.trials.sizes import Sizes
from lessons.claims.trials.training import Training
from lessons.claims.verdict import Says

TITLE = "Full fine-tuning and LoRA"
TASKS = {"spanish": "spanish", "adding": "adding"}
SWEPT = {"full": (2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3), "lora": (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)}
RANKS = {"r = 1": 1, "r = 8": 8}
HIGHEST = 32
LONG = 400  # steps, by which each rank has learned what it can
SHARES = {
    "this model, r = 8": Sizes(),
    "this model, r = 1": Sizes(rank=1),
    "7B, r = 8": Sizes(model="7B"),
    "7B, r = 8, queries and values": Sizes(model="7B", targets=("q_proj", "v_proj")),
}


def learning(task: str, method: str, **settings: object) -> Training:
    return plain(task, method, old=False, matrices=False, **settings)


def full_most(r: Results, task: str) -> Effect:
    found = {method: choose(r, learning(task, method), GRIDS[method], by_learning) for method in METHODS}
    full, lora = r.each(*(found[method].training for method in METHODS))
    measured = difference(at_end(full, "new"), at_end(lora, "new"), "new")
    return measured if all(one.inside for one in found.values()) else measured.limited("censored")


def share_trained(r: Results, sizes: Sizes) -> Effect:
    return exact_effect(100 * r(sizes)[0]["share"])


def by_rank(r: Results, rank: int) -> Effect:
    found = [
        choose(r, learning("spanish", "lora", rank=one, steps=LONG), GRIDS["lora"], by_learning)
        for one in (HIGHEST, rank)
    ]
    high, low = r.each(*(one.training for one in found))
    measured = difference(at_end(high, "new"), at_end(low, "new"), "new")
    return measured if all(one.inside for one in found) else measured.limited("censored")


def rates(r: Results) -> Effect:
    sweeps = {method: [learning("spanish", method, rate=rate) for rate in SWEPT[method]] for method in METHODS}
    (lora, lora_inside), (full, full_inside) = (best_rates(r, sweeps[method]) for method in ("lora", "full"))
    measured = effect(lambda draws: log_best(draws, lora, SWEPT["lora"]) - log_best(draws, full, SWEPT["full"]))
    return measured if lora_inside and full_inside else measured.limited("censored")


def ranks(r: Results, rank: int) -> Effect:
    return mean_effect([row["changes"]["rank_90"] - rank for row in r(plain())])


def intruders(r: Results, at: int) -> Effect:
    lora, full = r.each(plain(method="lora"), plain())
    counts = np.array([[row["changes"]["intruders"][at] for row in rows] for rows in (lora, full)])
    return mean_effect((counts[0] - counts[1]).tolist())


def switching(r: Results, what: str) -> Effect:
    return exact_effect(max(row[what] for row in r(Switching())))


def overlaps(r: Results, at: int) -> Effect:
    return mean_effect([float(np.mean(row["phi"][at])) for row in r(Overlap())])


CLAIMS = (
    Claim(
        "full-most", "Full fine-tuning adapts most.",
        "held-out answers right, full minus LoRA (r = 8), each at its best rate", "points", POINTS,
        over(full_most, TASKS),
        design="The same steps and data. Each method's rate is swept until both edges are worse, and chosen by other "
        "questions and seeds.",
        wrong="At as many steps for both: one that is slower but goes further would be cut short.",
        student="If LoRA is behind, check its rate and its rank before you blame the method.",
        source="Biderman et al. 2024",
        quote="in the standard low-rank settings, LoRA substantially underperforms full finetuning",
    ),
    Claim(
        "one-per-cent", "LoRA trains about one per cent of the weights, or less.",
        "share of the weights that are trained", "%",
        Says("less", 0, "one per cent is what is said, and up to two is about that", target=2, top=0),
        over(share_trained, SHARES),
        design="Counted from the models' shapes: r (in + out) weights a matrix.",
        wrong="Nothing: it is arithmetic. What it depends on are the width of the model and which layers are adapted.",
        student="Small models have large adapters: the share falls as the width grows.",
        source="Hu et al. 2021", exact=True,
    ),
    Claim(
        "less-by-rank", "LoRA of a low rank learns less than LoRA of a high one.",
        f"held-out answers right, r = {HIGHEST} minus the lower rank, alpha fixed", "points", POINTS,
        over(by_rank, RANKS),
        design=f"Spanish words for {LONG} steps, alpha 16 at every rank; each rank's rate is swept until both edges "
        "are worse, and chosen by other questions and seeds.",
        wrong="A hundred words may fit into any rank; what does not fit would show only with more to learn.",
        student="Rank is room. Too little shows only when there is more to learn than fits.",
        source="Biderman et al. 2024",
    ),
    Claim(
        "lora-rate", "LoRA's best learning rate is about ten times as high as full fine-tuning's.",
        "log10 of LoRA's best rate over full's (1: ten times as high)", "",
        Says("same", 0.3, "within a factor of two, which is one step of a usual sweep", target=1, top=0),
        {"spanish": rates},
        design="Five rates each, twice as high every time, of which the best lies inside; held-out loss after the same "
        "steps; the lowest point of a parabola through the best three.",
        wrong="The best rate depends on the steps, and on alpha, which scales LoRA's changes: here it is 2 r.",
        student="Start LoRA about ten times as high as you would full fine-tuning, then sweep.",
        source="Schulman et al. 2025",
        quote="the optimal LR for LoRA is consistently 10x the one used for FullFT",
    ),
    Claim(
        "lora-rate-higher", "LoRA's best learning rate is higher than full fine-tuning's.",
        "log10 of LoRA's best rate over full's (0: the same)", "",
        Says("more", 0.1, "a quarter higher: what a sweep can tell apart", top=0), {"spanish": rates},
        design="The trials of lora-rate.", wrong="As lora-rate.",
        student="Never take full fine-tuning's rate for LoRA, nor the other way round.",
    ),
    Claim(
        "full-rank", "Full fine-tuning's change has a higher rank than usual adapters.",
        "directions that hold 90 % of full's delta-W (mean over matrices), minus the adapter's rank", "directions",
        Says("more", 1, "one direction is the least by which an adapter can be too small", top=0),
        over(ranks, {"r = 8": 8, "r = 16": 16}),
        design="The usual full fine-tuning on Spanish words; singular values of every matrix's change.",
        wrong="That a change has a high rank does not mean that the task needs it: much of it may be noise.",
        student="LoRA does not approximate what full fine-tuning would do; it finds another way.",
        source="Biderman et al. 2024",
        quote="full finetuning learns perturbations with a rank that is 10-100X greater than typical LoRA "
        "configurations",
    ),
    Claim(
        "share-a-base", "Adapters share one base, and switching between them is exact.",
        "logits that differ", "logits", Says("same", 0, "one logit that differs is not exact", top=0),
        over(switching, {"switched off": "off", "switched back": "back", "beside another": "joined"}),
        design="Two adapters of two tasks on one base. Off: against the base; back: against before the other was used; "
        "beside another: against when it had a base to itself.",
        wrong="Merged adapters are another matter: rounding stays behind.",
        student="One base in memory serves many tasks.", exact=True,
    ),
    Claim(
        "overlap", "LoRA of rank 8 and of rank 64 share their top direction.",
        "overlap phi of the input directions, mean over query and value matrices (1: the same)", "",
        Says("more", 0, "more than a half is what the source reports", target=0.5, top=0),
        over(overlaps, {"the top direction": 0, "the first 8": 2}),
        design="Two trainings that differ in rank alone; the first i right singular vectors of both changes.",
        wrong="A short training: directions that come late are not there yet.",
        student="Much of an adapter's rank may go unused; look at its singular values.",
        source="Hu et al. 2021, section 7.2",
        quote="share a subspace of dimension 1 with normalized similarity > 0.5 (of the top direction; others do "
        "not overlap)",
    ),
    Claim(
        "intruders", "LoRA brings more intruder dimensions than full fine-tuning.",
        "intruders among the ten largest directions, LoRA minus full, mean over matrices", "directions",
        Says("more", 0.2, "one matrix in five gains one", top=0),
        over(intruders, {f"change of {share:.0%} of W": at for at, share in enumerate(SIZES)}),
        design="Both trained on Spanish words at their usual rates; each change is scaled to the same size beside W.",
        wrong="Scaled changes are not models that were trained to that size; matrices here have 128 directions.",
        student="The same score can hide different changes: look at the weights, too.",
        source="Shuttleworth et al. 2024",
        quote="weight matrices trained with LoRA have new, high-ranking singular vectors, ... while those trained with "
        "full fine-tuning do not",
    ),
)  # fmt: skip
