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
# Afterwards you will be able to answer
#
# - What are A and B, how do they start, and which of them moves first?
# - What does the rank r limit, and how many weights are trained?
# - What changes when an adapter is merged, and when it is switched off?
# - How is it written with PEFT, and what does this project add?
# - What did this model learn, and what did it forget meanwhile?
#
# What rank, alpha, target modules, dropout and the learning rate each do is the next lesson, `knobs`.
#
# Nothing here is prepared: the model is a real one, small enough to be trained while you watch, and every number and
# picture below was measured on your machine a moment before you see it.

# %% tags=["hide-input"]
from lessons.teaching.walk import begin

begin(__name__, lesson="lora", place=3)

# %% tags=["hide-input"]
import engine.quietly  # noqa: F401

# isort: split
import warnings

import numpy as np
import pandas as pd
import torch
from peft import LoraConfig, get_peft_model

from engine.measure import forgetting, norm, numerical_rank, relative_norm
from engine.models import load_model, load_tokenizer, load_tuned
from engine.run.run import Run
from engine.training.finetune import finetune
from engine.training.methods import LoRA
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
    show,
    task_of,
    touch,
)  # fmt: skip
from visualize import plots

warnings.simplefilter("ignore")  # of PEFT: an older name in transformers, and what it sets right by itself
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
# ## As everybody writes it
# PEFT puts A and B into a model. r and alpha are the letters above; `target_modules` says which matrices get them;
# dropout hides a part of A's input while training; a bias is left alone. What comes back is the same model, with a pair
# of matrices beside each of these, and nothing else to be trained.

# %%
RANK = 8
config = LoraConfig(
    r=RANK,
    lora_alpha=16,
    target_modules="all-linear",
    lora_dropout=0.0,
    bias="none",
    task_type="CAUSAL_LM",
)
wrapped = get_peft_model(load_model(model()), config)
trained, every = wrapped.get_nb_trainable_parameters()
show(f"{trained:,} of {every:,} weights, A and B among them, will be trained: {trained / every:.2%}")

# %% [markdown]
# From there on it is a model like any other: `Trainer(wrapped, TrainingArguments(...), ...)`, as in the lesson `full`.
#
# ## The same in one line
# `finetune` runs transformers' `Trainer` with PEFT's LoRA, and captures A and B as they change. Its `LoRA(r, alpha)`
# stands for the configuration above (which it takes as well). From time to time it also grades the old skills, on
# questions that are not in the fine-tuning data.

# %%
run = finetune(
    model(),
    data("spanish"),
    LoRA(r=RANK, alpha=16),
    out=HERE / "first",
    steps=10 if QUICK else 200,
    seed=current().seed,
    skills=2 if QUICK else 20 if model() == "embedded" else 6,
    evaluate_at=2 if QUICK else 10,
)
TASK = run.task
show(run)
show(f"Trained weights: {run.info.model.trainable:,}; as PEFT counted above: {trained:,}")
assert run.info.model.trainable == trained
show(plots.plot_loss(run), name="loss")

# %% [markdown]
# ## The start: nothing has changed
# A begins as small random numbers, B as zeros. So before the first step B A is zero, and the model with its adapter is
# exactly the base.

# %%
start = run.factors(MODULE, step=0)
show(f"A is {start.A.shape[0]} x {start.A.shape[1]}, its largest weight is {np.abs(start.A).max():.3f}")
show(f"B is {start.B.shape[0]} x {start.B.shape[1]}, its largest weight is {np.abs(start.B).max():.3f}")
assert all(not run.delta(module, 0).any() for module in run.modules), "every delta-W is zero before training"

# %% [markdown]
# ## The first step
# The gradients are `dL/dB = s (dL/dW') A^T` and `dL/dA = s B^T (dL/dW')`, with s = alpha / r. Look at what each of them
# is multiplied by.

# %%
who_moves = predict(
    "after the very first step, which of the two has moved?",
    {
        "only A": "A's gradient is s B^T (dL/dW'), and B was zero: so was the gradient.",
        "only B": "B's gradient is s (dL/dW') A^T, and A was random, not zero. A's has the factor B^T, which was zero.",
        "both": "from the second step on; but at the first, A's gradient has the factor B^T, which was zero.",
        "neither": "it would be so if both began at zero: each is the other's factor. That is why A begins at random.",
    },
    exact=True,
)

# %%
moved = {side: any(
    not np.array_equal(getattr(run.factors(m, 1), side), getattr(run.factors(m, 0), side)) for m in run.modules
) for side in "AB"}  # fmt: skip
measured = {(True, False): "only A", (False, True): "only B", (True, True): "both", (False, False): "neither"}
who_moves.reveal(measured[moved["A"], moved["B"]])

# %% [markdown]
# At the second step B is no longer zero, so A begins to move too. Here are both, and their product, at the end.

# %%
show(plots.plot_factors(run, module=MODULE), name="factors")
explore(plots.plot_delta, run, modules=[MODULE, *(name for name in run.modules if name != MODULE)], name="delta")
touch(run)

# %% [markdown]
# ## What the rank limits
# B A has as many rows and columns as W, but it is a sum of r products of a column and a row.

# %%
rank_of_change = predict(
    f"W is {' x '.join(map(str, run.shape(MODULE)))} and r is {RANK}. How many singular values of delta-W are not "
    "zero?",
    {
        f"at most {RANK}": f"a sum of {RANK} products of a column and a row has rank {RANK} at most, whatever stands "
        "in them.",
        f"{RANK + 1} to 64": "every weight of delta-W may have a value of its own to look at, but they are tied to "
        f"each other: all rows are sums of A's {RANK} rows.",
        "65 or more": "without the factors it may have as many as W has; B A cannot: all its rows are sums of A's "
        f"{RANK}.",
    },
    exact=True,
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
            "beside the model": ["100 %", f"{model_info.trainable / model_info.parameters:.1%}"],
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
    f"Write merged(W, A, B, alpha): the matrix W' that the adapter makes of W. It is tried on the captured {MODULE}: W "
    f"{W.shape}, A {A.shape}, B {B.shape}.",
    test=try_merged,
    solution="def merged(W, A, B, alpha):\n    r = len(A)\n    return W + alpha / r * (B @ A)",
    hint="W' = W + (alpha / r) B A, where r is how many rows A has; @ multiplies matrices",
)


# %% tags=["answer"]
def merged(W, A, B, alpha): ...


written.check(merged)

# %% [markdown]
# ## Merging
# W' = W + (alpha/r) B A is a matrix of W's own shape. So the adapter can be added into the weights for good, and costs
# no time when the model is used. Is it the same model then?

# %%
same_when_merged = predict(
    "how far apart are the logits of the model with its adapter beside it, and merged?",
    {
        "not at all, bit for bit": "on paper W x + s B A x is (W + s B A) x; but a computer rounds, and in another "
        "order it rounds otherwise.",
        "by rounding: less than a thousandth": "the sums are the same on paper, taken in another order. In 32 bits "
        "that is seen in the sixth digit; in bfloat16 in the third, and into a base of four bits it does not go "
        "unrounded.",
        "by more": "that would be another model; W has the same shape as B A, so nothing has to be left out.",
    },
    exact=True,
)

# %%
tuned = load_tuned(run)
tuned.eval()
tokens = tokenizer(QUESTIONS[-1], return_tensors="pt")
with torch.inference_mode():
    unmerged = tuned(**tokens).logits
    in_one = load_tuned(run).merge_and_unload().eval()(**tokens).logits
difference = float((in_one - unmerged).abs().max())
beside = difference / float(unmerged.abs().max())
same_when_merged.reveal(0 if difference == 0 else 1 if beside < 1e-3 else 2)
show(
    f"Largest difference between any two logits: {difference:.1e}; the logits reach {float(unmerged.abs().max()):.1f}."
)
assert beside < 1e-3

# %% [markdown]
# ## Switching off
# `disable_adapter` leaves B A out. Is what remains the base?

# %%
logits_off = predict(
    "with the adapter off, how many of the logits differ from the base's?",
    {
        "none": "W was never touched, and nothing is subtracted: the same numbers are taken in the same order.",
        "a few": "rounding would do that, if B A were added and taken off again. But it was never added to W.",
        "all": "that is so after full fine-tuning, which has no switch: its W is gone.",
    },
    exact=True,
)

# %%
with torch.inference_mode(), tuned.disable_adapter():
    off = tuned(**tokens).logits
    original = base.eval()(**tokens).logits
differing = int((off != original).sum())
logits_off.reveal("none" if differing == 0 else "all" if differing == off.numel() else "a few")
assert differing == 0

# %% [markdown]
# ## Two adapters on one base
# A second task, a style: answers in pirate speech. Both adapters hang on the same base; choosing one takes no copying.

# %%
second = finetune(
    model(), "pirate", LoRA(r=RANK, alpha=16), out=HERE / "second", steps=4 if QUICK else 60, skills=0, evaluate_at=1,
    every=20,
)  # fmt: skip
pirate_bytes = (second.path / "adapter" / "adapter_model.safetensors").stat().st_size
show(f"The second task takes another {pirate_bytes / 1000:,.0f} kB, beside a base of {base_bytes / 1000:,.0f} kB.")
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
# The task is in the first row, the old skills below. Each was graded, at the steps shown, on questions that are not in
# the fine-tuning data.

# %%
learned, old = new_skill(run), old_skills(run)
if old.empty:
    show("This model's old skills were not graded: nobody here knows what they were.")
else:
    fate_of_skills = predict(
        "while it learned the task, what became of the old skills, on average?",
        {
            "better or the same": "a few directions can be enough for a task that shares nothing with the old ones.",
            "lost less than 10 points": "r directions a matrix are few, and at this rate they stayed short.",
            "lost 10 points or more": "W is frozen, but the model computes with W + s B A: few directions can bend "
            "every answer. Frozen weights are no promise, only the switch is.",
        },
    )

# %%
if not old.empty:
    mean = old.mean(axis=1)
    lost = 100 * (mean.iloc[0] - mean.iloc[-1])
    if len(learned) and learned.iloc[-1] - learned.iloc[0] < 0.1:
        fate_of_skills.withhold("the new task was hardly learned, so what was lost is not the price of learning it.")
    else:
        fate_of_skills.reveal(0 if lost <= 0 else 1 if lost < 10 else 2)
    show(f"Old skills, mean: {mean.iloc[0]:.0%} before, {mean.iloc[-1]:.0%} after")
if len(learned):
    show(f"{TASK}, held out: {learned.iloc[0]:.0%} before, {learned.iloc[-1]:.0%} after")
    task = task_of("spanish")
    taught = {talk[-1]["content"] for talk in task.train}
    known = np.mean([talk[-1]["content"] in taught for talk in task.heldout])
    show(f"(Of the held-out questions {known:.0%} have an answer that the training data teaches too, asked otherwise.)")
    show(plots.plot_skills(run), name="skills")
    show(plots.plot_answers(run), name="answers")

# %% [markdown]
# Forgetting as a number: the loss on a skill after, minus the loss before, in nats a token. Higher is more forgotten.
# (The lesson `forgetting` asks what it is that is lost: the form of answers, or what they say.)

# %%
if not old.empty:
    changes = forgetting(run).iloc[-1].drop(TASK, errors="ignore").sort_values(ascending=False)
    show(changes.head(5).rename("forgotten (nats a token)").to_frame().rename_axis("skill"))

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

# %% [markdown]
# ## Exercises

# %%
exercise(
    "What is wrong with this experiment? 'LoRA forgets less than full fine-tuning': both trained for 60 steps on the "
    "same data, each at its usual rate; afterwards LoRA had kept more of the old skills.",
    answer="the two had not learned equally much: who learned less has mostly forgotten less",
    choices=[
        "LoRA has fewer weights, so the comparison is unfair to it",
        "the two had not learned equally much: who learned less has mostly forgotten less",
        "60 steps are not a multiple of the batch size",
    ],
    hint="What would a run have kept that learned nothing?",
    why="Compare at the same new-task score, each over its own rates and steps: as frontiers, learned against kept. "
    "This project's ledger once gave every arm 60 steps, which left out the arm that kept most; with it, at equal "
    "learning, the difference was -1.2 points (95 %: -6.6 to 4.2), which shows nothing.",
)
exercise(
    "And with this one, of an earlier ledger? 'LoRA of rank 8 and of rank 64 find the same top direction': their "
    "overlap is 0.08 above chance (95 %: 0.04 to 0.12), on a scale on which 1 is the same. That is significant, so it "
    "holds.",
    answer="more than chance is not the same: 0.08 is far from 1",
    choices=[
        "more than chance is not the same: 0.08 is far from 1",
        "the overlap of directions cannot be measured",
        "ranks 8 and 64 have no direction in common",
    ],
    hint="Look at the whole scale.",
    why="Significant says that it is not chance; how large it is says whether it matters. That margin stands before "
    "the trial, not after it.",
)

# %% [markdown]
# ## What many seeds say
# What is often said of LoRA, tried several times each, with the 95 % interval of what was measured
# (`python -m lessons.claims` tries it again).

# %%
show(ledger("one-per-cent", "share-a-base", "overlap", "lora-forgets-less"))

# %% [markdown]
# ## What large models showed
# Biderman et al. (2024) trained Llama-2-7B on code and mathematics, with LoRA of rank 16 to 256 on all linear layers,
# and in full. LoRA learned less in long training on code, and forgot less; on one plane, learned against kept, both lay
# *about on the same frontier*, LoRA at its gentle end. Full fine-tuning's change had a rank ten to a hundred times as
# high as usual adapters. Schulman et al. (2025) found LoRA as good as full fine-tuning where the data fits into its
# weights, at ten times the rate, if it stands on all linear layers and not on attention alone. A toy cannot prove or
# refute this.

# %% [markdown]
# ## Where to read on
# - Hu et al. 2021, *LoRA: Low-Rank Adaptation of Large Language Models*, arXiv:2106.09685
# - PEFT's documentation on LoRA: huggingface.co/docs/peft
# - Biderman et al. 2024, *LoRA Learns Less and Forgets Less*, arXiv:2405.09673
# - Schulman et al. 2025, *LoRA Without Regret*, thinkingmachines.ai/blog/lora
# - Next: `python -m lessons.knobs`
# - Your own model: `finetune("your-model-folder", "your.jsonl", LoRA(r=16), out="runs/mine")`, then any picture above

# %%
if current().film and not is_own():  # the film's scenes are set for the embedded model
    from animations.studio.render import render_film

    film = render_film("lora", Run.load(run.path), HERE / "lora.mp4", others={"pirate": second})
    show(f"film: {film}")
show(f"run: {run.path}")
show(f"pictures: {HERE / 'pictures'}")
