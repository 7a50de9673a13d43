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
# - what this model learned, and what it forgot meanwhile.
#
# Nothing here is prepared: the model is a real one, small enough to be trained while you watch, and every number and
# picture below was measured on your machine a moment before you see it.

# %%
from lessons.walk import begin

begin(globals(), lesson="lora", place=3)

# %%
import numpy as np
import pandas as pd
import torch

from engine import LoRA, Run, finetune
from engine.evaluate import generate_answers
from engine.measure import forgetting, norm, numerical_rank, relative_norm, singular_values
from engine.models import load_model, load_tokenizer, load_tuned
from lessons.stage import current, exercise, predict, show
from visualize import plots

QUICK = current().quick
HERE = current().folder

# %% [markdown]
# ## The base model
# A Llama of about a million weights, pretrained on capitals, opposites, French words, sums, sorting, summaries and
# more (`engine/base/README.md` is its card). Let us ask it something, and then for some Spanish, which it has never
# seen.

# %%
base = load_model("embedded")
tokenizer = load_tokenizer("embedded")


def ask(model, *questions):
    prompts = [[{"role": "user", "content": question}] for question in questions]
    return pd.DataFrame({"asked": questions, "it says": generate_answers(model, tokenizer, prompts)})


QUESTIONS = ("Translate to French: dog", "What is 23 + 45?", "Translate to Spanish: dog", "Translate to Spanish: house")
show(f"{base.num_parameters():,} weights", ask(base, *QUESTIONS))

# %% [markdown]
# It answers something, in the manner it knows. Here is one of its matrices: the query projection of the first layer,
# one pixel a weight. LoRA will not touch a single one of them.

# %%
MODULE = "model.layers.0.self_attn.q_proj"
show(plots.plot_weight("embedded", module=MODULE), name="base-weight")

# %% [markdown]
# ## Fine-tune it
# The task: Spanish words, some nine hundred questions with their answers. `finetune` runs transformers' own `Trainer`
# with PEFT's LoRA on every linear layer, and captures A and B as they change. From time to time it also grades every
# old skill on questions that are not in the training data.

# %%
RANK = 8
run = finetune(
    "embedded",
    "spanish",
    LoRA(r=RANK, alpha=16),
    out=HERE / "spanish",
    steps=40 if QUICK else 200,
    skills=5 if QUICK else 20,
)
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
guess = predict("after the very first step, which of the two has moved?", ["only A", "only B", "both", "neither"])

# %%
moved = {side: any(
    not np.array_equal(getattr(run.factors(m, 1), side), getattr(run.factors(m, 0), side)) for m in run.modules
) for side in "AB"}  # fmt: skip
measured = {(True, False): "only A", (False, True): "only B", (True, True): "both", (False, False): "neither"}
guess.reveal(measured[moved["A"], moved["B"]])
assert moved == {"A": False, "B": True}, "the gradient of A is B^T times something, and B was zero"

# %% [markdown]
# At the second step B is no longer zero, so A begins to move too. Here are both, and their product, at the end.

# %%
show(plots.plot_factors(run, module=MODULE), name="factors")
show(plots.plot_delta(run, module=MODULE), name="delta")

# %% [markdown]
# ## What the rank limits
# B A has as many rows and columns as W, but it is a sum of r products of a column and a row.

# %%
guess = predict(
    f"W is 128 x 128 and r is {RANK}. How many singular values of delta-W are not zero?",
    ["at most 8", "9 to 64", "65 to 128"],
)

# %%
ranks = {m: numerical_rank(np.linalg.svd(run.delta(m), compute_uv=False), run.shape(m)) for m in run.modules}
highest = max(ranks.values())
guess.reveal("at most 8" if highest <= 8 else "9 to 64" if highest <= 64 else "65 to 128")
show(f"The highest rank among all {len(ranks)} changed matrices: {highest}")
show(plots.plot_spectrum(run, module=MODULE), name="spectrum")
assert highest <= RANK

# %% [markdown]
# ## How much is trained, and stored
# For each matrix, LoRA trains r (in + out) weights instead of in x out. What is kept after training is the adapter,
# a file for one task; full fine-tuning keeps a whole model for one task.

# %%
model_info = run.info["model"]
adapter_bytes = (run.path / "adapter" / "adapter_model.safetensors").stat().st_size
base_bytes = sum(p.numel() * p.element_size() for p in base.parameters())
show(
    pd.DataFrame(
        {
            "weights": [model_info["parameters"], model_info["trainable"]],
            "share": ["100 %", f"{model_info['trainable'] / model_info['parameters']:.1%}"],
            "kB stored": [base_bytes / 1000, adapter_bytes / 1000],
        },
        index=pd.Index(["the whole model", f"the adapter, r = {RANK}"], name=""),
    )
)

# %% [markdown]
# "LoRA trains one per cent of the weights" is said of models of billions. The share depends on how thin r is beside the
# matrices, and in a small model the matrices are small.

# %%
exercise(
    f"A matrix of 4096 x 4096 weights gets LoRA with r = {RANK}. What share of its weights is trained, in per cent?",
    answer=100 * RANK * (4096 + 4096) / 4096**2,
    hint="LoRA trains r (in + out) weights; divide by in x out.",
)

# %% [markdown]
# ## Merging
# W' = W + (alpha/r) B A is a matrix of W's own shape. So the adapter can be added into the weights for good, and
# costs nothing when the model is used.

# %%
tuned = load_tuned(run)
tuned.eval()
tokens = tokenizer.apply_chat_template(
    [{"role": "user", "content": "Translate to Spanish: house"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
with torch.inference_mode():
    unmerged = tuned(**tokens).logits
    merged = load_tuned(run).merge_and_unload().eval()(**tokens).logits
difference = float((merged - unmerged).abs().max())
show(f"Largest difference between any two logits, merged and not: {difference:.1e}")
show(f"(The logits themselves reach {float(unmerged.abs().max()):.1f}; the rest is the rounding of 32-bit numbers.)")
assert difference < 1e-3

# %% [markdown]
# ## Switching off
# The base was never changed, so without its adapter the model must be the base. Not nearly: exactly, bit for bit.

# %%
guess = predict("with the adapter off, how many of the logits differ from the base's?", ["none", "a few", "all"])

# %%
with torch.inference_mode(), tuned.disable_adapter():
    off = tuned(**tokens).logits
    original = base.eval()(**tokens).logits
differing = int((off != original).sum())
guess.reveal("none" if differing == 0 else "all" if differing == off.numel() else "a few")
assert differing == 0

# %% [markdown]
# ## Two adapters on one base
# A second task, another few hundred kilobytes: answers in pirate speech. Both adapters hang on the same base; choosing
# one takes no copying.

# %%
second = finetune(
    "embedded", "pirate", LoRA(r=RANK, alpha=16), out=HERE / "pirate", steps=20 if QUICK else 60, skills=2, every=20
)
tuned.load_adapter(str(second.path / "adapter"), adapter_name="pirate")
said = {}
for adapter in ("default", "pirate"):
    tuned.set_adapter(adapter)
    said["spanish" if adapter == "default" else adapter] = ask(tuned, *QUESTIONS)["it says"]
with tuned.disable_adapter():
    said["switched off"] = ask(tuned, *QUESTIONS)["it says"]
show(pd.DataFrame({"asked": QUESTIONS, **said}))

# %% [markdown]
# ## What it learned, and what it forgot
# The task is in the first row, the old skills below. Each was graded, at the steps shown, on questions that it was not
# trained on.

# %%
guess = predict(
    "while it learned Spanish, what became of the old skills, on average?",
    ["better or the same", "lost less than 10 points", "lost 10 points or more"],
)

# %%
scores = run.skills
old = scores.drop(columns="spanish").mean(axis=1)
lost = 100 * (old.iloc[0] - old.iloc[-1])
guess.reveal(
    "better or the same" if lost <= 0 else "lost less than 10 points" if lost < 10 else "lost 10 points or more"
)
show(f"Spanish, held out: {scores['spanish'].iloc[0]:.0%} before, {scores['spanish'].iloc[-1]:.0%} after")
show(f"Old skills, mean: {old.iloc[0]:.0%} before, {old.iloc[-1]:.0%} after")
show(plots.plot_skills(run), name="skills")
show(plots.plot_answers(run), name="answers")

# %% [markdown]
# Which of them lost most? Forgetting, as a number: the loss on a skill after, minus the loss before, in nats a token.
# Higher is more forgotten.

# %%
changes = forgetting(run).iloc[-1].drop("spanish").sort_values(ascending=False)
show(changes.head(5).rename("forgotten (nats a token)").to_frame().rename_axis("skill"))
exercise(
    "Which old skill was forgotten most in this run, by that measure?",
    answer=changes.index[0],
    hint="the table's first row",
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
exercise(
    "Which matrix moved furthest beside its own size? (its full name)",
    answer=moves.index[0],
    hint="the first row of the table",
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
# ## Where to read on
# - Hu et al. 2021, *LoRA: Low-Rank Adaptation of Large Language Models*, arXiv:2106.09685
# - PEFT's documentation on LoRA: huggingface.co/docs/peft
# - Biderman et al. 2024, *LoRA Learns Less and Forgets Less*, arXiv:2405.09673: what large models showed
# - Your own model: `finetune("your-model-folder", "your.jsonl", LoRA(r=16), out="runs/mine")`, then any picture above

# %%
if current().film:
    from animations.render import render_film

    film = render_film("lora", Run.load(run.path), HERE / "lora.mp4", others={"pirate": second})
    show(f"film: {film}")
show(f"run: {run.path}")
show(f"pictures: {HERE / 'pictures'}")
