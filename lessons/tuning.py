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
# | what | `TrainingArguments` | `finetune` | usual for a large model |
# |---|---|---|---|
# | learning rate, its peak | `learning_rate` | `learning_rate` | full 1e-5 to 5e-5, LoRA 1e-4 to 5e-4 |
# | how long | `num_train_epochs` | `epochs` (or `steps`) | 1 to 5 epochs |
# | examples a step | `per_device_train_batch_size` | `batch_size` | 16 to 128, with accumulation |
# | batches a step | `gradient_accumulation_steps` | `accumulation` | as memory wants |
# | share of the steps in which the rate rises | `warmup_steps` (below 1: a share) | `warmup` | 0.03 to 0.1 |
# | how the rate falls | `lr_scheduler_type` | `trainer={"lr_scheduler_type": ...}` | linear or cosine |
# | pull towards zero | `weight_decay` | `weight_decay` | 0 to 0.1 |
# | longest gradient | `max_grad_norm` | `max_grad_norm` | 1 |
#
# Afterwards you will be able to answer
#
# - What does a learning rate that is too low, right or too high look like, and what does each do to the old skills?
# - How does learning by heart show, and where must one look to see it?
# - What do warm-up, weight decay and dropout do, and how much of it is arithmetic?
#
# Nothing here is prepared: the model is a real one, small enough to be trained while you watch, and every number and
# picture below was measured on your machine a moment before you see it.

# %% tags=["hide-input"]
from lessons.teaching.walk import begin

begin(__name__, lesson="tuning", place=7)

# %% tags=["hide-input"]
import math
import time

import numpy as np
import pandas as pd

from engine.data import Conversations
from engine.evaluate import encode_last_answer, last_answer, score_answers
from engine.evaluate.tokens import losses_of_model
from engine.measure.matched import learning_path
from engine.measure.shares import newcombe
from engine.models import load_model, load_tokenizer, load_tuned
from engine.training.finetune import finetune
from engine.training.methods import Full, LoRA
from lessons.teaching.stage import (
    conclude,
    current,
    exercise,
    leader,
    ledger,
    model,
    new_skill,
    old_skills,
    predict,
    rate,
    show,
    task_of,
)
from visualize import plots

QUICK = current().quick
HERE = current().folder

# Two dozen Spanish words, not all of the task, so that a run takes seconds; a teacher's own data as it is.
task = task_of("spanish", answers=8 if QUICK else 24, graded=True)


def train(name, task, method, graded=0, **settings):
    """One fine-tuning, and a line on how it went. graded: questions of each old skill that are asked."""
    settings = {"batch_size": 16, "evaluate_at": 2 if QUICK else 4, "every": 10_000, "checkpoint": None, **settings}
    settings = {"save": False, "answers": False, "progress": False, "seed": current().seed, **settings}
    began = time.perf_counter()
    run = finetune(model(), task, method, out=HERE / name, skills=graded, **settings)
    losses = run.metrics.loss
    show(f"{name}: loss {losses.iloc[0]:.2f} -> {losses.iloc[-1]:.3g}, {time.perf_counter() - began:.0f} s")
    return run


# %% [markdown]
# What all of the trainings below have to move: here is one record under the model as it is, and under each token how
# surprised the model is by it (its loss, nats). What is underlined is learned.

# %%
tokenizer = load_tokenizer(model())
record = next(talk for talk in task.train if last_answer(talk))
show(plots.plot_tokens(losses_of_model(load_model(model()), tokenizer, [record])), name="record")

# %% [markdown]
# ## The learning rate
# How far the weights go in one step. A model of a million weights takes higher ones than one of billions. Here is the
# rate that `finetune` takes by itself.

# %%
steps, graded = (6, 1) if QUICK else (100, 4)
FACTORS = (0.1, 1, 10) if QUICK else (0.25, 1, 3, 10)
RATES = [factor * rate("lora") for factor in FACTORS]
usual = FACTORS.index(1)


def at_rate(r):
    return train(f"rate-{r:.2g}", task, LoRA(), graded, learning_rate=r, steps=steps, evaluate_at=2)


at_usual = at_rate(RATES[usual])
show(plots.plot_loss(at_usual), name="usual")

# %% [markdown]
# Now the same training at rates around this one.

# %%
too_high_a_rate = predict(
    f"at {FACTORS[-1]:g} times the usual rate, beside the usual one, what is the new task like after the same steps?",
    {
        "better: it learns faster": "longer steps get further, as long as each lands on lower ground than the one "
        "before. What they cost shows elsewhere: look at the old skills.",
        "no difference that these questions could show": "both learn nearly all there is to learn in so many steps, "
        "or neither does.",
        "worse": "the gradient says which way is down here; a step that is too long lands on the other side, and "
        "higher.",
    },
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
n = int(at_usual.graded[at_usual.task].iloc[-1])
low, high = newcombe(new[-1] / 100 * n, n, new[usual] / 100 * n, n)
if new.max() < 10:
    too_high_a_rate.withhold("at none of these rates was the task learned in so few steps.")
else:
    too_high_a_rate.reveal(0 if low > 0 else 2 if high < 0 else 1)
show(ends)
show(plots.plot_sweep(dict(zip(ends.index, rates, strict=True))), name="rates")

# %% [markdown]
# Which is too low, which is right, which is too high? Say it by what was measured: too low has not learned the task in
# the steps it had (four fifths of what the best of them did); too high has clearly lost more of the old skills than a
# lower one that learned it, or has not learned it either.

# %%
best = new.max()
asked_old = int(at_usual.graded[old_skills(at_usual).columns].iloc[-1].sum())  # questions of old skills
near = [index for index, score in enumerate(new) if score >= 0.8 * best]
right = max(near, key=lambda index: ends["old skills (%)"].iloc[index])


def judged(index):
    old, most = (ends["old skills (%)"].iloc[at] for at in (index, right))
    if index == right:
        return f"right here: it has learned the task ({new[index]:.0f} %), and of such keeps most ({old:.0f} %)"
    if index in near:
        both = f"it has learned the task, too ({new[index]:.0f} %), and keeps {old:.0f} % of the old skills"
        if newcombe(most / 100 * asked_old, asked_old, old / 100 * asked_old, asked_old)[0] <= 0:
            return f"as good, as far as {asked_old} questions of old skills can tell: {both}"
        return f"{'too high' if index > right else 'lower, and no better for it'}: {both}"
    what = f"too low for {steps} steps" if index < right else "too high"
    return f"{what}: {new[index]:.0f} % of the new task, and {old:.0f} % of the old skills are left"


if best < 10:
    conclude(f"None of these rates has learned the task in {steps} steps, so none is called right.")
else:
    conclude(*(f"{label}: {judged(index)}." for index, label in enumerate(ends.index)))
    if right in (0, len(FACTORS) - 1):
        conclude("What is called right is at the end of what was tried: another may lie beyond.")

# %% [markdown]
# ## Epochs, and learning by heart
# An epoch is one pass over the training data. With few examples the model can learn them by heart; what counts is how
# it does on others. Here are a few dozen examples of another task, answers as JSON (of your own data, its first ones
# again), and many epochs.

# %%
whole = task_of("json", graded=True)
small = Conversations(whole.name, whole.train[: 16 if QUICK else 48], whole.heldout[:60])
COUNT = len(small.train)
epochs = 2 if QUICK else 40
after_half_time = predict(
    f"{epochs} epochs on {COUNT} examples: in the second half, what does the loss on held-out examples do?",
    {
        "it falls further, by more than 5 %": "what is still to be learned from these examples is of use for others, "
        "too.",
        "it stays within 5 %": "the examples are known and their gradient is nearly zero: nothing moves any more.",
        "it rises by more than 5 %": "the model becomes surer of everything, of its mistakes on new questions as well.",
    },
)
by_heart = predict(
    "and at the end, how many of the answers are right: on the examples themselves, and on held-out ones?",
    {
        "about as many (no more apart than chance)": "what it has learned is common to all examples, seen or not.",
        "more of the examples themselves": "some of them it knows by heart. That is overfitting, seen as a gap, "
        "whatever the loss does.",
        "more of the held-out ones": "chance, or easier questions.",
    },
)

# %%
dozens = train("epochs", small, LoRA(), epochs=epochs, evaluate_at=2 if QUICK else 8, save=True)
held, score = dozens.skill_losses[dozens.task], new_skill(dozens, graded=True)
half = held.index[np.abs(held.index - held.index[-1] / 2).argmin()]
change = held.iloc[-1] / held[half] - 1
after_half_time.reveal(0 if change < -0.05 else 1 if change <= 0.05 else 2)
seen = [row for row in (encode_last_answer(tokenizer, talk) for talk in small.train) if row.trained]
of_seen = float(np.mean(score_answers(load_tuned(dozens).eval(), seen, tokenizer.pad_token_id)[1]))
if max(of_seen, score.iloc[-1]) < 0.1:
    by_heart.withhold("neither are right: nothing was learned, by heart or otherwise.")
else:
    n = dozens.graded[dozens.task].iloc[-1]
    low, high = newcombe(of_seen * len(seen), len(seen), score.iloc[-1] * n, n)
    by_heart.reveal(1 if low > 0 else 2 if high < 0 else 0)
show(plots.plot_loss(dozens), name="epochs")
losses = dozens.metrics.loss
show(
    pd.DataFrame(
        {
            "training loss": [losses.loc[:half].tail(5).mean(), losses.tail(5).mean()],
            "held-out loss": [held[half], held.iloc[-1]],
            "held out, right (%)": [100 * score[half], 100 * score.iloc[-1]],
            "the examples, right (%)": ["", f"{100 * of_seen:.4g}"],
        },
        index=pd.Index([f"step {half}", f"step {held.index[-1]}"], name=f"{COUNT} examples"),
    )
)

# %% [markdown]
# Loss and score need not agree: a model that is sure of its few mistakes has a high loss and many right answers. And
# the lowest held-out loss *of a run* is no measure: the end minus the lowest is never negative, so it would find
# overfitting in any noise. Choose where to stop on some questions, and judge it on others.

# %% [markdown]
# ## Warm-up
# At first the optimizer knows nothing about the gradients' sizes, and Adam's first steps are as long as any. So the
# rate is often raised slowly over the first steps. Here is full fine-tuning with and without it, at a rate chosen so
# high that something may go wrong; at a usual rate it need not matter at all.

# %%
with_or_without = predict(
    "at twelve times the usual rate, whose held-out loss is lower at the end?",
    {
        "with warm-up, from every seed": "Adam's running means need some steps to know the gradients' sizes; long "
        "steps before that go astray.",
        "without it, from every seed": "warm-up costs steps at a low rate, and a model that was pretrained stands "
        "where gradients are small and tell the way from the start.",
        "now the one, now the other": "what it helps is smaller than what the order of the data does.",
    },
)

# %%
HIGH, SEEDS = 12 * rate("full"), [current().seed + n for n in range(1 if QUICK else 2)]
short = 4 if QUICK else 40
warm = {
    (share, seed): train(
        f"warmup-{share:g}-seed{seed}", task, Full(), learning_rate=HIGH, warmup=share, seed=seed, steps=short,
        evaluate_at=1 if QUICK else 3,
    )
    for share in (0.0, 0.3) for seed in SEEDS
}  # fmt: skip
last = {key: run.skill_losses[run.task].iloc[-1] for key, run in warm.items()}
gained = [last[0.0, seed] / last[0.3, seed] - 1 for seed in SEEDS]
better, worse = sum(gain > 0.05 for gain in gained), sum(gain < -0.05 for gain in gained)
if not all(map(math.isfinite, last.values())):
    with_or_without.withhold("a run ended with a loss that is no number any more; the table says which.")
elif not better and not worse:
    with_or_without.withhold("from every seed the two end within 5 % of each other.")
elif max(better, worse) < len(SEEDS) and not (better and worse):
    with_or_without.withhold("from one seed the two differ, from another they end within 5 % of each other.")
else:
    with_or_without.reveal(0 if better == len(SEEDS) else 1 if worse == len(SEEDS) else 2)
names = [f"{'no warm-up' if not share else f'warm-up {share:.0%}'}, seed {seed}" for share, seed in warm]
show(
    pd.DataFrame(
        {
            "highest training loss": [run.metrics.loss.max() for run in warm.values()],
            "held-out loss at the end": list(last.values()),
            "right, held out (%)": [100 * new_skill(run, graded=True).iloc[-1] for run in warm.values()],
        },
        index=pd.Index(names, name=f"full, rate {HIGH:.2g}"),
    )
)
show(plots.plot_sweep(dict(zip(names, warm.values(), strict=True)), value="loss"), name="warmup")

# %% [markdown]
# ## Weight decay and dropout
# Two old remedies against learning by heart. *Dropout* hides a random part of LoRA's input at each step. *Weight
# decay* multiplies every trained weight by 1 - rate x decay at each step: it pulls towards zero. For LoRA zero is B A
# = 0, the base; for full fine-tuning it is a model whose weights are all zero. So the same word pulls LoRA *towards*
# the base, and full fine-tuning *away* from it. How strong is that pull?

# %%
less = epochs if QUICK else epochs // 2
decay_shrinks = predict(
    f"weight decay 0.1, a usual value: by how much does it alone shrink a weight over all of {less} epochs?",
    {
        "less than 1 %": "each step takes rate x decay of it, a few parts in ten thousand at most, and fine-tunings "
        "are short. It was made for pretraining, which takes a million steps.",
        "1 to 10 %": f"at this rate it takes {math.log(0.99) / math.log1p(-0.1 * rate('lora')):,.0f} steps to 1 %, and "
        f"{math.log(0.9) / math.log1p(-0.1 * rate('lora')):,.0f} to 10 %, all of them at its peak.",
        "more than 10 %": "0.1 sounds like a tenth; but it is multiplied by the learning rate.",
    },
    exact=True,
)
ALIKE = "none stands out (the two lowest are within 5 %)"
which_is_lowest = predict(
    "which of these has the lowest held-out loss at the end?",
    {
        ALIKE: "what they change is smaller than what another seed would change.",
        "neither of them": "learning by heart was not what stood in the way.",
        "weight decay 0.1": "a small pull towards the base, all the way.",
        "weight decay 5": "a strong pull towards the base: what is not needed by the data goes back to it.",
        "dropout 0.3": "what must work with any third of its input missing cannot hang on a single detail.",
    },
)

# %%
kinds = {
    "neither of them": (LoRA(), {}),
    "weight decay 0.1": (LoRA(), {"weight_decay": 0.1}),
    "weight decay 5": (LoRA(), {"weight_decay": 5.0}),
    "dropout 0.3": (LoRA(dropout=0.3), {}),
}
tried = {
    name: train(f"regular-{number}", small, method, epochs=less, evaluate_at=1 if QUICK else 3, **settings)
    for number, (name, (method, settings)) in enumerate(kinds.items())
}


def pull(run, decay):
    """The share of a weight that decay alone takes, in per cent, at the rates that the run really had."""
    return 100 * (1 - np.prod(1 - decay * run.metrics.learning_rate.to_numpy()))


regular = pd.DataFrame(
    {
        "pull of the decay alone (%)": [
            pull(run, kinds[name][1].get("weight_decay", 0)) for name, run in tried.items()
        ],
        "norm of all delta-W": [math.sqrt((run.norms.iloc[-1] ** 2).sum()) for run in tried.values()],
        "training loss": [run.metrics.loss.tail(5).mean() for run in tried.values()],
        "held-out loss": [run.skill_losses[run.task].iloc[-1] for run in tried.values()],
        "right, held out (%)": [100 * new_skill(run, graded=True).iloc[-1] for run in tried.values()],
    },
    index=pd.Index(tried, name=f"LoRA, {less} epochs"),
)
shrunk = regular["pull of the decay alone (%)"]["weight decay 0.1"]
decay_shrinks.reveal(0 if shrunk < 1 else 1 if shrunk <= 10 else 2)
first = leader(regular["held-out loss"].to_dict(), 0.05 * regular["held-out loss"].min(), lowest=True)
which_is_lowest.reveal(first or ALIKE)
show(regular.round(4))

# %% [markdown]
# One seed each, so small differences mean nothing; the end of this lesson says what several seeds gave.

# %% [markdown]
# ## Exercises

# %%
exercise(
    "What is wrong with this experiment? 'Many epochs on few examples overfit': the held-out loss at the end, minus "
    "its lowest on the way, was more than zero in all five seeds, so the sentence holds.",
    answer="the end minus the lowest is never below zero, whatever happens",
    choices=[
        "five seeds are too few",
        "the end minus the lowest is never below zero, whatever happens",
        "the loss should have been the training loss",
    ],
    hint="Could this number have come out negative?",
    why="A statistic that can only say yes says nothing. Compare with a place chosen beforehand, or on other "
    "questions.",
)
exercise(
    "And with this? 'At high learning rates warm-up makes the model learn better': at one high rate, 100 % of the "
    "held-out answers were right with it and 100 % without it, so the sentence does not hold.",
    answer="ceiling against ceiling, at one rate: no difference could have been seen",
    choices=[
        "ceiling against ceiling, at one rate: no difference could have been seen",
        "warm-up should have been longer",
        "100 % and 100 % are significantly equal",
    ],
    hint="At which rate would one of the two fail?",
    why="Raise the rate until the one without it breaks; then see whether the other does.",
)
decay, peak = 0.1, rate("lora")
exercise(
    f"With weight decay {decay:g} and a rate of {peak:g}, by how many per cent does the pull alone shrink a weight in "
    "100 steps at that rate?",
    answer=100 * (1 - (1 - peak * decay) ** 100),
    hint="each step multiplies it by 1 - rate x decay (Loshchilov & Hutter 2019)",
    tolerance=0.02,
)

# %% [markdown]
# ## What many seeds say
# What is often said of these settings, tried several times each, with the 95 % interval of what was measured
# (`python -m lessons.claims` tries it again).

# %%
show(
    ledger(
        "grows-with-rate", "overfit", "warmup-learns", "decay-shrinks-little", "dropout",
    )
)  # fmt: skip

# %% [markdown]
# ## Where to read on
# - Loshchilov & Hutter 2019, *Decoupled Weight Decay Regularization*, arXiv:1711.05101: AdamW
# - Goyal et al. 2017, *Accurate, Large Minibatch SGD*, arXiv:1706.02677: warm-up
# - Srivastava et al. 2014, *Dropout*, Journal of Machine Learning Research 15
# - transformers' documentation of `TrainingArguments`: huggingface.co/docs/transformers
# - Next: `python -m lessons.batches`

# %%
show(f"runs: {HERE}")
show(f"pictures: {HERE / 'pictures'}")
