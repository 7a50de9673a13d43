# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # LoRA's knobs: rank, alpha, targets, rate
#
# `LoraConfig(r=8, lora_alpha=16, target_modules="all-linear")`, and a learning rate: somebody chose these numbers. Here
# you turn them one at a time, on short trainings, and learn which of them matter, and how one would find that out.
#
# Afterwards you will be able to answer
#
# - How far apart are two trainings that differ in nothing but the seed, and what does that mean for every comparison?
# - What does alpha do that the learning rate does not?
# - Does a higher rank help, and how would one know?
# - In how many directions does full fine-tuning change a matrix, which nobody limits?
# - Which matrices should get an adapter?
# - How much higher may LoRA's learning rate be than full fine-tuning's?
#
# Nothing here is prepared: every number and picture below was measured on your machine a moment before you see it.

# %% tags=["hide-input"]
from lessons.teaching.walk import begin

begin(__name__, lesson="knobs", place=4)

# %% tags=["hide-input"]
from dataclasses import replace

import numpy as np
import pandas as pd

from engine.data import Conversations
from engine.measure import norm, numerical_rank, singular_values, spectrum_table
from engine.models import load_model
from engine.training.finetune import finetune
from engine.training.methods import Full, LoRA
from lessons.teaching.stage import (
    around,
    conclude,
    current,
    exercise,
    exercise_code,
    inside,
    leader,
    ledger,
    matrices,
    model,
    predict,
    rate,
    show,
    task_of,
)
from visualize import plots
from visualize.plots.of_runs.rates import final_losses

QUICK = current().quick
HERE = current().folder

# %% [markdown]
# ## Short trainings, and chance
# All trainings below see the same data in the same number of steps. They are compared by their held-out loss after the
# last step, lower is better (by the last training losses where nothing could be held out). They are too short to be
# finished: they tell what learns faster, not what is best in the end. First the same training three times, with another
# seed each: another start of A, another order of the data.

# %%
SHORT, RANK = (3, 8) if QUICK else (40, 8)
MAIN = LoRA(r=RANK, alpha=16)
EXAMPLES = task_of("spanish")
if QUICK:
    EXAMPLES = Conversations(EXAMPLES.name, EXAMPLES.train[:160], EXAMPLES.heldout[:8])


def short_run(name, method, factor=1.0, seed=0):
    """One short training at `factor` times the usual learning rate of its method."""
    return finetune(
        model(), EXAMPLES, method, out=HERE / name, steps=SHORT, batch_size=8 if QUICK else 16,
        seed=current().seed + seed,
        learning_rate=factor * rate(method.name), every=SHORT, skills=0, evaluate_at=lambda step: False, answers=False,
        save=False, checkpoint=None, progress=False,
    )  # fmt: skip


def final_loss(run):
    return float(final_losses([run]).loss[0])


def as_table(runs, first):
    """A table of runs by name: their trained weights, the size of the change, and the loss at the end."""
    rows = [
        {
            first: name,
            "trained weights": one.info.model.trainable,
            "norm of all delta-W": float(np.linalg.norm([norm(one, m) for m in one.modules])),
            "loss at the end": final_loss(one),
        }
        for name, one in runs.items()
    ]
    return pd.DataFrame(rows)


usual = short_run("lora-seed-0", MAIN)
show(plots.plot_loss(usual), name="loss")

# %% [markdown]
# And from other seeds:

# %%
same = {0: usual, **{seed: short_run(f"lora-seed-{seed}", MAIN, seed=seed) for seed in range(1, 2 if QUICK else 3)}}
losses = [final_loss(run) for run in same.values()]
CHANCE = max(losses) - min(losses)
show(as_table(same, "seed"))
show(f"Seeds alone: {CHANCE:.3f} nats a token from best to worst. A smaller difference below is not called one.")

# %% [markdown]
# ## Alpha
# W' = W + (alpha / r) B A. After training, twice the alpha is twice the delta-W; that is arithmetic. But in training,
# alpha also scales the gradients of A and B, and Adam divides gradients by their own size. So what does it do there?

# %%
what_alpha_does = predict(
    "trained with four times the alpha at the same learning rate: how does its loss compare with four times the rate "
    "at the same alpha?",
    {
        "both are within chance of each other": "a step of B, as long as the rate says, counts alpha / r times in W': "
        "to a first approximation alpha and rate are one knob.",
        "alpha does better": "a higher rate lengthens the steps of A, too, and the steps in B on top of it; alpha "
        "scales what they make, once.",
        "the rate does better": "a higher rate moves both factors further, and delta-W is their product; alpha scales "
        "it once.",
    },
)

# %%
by_alpha = {
    "alpha 4": short_run("alpha-4", replace(MAIN, alpha=4)),
    "alpha 16": usual,
    "alpha 64": short_run("alpha-64", replace(MAIN, alpha=64)),
    "alpha 16, rate x 4": short_run("rate-x4", MAIN, 4),
}
gap = final_loss(by_alpha["alpha 64"]) - final_loss(by_alpha["alpha 16, rate x 4"])
what_alpha_does.reveal(0 if abs(gap) <= CHANCE else 1 if gap < 0 else 2)
show(as_table(by_alpha, "with"))

# %% [markdown]
# So two papers that name a rate and not their alpha cannot be compared; and who changes r at a fixed ratio alpha = 2r,
# as is often advised, turns more than one knob: the scale stays, but B A is a sum of more products.

# %% [markdown]
# ## Rank
# Alpha stays as it is. The best rate may differ from rank to rank, so each rank gets a sweep of its own: comparing all
# at one rate would compare how well that rate suits them. From the usual rate it goes up in factors of three until it
# gets worse, and down if nothing above was better.

# %%
RANKS = (1, RANK) if QUICK else (1, RANK, 32)
best_rank = predict(
    f"of the ranks {', '.join(map(str, RANKS))}, each at its best rate, which ends with the lowest loss?",
    {
        f"{RANKS[0]}": "few weights, each well used: enough where the change needs a direction or two a matrix.",
        f"{RANK}": "enough directions for the task; more only add noise to be learned.",
        **({} if QUICK else {f"{RANKS[-1]}": "more directions can follow the gradient of more examples at once."}),
        "no difference beyond chance": "even the lowest has as many directions, over all matrices, as so short a "
        "training can fill.",
    },
)


# %%
def tried(name, method, first=None):
    """factor -> run: at the usual rate, then 3, 9, ... times it until one is worse; below it if none was better."""
    runs = {1: first or short_run(f"{name}-x1", method)}
    for direction in (3,) if QUICK else (3, 1 / 3):
        if direction < 1 and final_loss(runs[1]) > min(map(final_loss, runs.values())):
            break
        for power in range(1, 2 if QUICK else 5):
            best, factor = min(map(final_loss, runs.values())), direction**power
            runs[factor] = short_run(f"{name}-x{factor:.2g}", method, factor)
            if not final_loss(runs[factor]) <= best:
                break
    return runs


swept = {r: tried(f"r{r}", replace(MAIN, r=r), usual if r == RANK else None) for r in RANKS}
ends = pd.DataFrame({r: {factor: final_loss(run) for factor, run in runs.items()} for r, runs in swept.items()})
ends = ends.sort_index()
ends.index = pd.Index([f"{factor * rate('lora'):.2g}" for factor in ends.index], name="learning rate")
best_factors = {r: min(runs, key=lambda factor: final_loss(runs[factor])) for r, runs in swept.items()}
at_edge = [r for r, factor in best_factors.items() if not inside(factor, list(swept[r]))]
first = leader({str(r): float(ends[r].min()) for r in RANKS}, CHANCE, lowest=True)
if at_edge:
    best_rank.withhold(
        f"for rank {' and '.join(map(str, at_edge))} the best rate is the end of what was tried, and a better one may "
        "lie beyond; the sweep would have to go on."
    )
elif first is None and ends.min().max() - ends.min().min() > CHANCE:
    best_rank.withhold("the ranks differ by more than chance, but the best two of them do not.")
else:
    best_rank.reveal(first or "no difference beyond chance")
show("Loss at the end, by rank:", ends.rename(columns=lambda r: f"r = {r}").map("{:.3f}".format).replace("nan", "-"))

# %% [markdown]
# ## The rank of full fine-tuning's own change
# Nothing limits the rank when every weight is trained. How many directions does it use?

# %%
everything = short_run("full", Full())
shared = [name for name in usual.modules if name in everything.modules]
full_directions = predict(
    f"in how many directions lie 90 % of the energy of full fine-tuning's change (the median of {len(shared)} "
    "matrices)?",
    {
        f"at most {RANK}, the rank that we gave LoRA": "the task pulls all examples the same way, so few directions "
        "hold nearly all of it. That is LoRA's bet.",
        f"{RANK + 1} to 32": "more than a usual adapter has, but far fewer than a matrix could: the strong directions "
        "are the task's, the many weak ones are noise of the batches.",
        "more than 32": "Adam scales each weight by itself, which spreads a change over all directions. LoRA may find "
        "another change that does as well.",
    },
)

# %%
needed = spectrum_table(everything, modules=shared).rank_90  # no number where too few directions were kept to tell
middle, known = float(needed.fillna(np.inf).median()), needed.dropna()
bounds = dict(zip(full_directions.choices, (RANK, 32, np.inf), strict=True))
if np.isinf(middle):
    full_directions.withhold("of a model this large only the strongest directions of each change were kept.")
else:
    full_directions.reveal(next(name for name, most in bounds.items() if middle <= most))
if len(known) < len(needed):
    show(f"{len(needed) - len(known)} of {len(needed)} matrices need more directions than were kept of their change.")
else:
    one = needed.idxmax()
    most = f"{needed.min():g} to {needed.max():g} directions, the median {middle:g}. The most in {one}"
    if everything.is_sketched(one):
        show(f"{most}.")
    else:
        whole = numerical_rank(singular_values(everything, one), usual.shape(one))
        show(f"{most}, whose change has rank {whole} of {min(usual.shape(one))}, rounding error aside.")
show(plots.plot_energy([everything, usual]), name="energy")

# %% [markdown]
# ## Target modules
# Which matrices get an adapter? The first paper adapted attention only; "all-linear" takes every linear layer but the
# output head. Attention alone has fewer weights at the same rank, so it gets a rank that makes up for that, the same
# alpha / r, and a sweep of its own.

# %%
attention = [name for name in matrices(load_model(model())) if "attn" in name or "attention" in name]


def weights_at(names, r):
    return sum(r * sum(usual.shape(name)) for name in names)


as_many = max(RANK, round(RANK * weights_at(usual.modules, 1) / max(1, weights_at(attention, 1))))
which_targets = predict(
    f"attention alone at rank {as_many} (about as many weights), or all linear layers at rank {RANK}?",
    {
        "attention alone": "attention moves what is read between places, which may be all that a task has to change.",
        "all linear layers": "what a model knows of a word is computed in the layers between, too (the MLPs), and "
        "there an adapter on attention cannot reach.",
        "no difference beyond chance": "a change in one place can often stand in for one in another.",
    },
)

# %%
by_target = {f"all, r = {RANK}": swept[RANK]}
if attention:
    same_scale = round(MAIN.alpha * as_many / RANK)
    more = replace(MAIN, target_modules=attention, r=as_many, alpha=same_scale)
    by_target[f"attention, r = {as_many}"] = tried("attention", more)
best_of = {on: min(runs, key=lambda factor: final_loss(runs[factor])) for on, runs in by_target.items()}
ended = [final_loss(runs[best_of[on]]) for on, runs in by_target.items()]
at_edge = [on for on, runs in by_target.items() if not inside(best_of[on], list(runs))]
if not attention:
    which_targets.withhold("this model's attention has no name that is known here.")
elif at_edge:
    which_targets.withhold(f"for {' and '.join(at_edge)} the best rate is the end of what was tried.")
else:
    which_targets.reveal(2 if abs(ended[1] - ended[0]) <= CHANCE else 0 if ended[1] < ended[0] else 1)
bests = {f"{on}, rate {runs[best_of[on]].learning_rate:.2g}": runs[best_of[on]] for on, runs in by_target.items()}
show(as_table(bests, "adapters on"))

# %% [markdown]
# ## The learning rate, LoRA's and full fine-tuning's
# It is often said that LoRA wants a rate about ten times as high as full fine-tuning. Both are tried here, as
# the ranks were, and then halfway between the best and its neighbours. The best of all rates is hardly one of those
# that were tried; it lies between them. So what can be told of two best rates is a range.

# %%
rate_ratio = predict(
    "is the best rate of LoRA higher than that of full fine-tuning?",
    {
        "higher": "LoRA's B begins at zero and has to grow before anything changes, and few weights have to do what "
        "all do otherwise: so it wants longer steps.",
        "lower": "a step of A and one of B are multiplied, and scaled by alpha / r besides: they need not be long.",
    },
)


# %%
def finer(name, method, runs):
    """The same, and halfway to both neighbours of the best: the root of three above and below it."""
    best = min(runs, key=lambda factor: final_loss(runs[factor]))
    return runs | {
        factor: short_run(f"{name}-x{factor:.2g}", method, factor) for factor in (best / 3**0.5, best * 3**0.5)
    }


rated = [
    *finer("full", Full(), tried("full", Full(), everything)).values(),
    *finer(f"r{RANK}", MAIN, swept[RANK]).values(),
]
grid = final_losses(rated).pivot(index="rate", columns="method", values="loss")
ranges = {name: around(column.dropna().to_dict(), CHANCE) for name, column in grid.items()}
edges = [name for name, found in ranges.items() if found is None]
said = [f"Best of those tried: full {grid.full.idxmin():.2g}, LoRA {grid.lora.idxmin():.2g}."]
if edges:
    rate_ratio.withhold(
        f"for {' and '.join(edges)} the best, or what chance cannot tell from it, is at the end of what was tried."
    )
else:
    (full_low, full_high), (lora_low, lora_high) = ranges["full"], ranges["lora"]
    low, high = lora_low / full_high, lora_high / full_low
    if low < 1 < high:
        rate_ratio.withhold(f"on this grid it may be anything from {low:.2g} to {high:.2g} times as high.")
    else:
        rate_ratio.reveal("higher" if low >= 1 else "lower")
    said.append(
        "The best of all lie between the neighbours of those, and of what chance cannot tell from them: full "
        f"{full_low:.2g} to {full_high:.2g}, LoRA {lora_low:.2g} to {lora_high:.2g}. So LoRA's is {low:.2g} to "
        f"{high:.2g} times as high. Ten times is {'among that' if low <= 10 <= high else 'not among that'}."
    )
show(plots.plot_rates(rated), name="rates")
conclude(*said)

# %% [markdown]
# ## Exercises
# Three experiments that this project once made, and withdrew.

# %%
exercise(
    "What is wrong with this? 'LoRA of a low rank is less expressive than full fine-tuning': after as many steps rank "
    "1 was 49 points behind. Alpha was twice the rank; rank 1 had been tried at two rates, full fine-tuning at a whole "
    "grid.",
    answer="rank 1 was given a weaker alpha and no sweep: how fast it learns was measured, not what it can express",
    choices=[
        "rank 1 was given a weaker alpha and no sweep: how fast it learns was measured, not what it can express",
        "49 points are too few",
        "full fine-tuning has no rank",
    ],
    hint="What else differs between rank 1 and full fine-tuning, besides what they can express?",
    why="What a rank can express is asked after many steps, with alpha fixed and a sweep of rates for each rank.",
)
exercise(
    "And with this? 'LoRA's best rate is about ten times as high': on one task the ratio was exactly 8 with all five "
    "seeds, so the interval had no width at all.",
    answer="the grid of rates is coarse, and the best stood at its end: the seeds could not differ",
    choices=[
        "an interval of no width is the best there is",
        "the grid of rates is coarse, and the best stood at its end: the seeds could not differ",
        "five seeds should not agree",
    ],
    hint="Which values could the ratio have taken?",
    why="Values that happen to be equal are not exact. A best at the edge is 'censored': it lies there or beyond.",
)
exercise(
    "And with this? 'The more data, the further LoRA falls behind': with four times the data it was behind by 1.4 "
    "points more (95 %: -8.3 to 11.1). The source speaks of a thousand times as much data.",
    answer="four times the data is not the condition of the sentence, and the interval holds nearly everything",
    choices=[
        "four times the data is not the condition of the sentence, and the interval holds nearly everything",
        "1.4 points show that it is true",
        "LoRA does not depend on data",
    ],
    hint="Where does the sentence come from, and what was the data there?",
    why="An experiment has to reach the condition that the sentence speaks of, and be able to see a difference there.",
)

# %% [markdown]
# And one in code: how many weights does a configuration train?


# %%
def try_weights(weights):
    for names, r in ((usual.modules, RANK), (usual.modules[:3], 32)):
        shapes = [usual.shape(name) for name in names]
        right, given = weights_at(names, r), weights(shapes, r)
        assert given == right, f"For {len(names)} matrices at r = {r} it gives {given}, and {right:,} are trained"


counted = exercise_code(
    "Write weights(shapes, r): how many weights LoRA of rank r trains on matrices of these shapes, each (out, in).",
    test=try_weights,
    solution="def weights(shapes, r):\n    return sum(r * (out + into) for out, into in shapes)",
    hint="A is r x in and B is out x r",
)


# %% tags=["answer"]
def weights(shapes, r): ...


counted.check(weights)

# %% [markdown]
# ## What many seeds say
# What is often said of these knobs, tried several times each, with the 95 % interval of what was measured
# (`python -m lessons.claims` tries it again).

# %%
show(ledger("lora-rate", "lora-rate-higher", "less-by-rank", "full-rank", "full-most"))

# %% [markdown]
# ## Where to read on
# - Hu et al. 2021, *LoRA*, arXiv:2106.09685: section 7 asks for the rank and the targets
# - Kalajdzievski 2023, *A Rank Stabilization Scaling Factor*, arXiv:2312.03732: alpha over the root of r
# - Hayou et al. 2024, *LoRA+*, arXiv:2402.12354: another rate for B than for A
# - Schulman et al. 2025, *LoRA Without Regret*, thinkingmachines.ai/blog/lora
# - Next: `python -m lessons.qlora`

# %%
show(f"runs: {HERE}")
show(f"pictures: {HERE / 'pictures'}")
