# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # LoRA: fine-tuning with two thin matrices
#
# Fine-tuning changes the weights of a trained model so that it does something new. *LoRA* (Hu et al. 2021) leaves
# every weight **W** as it is and trains a product of two thin matrices beside it:
#
#     W' = W + (alpha / r) B A        W: out x in    B: out x r    A: r x in
#
# Afterwards you will be able to say
#
# - what A and B are, how they start, and why only B moves on the first step;
# - what the rank r limits, and how many weights are trained;
# - why merging changes nothing, and switching off gives the base back exactly;
# - what rank, alpha, target modules, dropout and the learning rate each did to this model, measured one by one;
# - what this model learned, and what it forgot meanwhile.
#
# Nothing here is prepared: the model is a real one, small enough to be trained while you watch, and every number and
# picture below was measured on your machine a moment before you see it.

# %% tags=["hide-input"]
from lessons.teaching.walk import begin

begin(__name__, lesson="lora", place=3)

# %% tags=["hide-input"]
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from engine.data import Conversations, hold_out, load
from engine.measure import energy_rank, forgetting, norm, numerical_rank, relative_norm, singular_values
from engine.models import load_model, load_tokenizer, load_tuned
from engine.run.run import Run
from engine.training.finetune import finetune
from engine.training.methods import Full, LoRA
from lessons.teaching.stage import (
    ask,
    current,
    data,
    exercise,
    exercise_code,
    explore,
    is_own,
    ledger,
    matrices,
    model,
    new_skill,
    old_skills,
    predict,
    questions,
    rate,
    show,
)  # fmt: skip
from visualize import plots
from visualize.plots.of_runs.rates import final_losses

QUICK = current().quick
HERE = current().folder

# %% [markdown]
# ## The base model
# Unless you named a model of your own, this is a Llama of about a million weights, pretrained on capitals, opposites,
# French words, sums, sorting, summaries and more (`engine/base/README.md` is its card). Let us ask it something, and
# then for what it has never seen.

# %%
base = load_model(model())
tokenizer = load_tokenizer(model())


QUESTIONS = questions(
    ["Translate to French: dog", "What is 23 + 45?", "Translate to Spanish: dog", "Translate to Spanish: house"]
)
show(f"{base.num_parameters():,} weights", ask(base, tokenizer, QUESTIONS))

# %% [markdown]
# It answers something, in the manner it knows. Here is the first of its matrices, one pixel a weight. LoRA will not
# touch a single one of them.

# %%
MODULE = matrices(base)[0]
show(plots.plot_weight(model(), module=MODULE), name="base-weight")

# %% [markdown]
# ## Fine-tune it
# The task, unless you brought your own: Spanish words, some nine hundred questions with their answers. `finetune` runs
# transformers' own `Trainer` with PEFT's LoRA on every linear layer, and captures A and B as they change. From time to
# time it also grades the old skills on questions that are not in the training data.

# %%
RANK = 8
run = finetune(
    model(),
    data("spanish"),
    LoRA(r=RANK, alpha=16),
    out=HERE / "first",
    steps=10 if QUICK else 200,
    skills=(2 if QUICK else 20) if model() == "embedded" else 0,
    evaluate_at=2 if QUICK else 10,
)
TASK = run.task
show(run)
show(plots.plot_loss(run), name="loss")

# %% [markdown]
# ## The start: nothing has changed
# A begins as small random numbers, B as zeros. So before the first step B A is zero, and the model with its adapter is
# exactly the base.

# %%
start = run.factors(MODULE, step=0)
show(f"A is {start.A.shape[0]} x {start.A.shape[1]}, its largest weight is {np.abs(start.A).max():.3f}")
show(f"B is {start.B.shape[0]} x {start.B.shape[1]}, its largest weight is {np.abs(start.B).max():.3f}")
assert not start.B.any(), "B starts at zero"
assert all(not run.delta(module, 0).any() for module in run.modules), "so every delta-W is zero before training"

# %% [markdown]
# ## The first step
# The gradients are `dL/dB = s (dL/dW') A^T` and `dL/dA = s B^T (dL/dW')`, with s = alpha / r. Look at what each of them
# is multiplied by.

# %%
who_moves = predict("after the very first step, which of the two has moved?", ["only A", "only B", "both", "neither"])

# %%
moved = {side: any(
    not np.array_equal(getattr(run.factors(m, 1), side), getattr(run.factors(m, 0), side)) for m in run.modules
) for side in "AB"}  # fmt: skip
measured = {(True, False): "only A", (False, True): "only B", (True, True): "both", (False, False): "neither"}
who_moves.reveal(measured[moved["A"], moved["B"]])
assert moved == {"A": False, "B": True}, "the gradient of A is B^T times something, and B was zero"

# %% [markdown]
# At the second step B is no longer zero, so A begins to move too. Here are both, and their product, at the end.

# %%
show(plots.plot_factors(run, module=MODULE), name="factors")
explore(plots.plot_delta, run, modules=[MODULE, *(name for name in run.modules if name != MODULE)], name="delta")

# %% [markdown]
# ## What the rank limits
# B A has as many rows and columns as W, but it is a sum of r products of a column and a row.

# %%
rank_of_change = predict(
    f"W is {' x '.join(map(str, run.shape(MODULE)))} and r is {RANK}. How many singular values of delta-W are not "
    "zero?",
    [f"at most {RANK}", f"{RANK + 1} to 64", "65 or more"],
)

# %%
ranks = {m: numerical_rank(np.linalg.svd(run.delta(m), compute_uv=False), run.shape(m)) for m in run.modules}
highest = max(ranks.values())
rank_of_change.reveal(f"at most {RANK}" if highest <= RANK else f"{RANK + 1} to 64" if highest <= 64 else "65 or more")
show(f"The highest rank among all {len(ranks)} changed matrices: {highest}")
show(plots.plot_spectrum(run, module=MODULE), name="spectrum")
assert highest <= RANK

# %% [markdown]
# ## How much is trained, and stored
# For each matrix, LoRA trains r (in + out) weights instead of in x out. What is kept after training is the adapter,
# a file for one task; full fine-tuning keeps a whole model for one task.

# %%
model_info = run.info.model
adapter_bytes = (run.path / "adapter" / "adapter_model.safetensors").stat().st_size
base_bytes = sum(p.numel() * p.element_size() for p in base.parameters())
show(
    pd.DataFrame(
        {
            "weights": [model_info.parameters, model_info.trainable],
            "share": ["100 %", f"{model_info.trainable / model_info.parameters:.1%}"],
            "kB stored": [base_bytes / 1000, adapter_bytes / 1000],
        },
        index=pd.Index(["the whole model", f"the adapter, r = {RANK}"], name=""),
    )
)

# %% [markdown]
# "LoRA trains one per cent of the weights" is said of models of billions. The share depends on how thin r is beside the
# matrices: work it out for a large one.

# %%
exercise(
    f"A matrix of 4096 x 4096 weights gets LoRA with r = {RANK}. What share of its weights is trained, in per cent?",
    answer=100 * RANK * (4096 + 4096) / 4096**2,
    hint="LoRA trains r (in + out) weights; divide by in x out.",
)

# %% [markdown]
# ## What alpha does
# The product B A is scaled by alpha / r before it is added. So alpha is a volume knob on what was learned: with the
# same A and B, twice the alpha is twice the delta-W.

# %%
factors = run.factors(MODULE)
W, A, B = run.weight(MODULE), factors.A, factors.B


# %%
def try_merged(merged):
    for alpha in (16, 32):
        right, given = W + alpha / len(A) * (B @ A), merged(W, A, B, alpha)
        assert np.shape(given) == W.shape, f"W' is {W.shape}; yours is {np.shape(given)}"
        far = float(np.abs(given - right).max())
        assert far < 1e-5, f"With alpha = {alpha} yours is up to {far:.2g} away"


written = exercise_code(
    f"Write merged(W, A, B, alpha): the matrix W' that the adapter makes of W. It is tried on the captured {MODULE}: "
    f"W {W.shape}, A {A.shape}, B {B.shape}.",
    test=try_merged,
    solution="def merged(W, A, B, alpha):\n    r = len(A)\n    return W + alpha / r * (B @ A)",
    hint="W' = W + (alpha / r) B A, where r is how many rows A has; @ multiplies matrices",
)


# %% tags=["answer"]
def merged(W, A, B, alpha): ...


written.check(merged)

# %% [markdown]
# ## Merging
# W' = W + (alpha/r) B A is a matrix of W's own shape. So the adapter can be added into the weights for good, and
# costs nothing when the model is used.

# %%
tuned = load_tuned(run)
tuned.eval()
tokens = tokenizer(QUESTIONS[-1], return_tensors="pt")
with torch.inference_mode():
    unmerged = tuned(**tokens).logits
    in_one = load_tuned(run).merge_and_unload().eval()(**tokens).logits
difference = float((in_one - unmerged).abs().max())
show(f"Largest difference between any two logits, merged and not: {difference:.1e}")
show(f"(The logits themselves reach {float(unmerged.abs().max()):.1f}; the rest is the rounding of 32-bit numbers.)")
assert difference < 1e-3

# %% [markdown]
# ## Switching off
# The base was never changed, so without its adapter the model must be the base. Not nearly: exactly, bit for bit.

# %%
logits_off = predict("with the adapter off, how many of the logits differ from the base's?", ["none", "a few", "all"])

# %%
with torch.inference_mode(), tuned.disable_adapter():
    off = tuned(**tokens).logits
    original = base.eval()(**tokens).logits
differing = int((off != original).sum())
logits_off.reveal("none" if differing == 0 else "all" if differing == off.numel() else "a few")
assert differing == 0

# %% [markdown]
# ## Two adapters on one base
# A second task, another few hundred kilobytes: answers in pirate speech. Both adapters hang on the same base; choosing
# one takes no copying.

# %%
second = finetune(
    model(), "pirate", LoRA(r=RANK, alpha=16), out=HERE / "second", steps=4 if QUICK else 60, skills=0, evaluate_at=1,
    every=20, answers=False,
)  # fmt: skip
tuned.load_adapter(str(second.path / "adapter"), adapter_name="pirate")
said, logits = {}, {}
for adapter in ("default", "pirate", "default again"):
    tuned.set_adapter(adapter.split()[0])
    tuned.eval()
    said[TASK if adapter == "default" else adapter] = ask(tuned, tokenizer, QUESTIONS)["it says"]
    with torch.inference_mode():
        logits[adapter] = tuned(**tokens).logits
with tuned.disable_adapter():
    said["switched off"] = ask(tuned, tokenizer, QUESTIONS)["it says"]
show(pd.DataFrame({"asked": QUESTIONS, **{name: words for name, words in said.items() if name != "default again"}}))

# %%
back = int((logits["default again"] != logits["default"]).sum())
show(f"After there and back, {back} of {logits['default'].numel():,} logits differ from before.")
assert back == 0, "switching adapters copies nothing, so nothing can be lost on the way"

# %% [markdown]
# ## What it learned, and what it forgot
# The task is in the first row, the old skills below. Each was graded, at the steps shown, on questions that it was not
# trained on.

# %%
learned, old = new_skill(run), old_skills(run)
if old.empty:
    show("This model's old skills were not graded: nobody here knows what they were.")
else:
    fate_of_skills = predict(
        "while it learned the task, what became of the old skills, on average?",
        ["better or the same", "lost less than 10 points", "lost 10 points or more"],
    )

# %%
if not old.empty:
    mean = old.mean(axis=1)
    lost = 100 * (mean.iloc[0] - mean.iloc[-1])
    fate_of_skills.reveal(0 if lost <= 0 else 1 if lost < 10 else 2)
    show(f"Old skills, mean: {mean.iloc[0]:.0%} before, {mean.iloc[-1]:.0%} after")
if len(learned):
    show(f"{TASK}, held out: {learned.iloc[0]:.0%} before, {learned.iloc[-1]:.0%} after")
    show(plots.plot_skills(run), name="skills")
    show(plots.plot_answers(run), name="answers")

# %% [markdown]
# Which of them lost most? Forgetting, as a number: the loss on a skill after, minus the loss before, in nats a token.
# Higher is more forgotten.

# %%
if not old.empty:
    changes = forgetting(run).iloc[-1].drop(TASK, errors="ignore").sort_values(ascending=False)
    show(changes.head(5).rename("forgotten (nats a token)").to_frame().rename_axis("skill"))

# %%
if not old.empty:
    exercise(
        "Which old skill was forgotten most in this run, by that measure?",
        answer=changes.index[0],
        hint="the table's first row",
        choices=sorted(changes.index[:4]),
    )

# %% [markdown]
# ## Where it moved
# Not every matrix moves as far. The norm of delta-W beside the norm of W says by what part of its size a matrix
# changed.

# %%
moves = pd.DataFrame(
    {"norm of delta-W": [norm(run, m) for m in run.modules], "beside W": [relative_norm(run, m) for m in run.modules]},
    index=pd.Index(run.modules, name="module"),
).sort_values("beside W", ascending=False)
show(moves.head(5))
show(plots.plot_layers(run), name="layers")

# %%
exercise(
    "Which matrix moved furthest beside its own size?",
    answer=moves.index[0],
    hint="the first row of the table",
    choices=sorted(moves.index[:4]),
)
top = singular_values(run, moves.index[0])
exercise(
    f"The singular values of its delta-W are {', '.join(f'{v:.3g}' for v in top)}. "
    "What share of the squared norm has the first, in per cent?",
    answer=float(100 * top[0] ** 2 / (top**2).sum()),
    hint="square them all; the first square over their sum",
    tolerance=0.03,
)

# %% [markdown]
# ## One knob at a time
# Now short trainings that differ in one thing only: the same data, the same order, the same number of steps. They are
# compared by their held-out loss after the last step, lower is better; where nothing could be held out, by the mean
# training loss of the last five steps. These trainings are too short to be finished, so they tell what learns faster,
# not what is best in the end; and with one seed each, a small difference may be chance.

# %%
SHORT = 3 if QUICK else 50
MAIN = LoRA(r=RANK, alpha=16)
EXAMPLES = data("spanish")
if QUICK:
    few = hold_out(load(EXAMPLES), seed=0)
    EXAMPLES = Conversations(few.name, few.train[:160], few.heldout[:8])


def short_run(name, method, factor=1.0):
    """One short training at `factor` times the usual learning rate of its method."""
    return finetune(
        model(), EXAMPLES, method, out=HERE / "short" / name, steps=SHORT, batch_size=8 if QUICK else 16,
        learning_rate=factor * rate(method.name), every=SHORT, skills=0, evaluate_at=lambda step: False, answers=False,
        save=False, checkpoint=None, progress=False,
    )  # fmt: skip


def final_loss(run):
    return float(final_losses([run]).loss[0])


def ranked(runs, first):
    """A table of runs by name, best first."""
    rows = [
        {first: name, "trained weights": one.info.model.trainable, "loss": final_loss(one)}
        for name, one in runs.items()
    ]
    return pd.DataFrame(rows).sort_values("loss", ignore_index=True)


# %% [markdown]
# ### Rank
# A larger r can follow more directions. Whether that helps depends on how many the task needs.

# %%
RANKS = (1, RANK) if QUICK else (1, 2, 4, RANK, 32)
best_rank = predict(
    f"of the ranks {', '.join(map(str, RANKS))}, which ends with the lowest loss? (alpha is twice the rank, so that "
    "the scaling stays the same)",
    ["the lowest", "one between", "the highest"],
)

# %%
by_rank = {r: short_run(f"r{r}", LoRA(r=r, alpha=2 * r)) for r in RANKS}
table = ranked(by_rank, "r")
best = table.r[0]
best_rank.reveal("the lowest" if best == RANKS[0] else "the highest" if best == RANKS[-1] else "one between")
show(table)
spread = table.loss.iloc[-1] - table.loss.iloc[0]
show(f"From best to worst: {spread:.3f} nats a token.")

# %% [markdown]
# ### The rank of full fine-tuning's own change
# Nothing limits the rank when every weight is trained. How many directions does it use?

# %%
everything = short_run("full", Full())
shared = [name for name in run.modules if name in everything.modules]
needed = {name: energy_rank(singular_values(everything, name), 0.9) for name in shared}
middle = float(np.median(list(needed.values())))
full_directions = predict(
    "in how many directions lie 90 % of the energy of full fine-tuning's change "
    f"(the median of {len(shared)} matrices)?",
    [f"at most {RANK}, the rank that we gave LoRA", f"{RANK + 1} to 32", "more than 32"],
)

# %%
bounds = dict(zip(full_directions.choices, (RANK, 32, np.inf), strict=True))
full_directions.reveal(next(name for name, most in bounds.items() if middle <= most))
one = shared[int(np.argmax(list(needed.values())))]
whole = numerical_rank(singular_values(everything, one), run.shape(one))
show(
    f"{min(needed.values())} to {max(needed.values())} directions, the median {middle:g}. The most in {one}, whose "
    f"change has rank {whole} of {min(run.shape(one))}, rounding error aside."
)
show(plots.plot_energy([everything, by_rank[RANK]]), name="energy")
show(
    f"Loss at the end, each at its usual rate: full {final_loss(everything):.3f}, "
    f"LoRA of rank {RANK} {final_loss(by_rank[RANK]):.3f}."
)

# %% [markdown]
# ### Target modules
# Which matrices get an adapter. The first paper adapted attention only; PEFT's "all-linear" takes every linear layer
# but the output head.

# %%
attention = [name for name in matrices(base) if "attn" in name or "attention" in name]
others = [name for name in matrices(base) if name not in attention]
targets = {"attention": attention, "the others": others}
by_target = {
    name: short_run(f"on-{name.replace(' ', '-')}", replace(MAIN, target_modules=names))
    for name, names in targets.items()
    if names and not QUICK
}
by_target["all"] = by_rank[RANK]
show(ranked(by_target, "adapters on"))

# %% [markdown]
# ### Dropout
# Dropout sets a random part of A's input to zero on every training step, lest a few inputs be learned by heart. Whether
# that pays depends on how long one trains, on how much data.

# %%
DROPOUT = 0.2
dropped = short_run("dropout", replace(MAIN, dropout=DROPOUT))
without, withit = final_loss(by_rank[RANK]), final_loss(dropped)
show(ranked({"0": by_rank[RANK], f"{DROPOUT:g}": dropped}, "dropout"))
show(
    f"In this run of {SHORT} steps, dropout {DROPOUT:g} ended {abs(withit - without):.3f} nats "
    f"{'lower' if withit < without else 'higher'}."
)

# %% [markdown]
# ### The learning rate, LoRA's and full fine-tuning's
# It is often said that LoRA wants a rate about ten times as high as full fine-tuning. Both are tried here: from the
# usual rate in factors of three, up and down, until it gets worse.

# %%
rate_ratio = predict(
    "how many times as high is the best rate of LoRA as that of full fine-tuning?",
    ["less than 2 times", "2 to 5 times", "5 to 20 times", "more than 20 times"],
)


# %%
def tried(method, usual):
    """Runs at 3, 9, ... times the usual rate, then at a third, ..., each way until one is worse than the best."""
    runs = [usual]
    for direction in (3,) if QUICK else (3, 1 / 3):
        for power in range(1, 2 if QUICK else 5):
            best = min(final_loss(one) for one in runs)
            factor = direction**power
            runs.append(short_run(f"{method.name}-{factor:.2g}", method, factor))
            if not final_loss(runs[-1]) < best:
                break
    return runs


rated = [*tried(Full(), everything), *tried(MAIN, by_rank[RANK])]
grid = final_losses(rated).pivot(index="rate", columns="method", values="loss")
best = grid.idxmin()
ratio = best.lora / best.full
bounds = dict(zip(rate_ratio.choices, (2, 5, 20, np.inf), strict=True))
rate_ratio.reveal(next(name for name, below in bounds.items() if ratio < below))
show(plots.plot_rates(rated), name="rates")
show(
    f"Best of those tried: full {best.full:.2g}, LoRA {best.lora:.2g}, which is {ratio:.2g} times as high. "
    "The grid goes in factors of three, so the ratio may be three times more or less."
)
for name, column in grid.items():
    if best[name] in (column.dropna().index[0], column.dropna().index[-1]):
        show(f"For {name} the best is at the end of what was tried: a better one may lie beyond.")

# %%
exercise(
    "At its best rate of those tried, which ended with the lower loss?",
    answer=grid.min().idxmin(),
    hint="the lowest point of each line",
    choices=["full", "lora"],
)

# %% [markdown]
# ## What many seeds say
# What is often said of LoRA, tried several times each, with the 95 % interval of what was measured
# (`python -m lessons.claims` tries it again).

# %%
show(
    ledger(
        "one-per-cent", "lora-rate", "lora-rate-higher", "less-by-rank", "full-rank", "overlap", "share-a-base",
        "lora-forgets-less",
    )
)  # fmt: skip

# %% [markdown]
# ## Where to read on
# - Hu et al. 2021, *LoRA: Low-Rank Adaptation of Large Language Models*, arXiv:2106.09685
# - PEFT's documentation on LoRA: huggingface.co/docs/peft
# - Biderman et al. 2024, *LoRA Learns Less and Forgets Less*, arXiv:2405.09673: what large models showed
# - Your own model: `finetune("your-model-folder", "your.jsonl", LoRA(r=16), out="runs/mine")`, then any picture above

# %%
if current().film and not is_own():  # the film's scenes are set for the embedded model
    from animations.studio.render import render_film

    film = render_film("lora", Run.load(run.path), HERE / "lora.mp4", others={"pirate": second})
    show(f"film: {film}")
show(f"run: {run.path}")
show(f"pictures: {HERE / 'pictures'}")
