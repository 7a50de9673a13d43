# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Full fine-tuning: every weight moves
#
# The plainest way to teach a trained model something new is to go on training it: every weight is free, the data is
# the new task. Everything else in this course is measured against that.
#
# Afterwards you will be able to answer
#
# - How is a fine-tuning written with transformers' `Trainer` and `TrainingArguments`, and what goes into it?
# - Which weights move, how far, and how large is the change beside the weights themselves?
# - In how many directions does a whole matrix change?
# - What does it cost: memory while training, and disk afterwards?
#
# Nothing here is prepared: every number and picture below was measured on your machine a moment before you see it.

# %% tags=["hide-input"]
from lessons.teaching.walk import begin

begin(__name__, lesson="full", place=2)

# %% tags=["hide-input"]
import engine.quietly  # noqa: F401

# isort: split
import math

import numpy as np
import pandas as pd
from datasets import Dataset
from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from engine.data import encode_all
from engine.measure import energy_rank, norm, numerical_rank, relative_norm, singular_values
from engine.models import load_model, load_tokenizer, without_bars
from engine.recording.callback import CaptureCallback
from engine.run.run import Run
from engine.training.prepare import make_evaluator
from lessons.teaching.stage import (
    ask,
    current,
    exercise,
    exercise_code,
    explore,
    kept_exactly,
    ledger,
    matrices,
    model,
    new_skill,
    old_skills,
    predict,
    questions,
    rate,
    show,
    task_of,
    touch,
)  # fmt: skip
from visualize import plots

QUICK = current().quick
HERE = current().folder

# %% [markdown]
# ## The model, and what it cannot do yet
# A real language model, small enough to be trained while you watch (`engine/base/README.md` is its card), or the one
# that you named. This is what it says before anything is changed.

# %%
network = load_model(model())
tokenizer = load_tokenizer(model())
QUESTIONS = questions(
    ["Translate to Spanish: dog", "Translate to Spanish: house", "Translate to French: dog", "What is 23 + 45?"]
)


before = ask(network, tokenizer, QUESTIONS)
show(f"{network.num_parameters():,} weights", before)

# %% [markdown]
# And this is the first of its matrices, one pixel a weight. Full fine-tuning may move every one of them.

# %%
MODULE = matrices(network)[0]
show(plots.plot_weight(model(), module=MODULE), name="base-weight")

# %% [markdown]
# ## The data
# Questions with their answers, as tokens. Only the answer's tokens are learned: the others carry the label -100, which
# the loss leaves out. (The lesson `data` is about this.)

# %%
task = task_of("spanish")
rows = encode_all(tokenizer, task.train, 512)
train = Dataset.from_list([{"input_ids": row.ids, "labels": row.labels} for row in rows])
one = rows[0]
show(f"{len(train):,} examples to learn from, {len(task.heldout)} held out")
show(
    pd.DataFrame(
        {
            "token": [repr(tokenizer.decode([token])) for token in one.ids[:24]],
            "label": ["not learned" if label < 0 else repr(tokenizer.decode([label])) for label in one.labels[:24]],
        }
    )
)

# %% [markdown]
# ## The training, as the documentation writes it
# `TrainingArguments` says how, the `Trainer` does it: a batch, the loss, its gradient, a step of AdamW, and again. One
# thing is ours: a callback that writes down how far every weight is from where it began. Models of billions of weights
# take learning rates of 1e-5 to 5e-5 and 1 to 5 epochs (passes over the data); this one is small, and takes more.

# %%
STEPS = 16 if QUICK else 120
arguments = TrainingArguments(
    output_dir=str(HERE / "trainer"),
    max_steps=STEPS,
    per_device_train_batch_size=16 if QUICK else 32,
    learning_rate=rate("full"),  # the peak: it rises over the warm-up, then falls in a line to zero
    warmup_steps=max(1, STEPS // 5),
    lr_scheduler_type="linear",
    weight_decay=0.0,
    max_grad_norm=1.0,
    logging_steps=1,
    save_strategy="no",
    report_to=[],
    disable_tqdm=True,
    dataloader_pin_memory=False,
    seed=current().seed,
)
capture = CaptureCallback(
    HERE / "full",
    evaluator=make_evaluator(
        tokenizer,
        task,
        skills=2 if QUICK else 20 if model() == "embedded" else 6,
        old="curriculum" if model() == "embedded" else "general",
    ),
    evaluate_at=2 if QUICK else 8,
    source=model(),
    info={"method": {"name": "full"}, "data": {"name": task.name}},
    say=False,
)
trainer = Trainer(
    network, arguments, train_dataset=train, data_collator=DataCollatorForSeq2Seq(tokenizer), callbacks=[capture]
)
trainer.remove_callback(PrinterCallback)  # it would print a line a step; the callback keeps them
trainer.train()
run = Run.load(HERE / "full")
show(run)
show(f"Rate {arguments.learning_rate:g}, {STEPS} steps of {arguments.per_device_train_batch_size} examples: "
     f"{STEPS * arguments.per_device_train_batch_size / len(train):.1f} epochs")  # fmt: skip
show(plots.plot_loss(run), name="loss")

# %% [markdown]
# The same in one line, as the other lessons write it, and from the shell:
#
# ```python
# from glasstune import finetune, Full
# finetune("embedded", "spanish", Full(), out="runs/full", steps=120)
# ```
# ```sh
# glasstune finetune --method full --data spanish --steps 120 --out runs/full
# ```

# %% [markdown]
# ## One step
# The gradient says of every weight how the loss would change with it. Adam does not step by the gradient, but by its
# running mean over the root of the running mean of its square. What does that make of the very first update?

# %%
rates = run.metrics.learning_rate
first = next(step for step in run.steps if rates.get(step, 0) > 0)
if first > 1:
    show(f"The rate of step 1 was {rates[1]:g}: the Trainer's warm-up begins at nothing. We look at step {first}.")
how_many_moved = predict(
    f"after step {first}, what share of all the weights in the model's matrices has another value?",
    {
        "less than 1 %": "a sparse change would need gradients that are exactly zero nearly everywhere.",
        "1 to 50 %": "weights whose inputs did not occur in the batch have no gradient: rows of an embedding, say.",
        "50 to 99 %": "most have a gradient; the others' is zero, or too small for the number format.",
        "99 % or more": "every weight of a matrix has a part in every token's loss, so it has a gradient; and the "
        "first update of Adam is as long for a small one as for a large one.",
    },
    exact=True,
)

# %%
EXACT = kept_exactly(run)  # all of them, but of a large model
changed = sum(np.count_nonzero(run.delta(name, first)) for name in EXACT)
looked_at, all_of_them = (sum(math.prod(run.shape(name)) for name in names) for names in (EXACT, run.modules))
bounds = {"less than 1 %": 0.01, "1 to 50 %": 0.5, "50 to 99 %": 0.99, "99 % or more": np.inf}
least, most = changed / all_of_them, 1 - (looked_at - changed) / all_of_them  # if of the others none has, or each
low, high = (next(name for name, below in bounds.items() if share < below) for share in (least, most))
if low == high:
    how_many_moved.reveal(low)
else:
    how_many_moved.withhold(f"of all weights it may be anything from {least:.0%} to {most:.0%}.")
show(f"{changed:,} of {looked_at:,} weights: {changed / looked_at:.2%}")
steps = np.concatenate([np.abs(run.delta(name, first)).ravel() for name in EXACT]) / rates[first]
show(f"In units of that step's rate, {rates[first]:.2e}: the median moved by {np.median(steps):.3f}, "
     f"a tenth by less than {np.quantile(steps, 0.1):.3f}, the furthest by {steps.max():.3f}.")  # fmt: skip

# %% [markdown]
# Of the first update Adam's two means hold one gradient g: it is the rate times g / |g|, one rate for every weight,
# whatever its gradient. (An earlier step at a rate of zero has put a second gradient into them, so the median may lie
# below one.) Later this no longer holds: where gradients change their sign from batch to batch the mean is small beside
# the root of the squares. So how far does a weight go in all steps?

# %%
ends = np.concatenate([np.abs(run.delta(name)).ravel() for name in EXACT])
budget = float(rates.sum())
show(f"All rates together are {budget:.3g}. The median weight ended {np.median(ends):.2e} from where it began: "
     f"{np.median(ends) / budget:.1%} of that way; the rest is shorter steps, and to and fro.")  # fmt: skip

# %% [markdown]
# ## How far, beside the weights themselves
# All steps together now. The norm of a matrix is the root of the sum of its squared weights; the norm of delta-W beside
# that of W says by what part of its own size a matrix moved.

# %%
how_large = predict(
    f"after {STEPS} steps, how large is the whole change beside the weights themselves?",
    {
        "less than 1 %": "a large model at a rate of 1e-5 moves so little: its weights need not go far for new "
        "answers.",
        "1 to 10 %": "fine-tuning starts from what is nearly right: many small moves in one direction do the rest.",
        "10 to 30 %": "a small model has little room for something new beside the old, and a high rate goes far.",
        "more than 30 %": "at such a distance hardly anything of the old model is left: that is training anew.",
    },
)

# %%
sizes = {name: float(np.linalg.norm(run.weight(name))) for name in run.modules}
moved = {name: norm(run, name) for name in run.modules}
whole = float(np.linalg.norm(list(moved.values())) / np.linalg.norm(list(sizes.values())))
bounds = {"less than 1 %": 0.01, "1 to 10 %": 0.1, "10 to 30 %": 0.3, "more than 30 %": np.inf}
how_large.reveal(next(name for name, below in bounds.items() if whole < below))
show(f"The norm of everything that changed is {whole:.1%} of the norm of everything there was.")
scores = new_skill(run)
if len(scores):
    show(f"It took {task.name} from {scores.iloc[0]:.0%} to {scores.iloc[-1]:.0%} right, held out.")

# %% [markdown]
# ## Which layers, and when
# In a notebook, move the slider and watch it happen, from nothing at step 0.

# %%
explore(plots.plot_layers, run, modules=(), name="layers")
touch(run)
show(plots.plot_norms(run), name="norms")

# %%
table = pd.DataFrame(
    {"norm of delta-W": moved, "beside W": {name: relative_norm(run, name) for name in run.modules}}
).rename_axis("matrix")
by_share, by_norm = table["beside W"].idxmax(), table["norm of delta-W"].idxmax()
show(table.sort_values("beside W", ascending=False).head(5))

# %%
if by_norm != by_share:
    show(
        f"In plain distance {by_norm} moved furthest, by {moved[by_norm]:.3g}. It has {run.weight(by_norm).size:,} "
        f"weights; {by_share} has {run.weight(by_share).size:,}."
    )
exercise(
    "What is wrong with this experiment, which this project once made? 'LoRA brings more intruder dimensions (large "
    "new directions) than full fine-tuning': each trained until it had learned its task best, then the directions were "
    "counted. LoRA had 3.0 more of ten (95 %: 2.8 to 3.3), with five seeds, so the sentence holds.",
    answer="changes of unequal size, in models that no longer work, were compared",
    choices=[
        "changes of unequal size, in models that no longer work, were compared",
        "directions cannot be counted",
        "five seeds are too few for an interval",
    ],
    hint="What else differed between the two, besides the method?",
    why="A larger change has more of everything, and both models had lost nearly all of their old skills. Compare at "
    "an equal norm, in models that one would use. The ledger withdrew that verdict.",
)

# %% [markdown]
# ## A change in how many directions?
# Any change of a matrix is a sum of directions, each with a strength: the singular values of delta-W. Their squares add
# up to its squared norm, which is called its energy.

# %%
LINEAR = [name for name in matrices(network) if name in EXACT] or EXACT  # a sketch does not tell all directions
WATCHED = max(LINEAR, key=lambda name: relative_norm(run, name))
OUT, IN = run.shape(WATCHED)
full_rank = min(OUT, IN)
rank_of_change = predict(
    f"the matrix {WATCHED} is {OUT} x {IN}. How many directions does its change have (its rank)?",
    {
        "a tenth of those possible, at most": "nothing but a few directions was needed. But need limits the strong "
        "directions, not their number: what is not needed is small, and not zero.",
        "up to nine tenths": "each token adds one direction a step, so few steps of few tokens cannot fill them all.",
        "more than nine tenths": "each token adds a direction of its own, and Adam, which scales every weight by "
        "itself, adds more: nothing makes any of them exactly zero.",
    },
)

# %%
values = singular_values(run, WATCHED)
rank = numerical_rank(values, run.shape(WATCHED))
rank_of_change.reveal(
    "a tenth of those possible, at most"
    if rank <= full_rank / 10
    else "up to nine tenths"
    if rank <= 0.9 * full_rank
    else "more than nine tenths"
)
needed = energy_rank(values, 0.9)
show(f"{rank} of {full_rank} possible directions; but {needed} of them hold 90 % of its energy.")
show(plots.plot_energy(run, module=WATCHED), name="energy")
show(plots.plot_spectrum(run, module=WATCHED), name="spectrum")

# %% [markdown]
# LoRA bets that a few directions are enough: the next lesson trains only r of them. How good the bet would have been
# for this matrix, you can now work out.


# %%
def try_energy(energy):
    for k in (1, 3, needed):
        right, given = float((values[:k] ** 2).sum() / (values**2).sum()), energy(values.astype(float), k)
        assert given is not None, "It returns nothing"
        assert abs(given - right) < 1e-4, f"For k = {k} it gives {given:.4f}; measured was {right:.4f}"


written = exercise_code(
    "Write energy(values, k): the share, 0 to 1, of the energy that the k largest singular values hold. values is an "
    "array, largest first; it will be tried on the values above.",
    test=try_energy,
    solution="def energy(values, k):\n    return np.sum(values[:k] ** 2) / np.sum(values**2)",
    hint="square them; sum the first k; divide by the sum of all",
)


# %% tags=["answer"]
def energy(values, k): ...


written.check(energy)

# %% [markdown]
# ## What it costs
# While it trains: the weights, a gradient for each, and what the optimizer remembers of each. AdamW remembers two
# numbers, a running mean of the gradient and one of its square. Counted, in this process:

# %%
state = trainer.optimizer.state.values()
moments = sum(value.numel() * value.element_size() for one in state for value in one.values() if value.numel() > 1)
weights = sum(p.numel() * p.element_size() for p in network.parameters())
gradients = sum(p.numel() * p.element_size() for p in network.parameters() if p.requires_grad)
cost = pd.Series({"weights": weights, "gradients": gradients, "optimizer": moments})
show(pd.DataFrame({"MB": cost / 1e6, "beside the weights": cost / weights}).rename_axis("what"))

# %%
exercise(
    "By the same count (a gradient and two moments a weight, all in 32 bits): how many GB does a model of 7 billion "
    "weights take, before any activations?",
    answer=7 * 4 * (1 + 1 + 2),
    hint="four numbers of four bytes for each weight",
)

# %% [markdown]
# Afterwards: everything has moved, so what is kept is a whole model, one for every task.

# %%
with without_bars():
    trainer.save_model(str(HERE / "full" / "model"))
tokenizer.save_pretrained(HERE / "full" / "model")
kept = sum(file.stat().st_size for file in (HERE / "full" / "model").glob("*.safetensors"))
show(f"This task's model is {kept / 1e6:.1f} MB on disk; ten tasks would be {10 * kept / 1e6:.0f} MB.")

# %%
exercise(
    "A model of 7 billion weights is fine-tuned for 30 customers, and kept at two bytes a weight. How many GB is that?",
    answer=30 * 7 * 2,
    hint="a whole model for each customer",
)

# %% [markdown]
# ## What it learned, and what became of the rest
# Nothing tells the training to leave the old skills alone. The task is in the first row; below are the old skills, each
# graded on questions that are not in the fine-tuning data. (What the base was taught in pretraining is among them:
# whether it still knows that is the question.)

# %%
old = old_skills(run)
if old.empty:
    show("This model's old skills were not graded: nobody here knows what they were.")
else:
    fate_of_skills = predict(
        "while it learned the task, what became of the old skills, on average?",
        {
            "better or the same": "their weights were not needed by the task, or what it asks for is like what they "
            "do.",
            "lost less than 10 points": "the weights moved, and the old answers with them, but few of them far enough "
            "to tip over: a score falls only when the likeliest answer changes.",
            "lost 10 points or more": "the loss asks for the new task alone. The same weights serve the old skills, "
            "and nothing holds them.",
        },
    )

# %%
if not old.empty:
    lost = 100 * float(old.mean(axis=1).iloc[0] - old.mean(axis=1).iloc[-1])
    if len(scores) and scores.iloc[-1] - scores.iloc[0] < 0.1:
        fate_of_skills.withhold("the new task was hardly learned, so what was lost is not the price of learning it.")
    else:
        fate_of_skills.reveal(0 if lost <= 0 else 1 if lost < 10 else 2)
    show(f"Old skills, mean: {old.mean(axis=1).iloc[0]:.0%} before, {old.mean(axis=1).iloc[-1]:.0%} after.")
if not run.skills.empty:
    show(plots.plot_skills(run), name="skills")
    show(plots.plot_answers(run), name="answers")
after = ask(network, tokenizer, QUESTIONS)
show(pd.DataFrame({"asked": QUESTIONS, "before": before["it says"], "after": after["it says"]}))

# %% [markdown]
# ## What many seeds say
# What is often said of full fine-tuning, tried several times each, with the 95 % interval of what was measured
# (`python -m lessons.claims` tries it again).

# %%
show(ledger("full-most", "full-rank", "specialist", "grows-with-steps"))

# %% [markdown]
# There is no switch that brings the old model back: its weights were overwritten. (The lesson `forgetting` is about
# what helps; with LoRA there is a switch.)
#
# ## Where to read on
# - transformers' documentation: *Fine-tuning*, *Trainer*, *TrainingArguments*, huggingface.co/docs/transformers
# - Howard and Ruder 2018, *Universal Language Model Fine-tuning for Text Classification*, arXiv:1801.06146
# - Loshchilov and Hutter 2017, *Decoupled Weight Decay Regularization* (AdamW), arXiv:1711.05101
# - Aghajanyan et al. 2020, *Intrinsic Dimensionality Explains the Effectiveness of Language Model Fine-Tuning*,
#   arXiv:2012.13255
# - Next: `python -m lessons.lora`

# %%
show(f"run: {run.path}")
show(f"pictures: {HERE / 'pictures'}")
