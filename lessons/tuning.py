# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Tuning: the settings that decide whether it works
#
# A fine-tuning has few settings that matter, and each has a usual value that somebody once wrote down. Here you turn
# them one at a time, and see what each does to the new task and to the old skills.
#
# Afterwards you will be able to say
#
# - what a learning rate that is too low, right or too high looks like, and what each does to the old skills;
# - how overfitting on a small set shows, and why you must look at held-out examples to see it;
# - why accumulating four batches of eight is one batch of thirty-two, and when it is not;
# - what warm-up, weight decay and dropout did here.
#
# Nothing here is prepared: the model is a real one, small enough to be trained while you watch, and every number and
# picture below was measured on your machine a moment before you see it.

# %% tags=["hide-input"]
from lessons.teaching.walk import begin

begin(__name__, lesson="tuning", place=6)

# %% tags=["hide-input"]
import math
import time

import numpy as np
import pandas as pd

from engine.data import Conversations, collate, encode_all, hold_out, load
from engine.measure.matched import learning_path
from engine.models import load_model, load_tokenizer
from engine.planning.memory import training_memory
from engine.training.finetune import finetune
from engine.training.methods import Full, LoRA
from lessons.teaching.stage import current, data, exercise, exercise_code, ledger, model, predict, rate, show
from visualize import plots

QUICK = current().quick
HERE = current().folder

# Two dozen Spanish words, not all of the task, so that a run takes seconds; a teacher's own data as it is.
task = hold_out(load(data("spanish")), seed=0)
if not current().data:
    words = list(dict.fromkeys(conversation[-1]["content"] for conversation in task.train))[: 8 if QUICK else 24]
    parts = ([c for c in part if c[-1]["content"] in words] for part in (task.train, task.heldout))
    task = Conversations(task.name, *parts)


def train(name, task, method, graded=0, **settings):
    """One fine-tuning, and a line on how it went. graded: questions of each old skill that are asked."""
    settings = {"batch_size": 16, "evaluate_at": 2 if QUICK else 4, "every": 10_000, "checkpoint": None, **settings}
    settings = {"save": False, "answers": False, "progress": False, **settings}
    began = time.perf_counter()
    run = finetune(model(), task, method, out=HERE / name, skills=graded, **settings)
    losses = run.metrics.loss
    show(f"{name}: loss {losses.iloc[0]:.2f} -> {losses.iloc[-1]:.3g}, {time.perf_counter() - began:.0f} s")
    return run


# %% [markdown]
# ## The learning rate
# How far the weights go in one step. The field's advice for LoRA is about ten times the rate of full fine-tuning; for a
# model of a million weights both are higher than for one of billions. Here is the rate that `finetune` takes by itself.

# %%
steps, graded = (6, 1) if QUICK else (80, 4)
FACTORS = (0.1, 1, 10) if QUICK else (0.05, 0.25, 1, 3, 10)
RATES = [factor * rate("lora") for factor in FACTORS]
usual = FACTORS.index(1)


def at_rate(r):
    return train(f"rate-{r:.2g}", task, LoRA(), graded, learning_rate=r, steps=steps)


at_usual = at_rate(RATES[usual])
show(plots.plot_loss(at_usual), name="usual")

# %% [markdown]
# Now the same training at rates around this one.

# %%
too_high_a_rate = predict(
    f"at {FACTORS[-1]:g} times the usual rate, beside the usual one, what is the new task like after the same steps?",
    ["better: it learns faster", "about the same", "worse"],
)

# %%
rates = [at_usual if factor == 1 else at_rate(r) for factor, r in zip(FACTORS, RATES, strict=True)]
ends = pd.DataFrame(
    {
        "new task (%)": [100 * learning_path(run).learned.iloc[-1] for run in rates],
        "old skills (%)": [100 * learning_path(run).kept.iloc[-1] for run in rates],
        "training loss": [run.metrics.loss.tail(5).mean() for run in rates],
        "held-out loss": [run.skill_losses[run.task].iloc[-1] for run in rates],
    },
    index=pd.Index([f"{r:.2g}" for r in RATES], name="learning rate"),
).round(2)
new = ends["new task (%)"].to_numpy()
apart = new[-1] - new[usual]
too_high_a_rate.reveal(1 if abs(apart) < 5 else 0 if apart > 0 else 2)
show(ends)
show(plots.plot_sweep(dict(zip(ends.index, rates, strict=True))), name="rates")

# %% [markdown]
# Which is too low, which is right, which is too high? Say it by what was measured: too low has not learned the task in
# the steps it had; too high has lost more of the old skills than another that learned as much.

# %%
best = new.max()
near = [index for index, score in enumerate(new) if score >= best - 5]
right = max(near, key=lambda index: ends["old skills (%)"].iloc[index])
if best < 10:
    show(f"None of these rates has learned the task in {steps} steps; what follows says little.")
for index, label in enumerate(ends.index):
    old = ends["old skills (%)"].iloc[index]
    if index == right:
        said = f"right here: within 5 points of the best score, and of those it kept most ({old:.0f} %)"
    elif index in near:
        said = f"it learns as well, but keeps {old:.0f} % of the old skills"
    elif index < right:
        said = (
            f"too low for {steps} steps: {new[index]:.0f} % of the new task, and {old:.0f} % of the old skills are left"
        )
    else:
        said = f"too high: {new[index]:.0f} % of the new task, and {old:.0f} % of the old skills are left"
    show(f"{label}: {said}.")

# %% [markdown]
# ## Epochs, and overfitting on a small set
# An epoch is one pass over the training data. With few examples the model can learn them by heart; what counts is how
# it does on others. Here are a few dozen examples of another task, answers as JSON, and many epochs.

# %%
whole = hold_out(load(data("json")), seed=0)
COUNT = 16 if QUICK else 48
small = Conversations(whole.name, whole.train[:COUNT], whole.heldout[:60])
epochs = 2 if QUICK else 40
after_many_epochs = predict(
    f"after {epochs} epochs on {COUNT} examples, how is the loss on held-out ones beside the lowest it ever was?",
    ["it is still at its lowest", "risen by up to a tenth", "risen by more than a tenth"],
)

# %%
dozens = train("epochs", small, LoRA(), epochs=epochs, evaluate_at=2 if QUICK else 8)
held = dozens.skill_losses[dozens.task]
lowest, risen = held.idxmin(), held.iloc[-1] / held.min() - 1
after_many_epochs.reveal(0 if risen <= 0 else 1 if risen <= 0.1 else 2)
show(plots.plot_loss(dozens), name="epochs")
per_epoch = math.ceil(COUNT / 16)
score = dozens.skills[dozens.task]
show(
    f"Held-out loss: lowest at step {lowest} (epoch {lowest / per_epoch:.0f}), {held.min():.3f}; "
    f"at the end {held.iloc[-1]:.3f}."
)
show(f"Exactly right, held out: {score[lowest]:.0%} at that step, {score.iloc[-1]:.0%} at the end.")
show(f"Training loss meanwhile: {dozens.metrics.loss.iloc[0]:.2f} -> {dozens.metrics.loss.iloc[-1]:.4f}.")

# %% [markdown]
# Loss and score need not agree: a model that is sure of its few mistakes has a high loss and many right answers. Which
# of them you look at decides where you would have stopped.

# %% [markdown]
# ## Batch size and gradient accumulation
# A batch that does not fit into memory is taken in parts: four times eight examples, their gradients added up, then one
# step. The gradient of a sum is the sum of the gradients, so this should be one batch of thirty-two.

# %%
how_far_apart = predict(
    "after five steps, how far are the weights of 4 x 8 from those of 32, beside how far they moved?",
    ["not at all, or by rounding (less than 0.1 %)", "a little (0.1 to 5 %)", "more than 5 %"],
)

# %%
forms = {"32 at once": (32, 1), "4 x 8, accumulated": (8, 4), "8, not accumulated": (8, 1)}
taken = {
    name: train(f"batch-{size}x{times}", task, Full(), batch_size=size, accumulation=times, steps=5, evaluate_at=1)
    for name, (size, times) in forms.items()
}
reference = taken["32 at once"]


def distance(run):
    """How far a run's weights ended from the reference's, beside how far those moved: a share."""
    apart = sum(np.sum((run.delta(m) - reference.delta(m)) ** 2) for m in run.modules)
    return math.sqrt(apart / sum(np.sum(reference.delta(m) ** 2) for m in run.modules))


apart = distance(taken["4 x 8, accumulated"])
how_far_apart.reveal(0 if apart < 0.001 else 1 if apart <= 0.05 else 2)
length = max(len(row.ids) for row in encode_all(load_tokenizer(model()), task.train))
memory = [training_memory(model(), "full", batch=size, length=length, dtype="float32") for size, _ in forms.values()]
show(
    pd.DataFrame(
        {
            "distance from 32 at once (%)": [f"{100 * distance(run):.3g}" for run in taken.values()],
            "activations (MB)": [m.activations / 1e6 for m in memory],
            "all of training (MB)": [m.total / 1e6 for m in memory],
        },
        index=pd.Index(forms, name="examples a step"),
    )
)
show(f"(Memory is counted from the model itself, for examples of {length} tokens, the longest of this task.)")

# %% [markdown]
# One thing must be right: the loss is a mean over *tokens*, and the parts have different numbers of them. Whoever takes
# the plain mean of the parts' means gives short answers too much weight. Several libraries did, until October 2024.
# Here is the gradient of one matrix, by hand, in both ways.

# %%
network, tokenizer = load_model(model()), load_tokenizer(model())
rows = encode_all(tokenizer, load(data("json")).train[:16] + task.train[:16])
weight = next(p for p in network.parameters() if p.ndim == 2 and p.requires_grad)


def gradient(part):
    """(gradient of the mean loss, the number of tokens it is a mean of)."""
    labelled = collate(part, tokenizer.pad_token_id)
    network.zero_grad()
    network(**labelled).loss.backward()
    return weight.grad.numpy().copy(), sum(row.trained for row in part)


together, _ = gradient(rows)
parts = [gradient(rows[first : first + 8]) for first in range(0, 32, 8)]
by_tokens = sum(g * n for g, n in parts) / sum(n for _, n in parts)
plain_mean = sum(g for g, _ in parts) / len(parts)
size = np.linalg.norm(together)
show(f"tokens in the four parts: {', '.join(str(n) for _, n in parts)}")
show(f"weighted by tokens: {np.linalg.norm(by_tokens - together) / size:.1e} of the gradient away from that of all 32")
show(f"plain mean: {np.linalg.norm(plain_mean - together) / size:.1e} of it away")
assert np.linalg.norm(by_tokens - together) < 1e-3 * size

# %% [markdown]
# ## Warm-up
# At first the optimizer knows nothing about the gradients' sizes, and Adam's first steps are as long as any. So the
# rate is often raised slowly over the first steps. Here is full fine-tuning at a high rate, with and without it.

# %%
with_or_without = predict(
    "at six times the usual rate, whose held-out loss is lower at the end?",
    ["with warm-up, from every seed", "without it, from every seed", "now the one, now the other"],
)

# %%
HIGH, SEEDS = 6 * rate("full"), (0,) if QUICK else (0, 1)
short = 4 if QUICK else 40
warm = {
    (share, seed): train(
        f"warmup-{share:g}-seed{seed}", task, Full(), learning_rate=HIGH, warmup=share, seed=seed, steps=short,
        evaluate_at=1 if QUICK else 3,
    )
    for share in (0.0, 0.3) for seed in SEEDS
}  # fmt: skip
last = {key: run.skill_losses[run.task].iloc[-1] for key, run in warm.items()}
wins = sum(last[0.3, seed] < last[0.0, seed] for seed in SEEDS)
with_or_without.reveal(0 if wins == len(SEEDS) else 1 if wins == 0 else 2)
names = [f"{'no warm-up' if not share else f'warm-up {share:.0%}'}, seed {seed}" for share, seed in warm]
show(
    pd.DataFrame(
        {
            "highest training loss": [run.metrics.loss.max() for run in warm.values()],
            "held-out loss at the end": list(last.values()),
            "right, held out (%)": [100 * run.skills[run.task].iloc[-1] for run in warm.values()],
        },
        index=pd.Index(names, name=f"full, rate {HIGH:.2g}"),
    )
)
show(plots.plot_sweep(dict(zip(names, warm.values(), strict=True)), value="loss"), name="warmup")

# %% [markdown]
# ## Weight decay and dropout
# Two old remedies against learning by heart. *Weight decay* pulls every trained weight towards zero at each step, by
# the rate times the decay; *dropout* hides a random part of LoRA's input at each step. Both on the small set from
# above.

# %%
which_is_lowest = predict(
    "which has the lowest held-out loss at the end?",
    ["neither of them", "weight decay 0.1, a usual value", "weight decay 5, a strong one", "dropout 0.3"],
)

# %%
less = epochs if QUICK else epochs // 2
kinds = {
    "neither of them": (LoRA(), {}),
    "weight decay 0.1, a usual value": (LoRA(), {"weight_decay": 0.1}),
    "weight decay 5, a strong one": (LoRA(), {"weight_decay": 5.0}),
    "dropout 0.3": (LoRA(dropout=0.3), {}),
}
tried = {
    name: train(f"regular-{number}", small, method, epochs=less, evaluate_at=1 if QUICK else 3, **settings)
    for number, (name, (method, settings)) in enumerate(kinds.items())
}
regular = pd.DataFrame(
    {
        "training loss": [run.metrics.loss.tail(5).mean() for run in tried.values()],
        "held-out loss": [run.skill_losses[run.task].iloc[-1] for run in tried.values()],
        "right, held out (%)": [100 * run.skills[run.task].iloc[-1] for run in tried.values()],
        "norm of all delta-W": [math.sqrt((run.norms.iloc[-1] ** 2).sum()) for run in tried.values()],
    },
    index=pd.Index(tried, name=f"{less} epochs"),
)
which_is_lowest.reveal(regular["held-out loss"].idxmin())
show(regular)

# %% [markdown]
# One seed each, so small differences mean nothing; the end of this lesson says what several seeds gave.

# %% [markdown]
# ## Exercises

# %%
exercise(
    "Which learning rate of the first table had the lowest loss on held-out examples? (as it stands in the table)",
    answer=float(ends["held-out loss"].idxmin()),
    hint="compare the column 'held-out loss'",
)
decay, peak = 0.1, rate("lora")
exercise(
    f"With weight decay {decay:g} and a rate of {peak:g}, by how many per cent does the pull alone shrink a weight in "
    "100 steps at that rate?",
    answer=100 * (1 - (1 - peak * decay) ** 100),
    hint="each step multiplies it by 1 - rate x decay (Loshchilov & Hutter 2019)",
    tolerance=0.02,
)
exercise(
    "A GPU has room for batches of 4. You want steps of 64 examples. How many batches do you accumulate?",
    answer=16,
    hint="64 divided by 4",
)

# %% [markdown]
# And the accumulation itself: given the parts' gradients and their numbers of tokens, write the whole batch's gradient.


# %%
def test_accumulate(function):
    got = function([g for g, _ in parts], [n for _, n in parts])
    error = float(np.linalg.norm(got - together) / size)
    assert error < 1e-3, f"It is {error:.1%} of the gradient away from that of all 32 at once"


by_hand = exercise_code(
    "write accumulate(gradients, tokens): the gradient of the mean loss over all tokens, from each part's gradient of "
    "its own mean loss",
    test_accumulate,
    solution="""
def accumulate(gradients, tokens):
    return sum(g * n for g, n in zip(gradients, tokens)) / sum(tokens)
""",
    hint="a mean times its number of tokens is a sum",
)


# %% tags=["answer"]
def accumulate(gradients, tokens): ...  # your lines


by_hand.check(accumulate)

# %% [markdown]
# ## What many seeds say
# What is often said of these settings, tried several times each, with the 95 % interval of what was measured
# (`python -m lessons.claims` tries it again).

# %%
show(
    ledger(
        "grows-with-rate", "lower-rate-than-pretraining", "overfit", "accumulation", "warmup-steadies", "warmup-learns",
        "weight-decay", "dropout",
    )
)  # fmt: skip

# %% [markdown]
# ## Where to read on
# - Loshchilov & Hutter 2019, *Decoupled Weight Decay Regularization*, arXiv:1711.05101: AdamW
# - Goyal et al. 2017, *Accurate, Large Minibatch SGD*, arXiv:1706.02677: warm-up, and rate against batch size
# - Srivastava et al. 2014, *Dropout*, Journal of Machine Learning Research 15
# - Hugging Face 2024, *Fixing Gradient Accumulation*: huggingface.co/blog/gradient_accumulation
# - transformers' documentation of `TrainingArguments`: huggingface.co/docs/transformers

# %%
show(f"runs: {HERE}")
show(f"pictures: {HERE / 'pictures'}")
