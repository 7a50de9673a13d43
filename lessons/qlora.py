# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # QLoRA: fine-tuning over four bits
#
# LoRA trains little, but the base that it hangs on still fills the memory. *QLoRA* (Dettmers et al. 2023) keeps that
# frozen base in four bits a weight, and trains 16-bit A and B beside it:
#
#     W' = dequantise(codes, scales) + (alpha / r) B A
#
# Afterwards you will be able to answer
#
# - How does a weight become one of sixteen levels, and what are a block and its scale?
# - Why do the levels of NF4 lie where they lie, and what do FP4 and whole numbers lose beside it?
# - What does double quantisation save?
# - What do four bits do to a model before training, and to what it learns in training? What do they cost in time?
# - Which model can be trained on which GPU?
#
# Everything below is done with the real weights of a real model, and compared with bitsandbytes, which does the same
# in practice.

# %% tags=["hide-input"]
from lessons.teaching.walk import begin

begin(__name__, lesson="qlora", place=5)

# %% tags=["hide-input"]
import engine.quietly  # noqa: F401

# isort: split
from functools import partial

import numpy as np
import pandas as pd
import torch
from bitsandbytes import functional

from engine.evaluate import encode_last_answer, score_answers
from engine.measure.quantize import KINDS, double_bits, levels, quantization_error, quantize
from engine.measure.shares import newcombe, wilson
from engine.models import load_model, load_tokenizer, load_tuned
from engine.planning.sizes import GPUS, NAMES, largest_that_fits, memory_of, memory_table
from engine.run.base import base_weight
from engine.training.finetune import finetune
from engine.training.methods import LoRA, QLoRA
from lessons.teaching import fewbits
from lessons.teaching.stage import (
    current,
    data,
    exercise,
    exercise_code,
    ledger,
    matrices,
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

# %% [markdown]
# ## One block, by hand
# Here are the first 64 weights of one of the model's matrices. They are kept in 32 bits each, and we have four, that
# is sixteen different codes. First everything is divided by the largest magnitude among the 64: the block's *scale*.
# Then each weight is moved to the nearest of sixteen fixed levels between -1 and 1.

# %%
base = load_model(model())
tokenizer = load_tokenizer(model())
MODULE = matrices(base)[0]
weight = base_weight(model(), f"{MODULE}.weight")

block = weight.reshape(-1)[:64]
scale = np.abs(block).max()
LEVELS = levels("nf4")
codes = np.searchsorted((LEVELS[1:] + LEVELS[:-1]) / 2, block / scale)  # between which two midpoints it lies
back = LEVELS[codes] * scale
show(f"{MODULE}: {weight.shape[0]} x {weight.shape[1]} weights; the first block's scale is {scale:.4f}")
show("The sixteen levels of NF4: " + "  ".join(f"{level:.3f}" for level in LEVELS))
show(pd.DataFrame({"weight": block, "over the scale": block / scale, "code": codes, "comes back as": back})[:6])

# %%
how_many_exact = predict(
    "64 weights go to 16 levels and come back. How many of them are exactly what they were?",
    {
        "none": "but one weight is the scale itself: it is 1 or -1 of it, and both of these are levels.",
        "the largest alone, or hardly more": "the largest is 1 or -1 times the scale, and that is a level. The others "
        "lie between levels, but for a zero.",
        "about a quarter": "weights would have to lie on levels by chance, and they have 32 bits to lie elsewhere.",
        "most": "a level stands for all weights near it; it is exactly none of them.",
    },
    exact=True,
)

# %%
same = int((back == block).sum())
how_many_exact.reveal(0 if same == 0 else 1 if same <= 4 else 2 if same <= 24 else 3)
show(f"Exactly the same: {same} of {len(block)}")
show(plots.plot_block(model(), module=MODULE), name="block")
assert back[np.abs(block).argmax()] == block[np.abs(block).argmax()], "the largest is -1 or 1 times itself"

# %% [markdown]
# Each dot is a weight, each stroke what it becomes, each line across one of the sixteen levels times this block's
# scale. One large weight stretches the levels for all the others. That is why blocks are short: a scale serves 64
# weights, not a whole matrix.


# %%
def tried(function):
    for given, kind in ((block, "nf4"), (3 * block, "fp4")):
        came_back = np.asarray(function(given, levels(kind)))
        assert came_back.shape == given.shape, f"{given.shape} weights went in, {came_back.shape} came back"
        assert np.allclose(came_back, quantize(given, kind).values(), atol=1e-6), f"{kind} levels give something else"


asked = exercise_code(
    "Write four bits yourself: given a block of weights and the rising levels, return the block as it comes back.",
    test=tried,
    solution=(
        "def in_four_bits(block, levels):\n    scale = np.abs(block).max()\n    codes = np.abs(block[:, None] / scale "
        "- levels).argmin(axis=1)\n    return levels[codes] * scale"
    ),
    hint="divide by the largest magnitude, take the nearest level, multiply again",
)


# %% tags=["answer"]
def in_four_bits(block, levels):
    # your lines here
    ...


asked.check(in_four_bits)

# %% [markdown]
# ## The whole matrix, and its scales
# Every block of 64 does the same. What has to be kept: four bits a weight, and one 32-bit scale a block.
# *Double quantisation* treats the scales as weights again: minus their mean, in blocks of 256, in eight bits.

# %%
how_much_is_saved = predict(
    "A scale of 32 bits for 64 weights is half a bit a weight. How much of that half does double quantisation save?",
    {
        "about a quarter of it": "that would be 32 bits to 24; but a scale needs hardly more precision than the codes.",
        "about half of it": "that would be 32 bits to 16.",
        "about three quarters of it": "32 bits become 8, and one more scale for 256 of them is next to nothing.",
    },
    exact=True,
)

# %%
single, double = quantize(weight), quantize(weight, double=True)
saved = (single.bits - double.bits) / (32 / 64)
how_much_is_saved.reveal(0 if saved < 0.375 else 1 if saved < 0.625 else 2)
show(
    pd.DataFrame(
        {
            "bits a weight": [32, single.bits, double.bits],
            "kB for this matrix": [bits * weight.size / 8000 for bits in (32, single.bits, double.bits)],
            "error beside W": ["-", *(f"{quantization_error(weight, double=d).relative:.3%}" for d in (False, True))],
        },
        index=pd.Index(["float32", "NF4", "NF4, double quantised"], name=""),
    )
)
assert abs(double.bits - double_bits(64)) < 1e-9

# %% [markdown]
# Is this what bitsandbytes does? Its own function, on the same weights: every code must be the same, and every weight
# that comes back.

# %%
rows = torch.from_numpy(weight.reshape(-1, 64))
packed, state = functional.quantize_4bit(rows, blocksize=64, quant_type="nf4")
pairs = packed.numpy().ravel()
theirs = np.stack([pairs >> 4, pairs & 15], axis=1).ravel()  # two codes in a byte
values = functional.dequantize_4bit(packed, state).numpy().reshape(weight.shape)
show(f"{weight.size:,} weights in {packed.numel():,} bytes and {state.absmax.numel():,} scales")
show(f"Different codes: {int((theirs != single.codes).sum())}")
show(f"Largest difference of a weight that came back: {np.abs(values - single.values()).max():.1e}")
assert (theirs == single.codes).all() and np.allclose(values, single.values(), atol=1e-6 * np.abs(weight).max())

# %% [markdown]
# ## Why these levels?
# The levels of NF4 are made from a normal distribution's quantiles: they lie dense where weights are dense. FP4 is a
# tiny floating-point number; int4 is the whole numbers from -7 to 7.

# %%
equally_taken = predict(
    "Quantiles cut a distribution into equal parts. So how equally are the sixteen levels of NF4 taken, in a matrix?",
    {
        "about equally (within a factor of 2)": "so it would be, were weights divided by their standard deviation.",
        "not at all equally": "blocks are divided by their largest weight, two to three standard deviations out: the "
        "ends are taken by it alone, and most weights fall on the inner levels.",
    },
    exact=True,
)
which_loses_least = predict(
    "Over all matrices of this model, which of the three loses least?",
    {
        "nf4": "its levels are dense near zero, where most weights are, and not too dense.",
        "fp4": "its levels are a tiny float's: one close beside zero, then none up to a sixth, where many weights are.",
        "int4": "its levels are evenly spaced, good for weights that are spread evenly; few are.",
    },
    exact=True,
)

# %%
errors = fewbits.errors_by_block(model(), matrices(base))
taken = 100 * np.bincount(single.codes, minlength=16) / single.codes.size
equally_taken.reveal(0 if taken.max() <= 2 * taken.min() else 1)
show(
    f"The most taken level holds {taken.max():.1f} % of this matrix, the least {taken.min():.1f} %; a sixteenth is 6.2 "
    "%."
)
which_loses_least.reveal(str(errors.loc[64].idxmin()))
show("Error beside W, in per cent, mean over all matrices:", errors)
show(plots.plot_levels(model(), module=MODULE), name="levels")
show(plots.plot_quantization_error(model(), module=MODULE), name="error")

# %%
exercise(
    "With blocks of 32 weights and plain 32-bit scales, how many bits does a weight take?",
    answer=4 + 32 / 32,
    hint="four bits for the code, and 32 more for every 32 weights",
)
exercise(
    "What is wrong with this experiment? 'Double quantisation costs nothing': a model that is right in 100 % of its "
    "answers in NF4 was right in 100 % with double quantisation, too.",
    answer="right answers are at their ceiling; a measure that can move, such as the loss, was not looked at",
    choices=[
        "right answers are at their ceiling; a measure that can move, such as the loss, was not looked at",
        "double quantisation changes no weight",
        "100 % cannot be measured",
    ],
    hint="How much would the weights have to change before an answer tips over?",
    why="Nothing that can be seen in the answers was found. The weights differ, as the table above says.",
)

# %% [markdown]
# ## What does it do to the model?
# Now every linear layer of the base goes to four bits and back, and the model answers again. Perplexity is the
# exponential of the loss a token: 1 is certainty. Nothing has been trained yet.

# %%
task = task_of("spanish", graded=True)
encoded = fewbits.questions_to_grade(tokenizer, task, each=2 if QUICK else 12)
measured = partial(fewbits.quality, rows=encoded, tokenizer=tokenizer)
before = measured(base)
show(f"The base as it is: perplexity {before['perplexity']:.4g} on the answers to {len(encoded)} questions")
perplexity_rises = predict(
    "In four bits (NF4), by how much will its perplexity rise?",
    {
        "less than 1 %": "a layer's output is a sum over a row of weights, whose errors partly cancel; what is sure "
        "stays sure.",
        "1 to 10 %": "errors in every weight do not cancel altogether, and a small model has no weights to spare.",
        "more than 10 %": "that takes fewer bits, or a few weights so large that they spoil their blocks' scales.",
    },
    exact=True,
)

# %%
table = {"float32": before}
table |= {kind: measured(fewbits.put_through(base, lambda w, kind=kind: quantize(w, kind).values())) for kind in KINDS}
table["nf4, double"] = measured(fewbits.put_through(base, lambda w: quantize(w, double=True).values()))
table = pd.DataFrame.from_dict(table, orient="index").rename_axis("the base in")
rise = table.perplexity["nf4"] / table.perplexity["float32"] - 1
perplexity_rises.reveal(0 if rise < 0.01 else 1 if rise <= 0.1 else 2)
show(table)
best = table.perplexity[list(KINDS)].idxmin()
low, high = wilson(table["exactly right (%)"]["nf4"] / 100 * len(encoded), len(encoded))
show(f"Least perplexity in four bits: {best}. Least error of the weights: {errors.loc[64].idxmin()}.")
show(f"Right answers in NF4, as a share of all such questions: between {low:.0%} and {high:.0%} (95 % interval).")

# %% [markdown]
# Every weight is several per cent off, and the answers? Each number in a layer is a sum over a whole row of weights,
# whose errors go both ways. How much would be too much? The same by hand, with fewer levels: three bits for -3 to 3,
# two bits for -1, 0 and 1.

# %%
too_few_bits = predict(
    "At how many bits has the model lost more than five points of its right answers?",
    {
        "four already": "16 levels are few for a small model, if it uses every weight.",
        "three": "each bit less doubles the distance between levels, and so the error.",
        "two": "with three levels hardly more than the sign of a weight is left.",
        "not even at two": "a model with many more weights than it needs can bear that; there are such, trained for "
        "it.",
    },
    exact=True,
)


# %%
fewer = {
    bits: measured(fewbits.put_through(base, lambda w, bits=bits: fewbits.whole_numbers(w, bits))) for bits in (4, 3, 2)
}
fewer = pd.DataFrame.from_dict(fewer, orient="index").rename_axis("bits")
lost = before["exactly right (%)"] - fewer["exactly right (%)"]
if before["exactly right (%)"] > 5:
    too_few_bits.reveal(next((place for place, bits in enumerate((4, 3, 2)) if lost[bits] > 5), 3))
else:
    too_few_bits.withhold(
        f"in 32 bits it has {before['exactly right (%)']:.0f} % right, so it has no five points to lose."
    )
show(fewer)

# %% [markdown]
# ## As everybody writes it
# transformers loads a model in four bits by a `BitsAndBytesConfig`; PEFT makes it ready, and puts A and B beside it.
# `optim="paged_adamw_8bit"` keeps the optimizer's moments in eight bits, in memory that is paged out to the processor's
# when a long batch needs the room, as an operating system pages programs out to disk.
#
# ```python
# from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
# from transformers import AutoModelForCausalLM, BitsAndBytesConfig, TrainingArguments
#
# four_bits = BitsAndBytesConfig(
#     load_in_4bit=True,
#     bnb_4bit_quant_type="nf4",
#     bnb_4bit_use_double_quant=True,
#     bnb_4bit_compute_dtype=torch.bfloat16,  # what weights become again, block by block, to be multiplied
# )
# model = AutoModelForCausalLM.from_pretrained("your/model", quantization_config=four_bits)
# model = prepare_model_for_kbit_training(model)  # freezes it, and keeps only what enters each layer
# model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
# arguments = TrainingArguments("out", learning_rate=2e-4, num_train_epochs=3, optim="paged_adamw_8bit", bf16=True)
# ```
#
# Here it is `QLoRA(r=8, alpha=16)`, with the same configuration inside; where there is no GPU it computes in float32.

# %%
show(QLoRA(r=8, alpha=16))

# %% [markdown]
# ## QLoRA beside LoRA
# The same data, the same seed, the same rank. In one, A and B hang on the base as it is; in the other on the base in
# four bits, and are kept in 16 bits themselves instead of 32. The codes cannot be trained, they are whole numbers; but
# the gradient goes *through* them, to A and B.

# %%
UNSEEN = "no difference that these questions could show"
qlora_beside_lora = predict(
    "After training, how many held-out questions will QLoRA answer, beside LoRA?",
    {
        "clearly fewer": "it learns beside a base that is a little wrong everywhere.",
        UNSEEN: "A and B are trained beside the quantised base, and make up for its errors where that matters; what "
        "is left is too small for so few questions.",
        "clearly more": "noise in the weights can act as regularisation; but such a gain is seldom seen.",
    },
)
seconds_a_step = predict(
    "And how long does a step of QLoRA take, beside one of LoRA, on this machine?",
    {
        "less": "less memory is moved, but every weight has to be made a number again before it is multiplied.",
        "about as long (within 10 %)": "making numbers of codes is little beside a large batch's products.",
        "longer": "whenever a layer is used, forward and backward, its codes are looked up and scaled: memory is paid "
        "for with time.",
    },
)

# %%
STEPS = 8 if QUICK else 150


def train(method):
    return finetune(
        model(), data("spanish"), method(r=8, alpha=16), out=HERE / method.name, steps=STEPS,
        learning_rate=rate(method.name), batch_size=16 if QUICK else 32, seed=current().seed, every=STEPS,
        skills=1 if QUICK else 10 if model() == "embedded" else 6, evaluate_at=1 if QUICK else 5,
    )  # fmt: skip


lora, qlora = runs = [train(method) for method in (LoRA, QLoRA)]

# %%
show(plots.plot_loss(runs), name="loss")
n = int(qlora.graded[qlora.task].iloc[-1])  # held-out questions that each was graded on
results = {}
for run in runs:
    right, old = new_skill(run, graded=True), old_skills(run).mean(axis=1)
    low, high = wilson(right.iloc[-1] * n, n)
    results[run.method] = {
        "held out (%)": 100 * right.iloc[-1],
        "95 % interval": f"{100 * low:.0f} to {100 * high:.0f}",
        "old skills before (%)": 100 * old.iloc[0],
        "and after (%)": 100 * old.iloc[-1],
        "last loss": run.metrics.loss.iloc[-10:].mean(),
    }
results = pd.DataFrame.from_dict(results, orient="index").rename_axis("method")
p, q = (results["held out (%)"][name] for name in ("lora", "qlora"))
low, high = (100 * end for end in newcombe(q / 100 * n, n, p / 100 * n, n))
if max(p, q) < 10:
    qlora_beside_lora.withhold(f"neither has learned the task ({p:.0f} and {q:.0f} % right).")
elif min(p, q) > 95:
    qlora_beside_lora.withhold(f"both know nearly all of it ({p:.0f} and {q:.0f} % right): no difference had room.")
else:
    qlora_beside_lora.reveal("clearly fewer" if high < 0 else "clearly more" if low > 0 else UNSEEN)
show(f"QLoRA minus LoRA: {q - p:+.1f} points; other questions would say between {low:+.0f} and {high:+.0f} (95 %)")
show(results)

# %% [markdown]
# The price in time: both take steps on the same batch, in turns, so that a busy machine slows both.

# %%
networks = {method.name: method(r=8, alpha=16).prepare(model()).train() for method in (LoRA, QLoRA)}
device = networks["qlora"].device
networks["lora"].to(device)
TIMES = 2 if QUICK else 11
times = fewbits.milliseconds_a_step(networks, encoded[:16], tokenizer, TIMES)
slower = times.qlora / times.lora
seconds_a_step.reveal(0 if slower < 0.9 else 1 if slower <= 1.1 else 2)
where = "a GPU" if device.type == "cuda" else "a processor; a GPU has kernels of its own for it"
show(f"A step without the optimizer: LoRA {times.lora:.0f} ms, QLoRA {times.qlora:.0f} ms, {slower:.2f} "
     f"times as long (median of {TIMES}, on {where}).")  # fmt: skip

# %% [markdown]
# The adapter was trained beside a base in four bits. Put on the base as it was, in full precision, it finds another
# model than it was trained with. Does it mind?

# %%
held_out = [encode_last_answer(tokenizer, talk) for talk in task.heldout[:100]]
_, right, _ = score_answers(load_tuned(qlora).eval(), held_out, tokenizer.pad_token_id)
show(f"QLoRA's adapter on its own base, in four bits: {results['held out (%)']['qlora']:.1f} % are right")
low, high = newcombe(sum(right), len(held_out), results["held out (%)"]["qlora"] / 100 * n, n)
show(
    f"The same adapter on the base in 32 bits: {100 * np.mean(right):.1f} %. Other questions would put the difference "
    f"between {100 * low:+.0f} and {100 * high:+.0f} points (95 %)."
)

# %% [markdown]
# ## Which GPU?
# What a training step takes can be counted before anything is loaded: weights, gradients, the optimizer's two moments,
# and what the forward pass keeps for the backward pass. These are models of published shapes, in bfloat16 with AdamW
# (moments of the weights' type), one text of 512 tokens, keeping only what enters each layer (gradient checkpointing).
# *Computed*, not measured: short-lived buffers come on top, so leave some room.

# %%
sizes = ("1B", "8B") if QUICK else tuple(NAMES)
GPU = "RTX 4090"
SUM = "weights, gradients, two moments: 8 bytes a weight in bfloat16; a billion take 7.5 GiB, before any activations."
largest_in_full = predict(
    f"Which is the largest of these that can be trained in full on a {GPU} ({GPUS[GPU]} GiB)?",
    dict.fromkeys(("none", *sizes), SUM),
    exact=True,
)

# %%
table = memory_table(sizes)
largest_in_full.reveal(largest_that_fits(table, "full", GPUS[GPU]) or "none")
show(plots.plot_memory(table), name="memory")
show(
    pd.DataFrame(
        {name: {method: largest_that_fits(table, method, gib) or "none" for method in ("full", "lora", "qlora")}
         for name, gib in GPUS.items()}
    ).rename_axis("largest that fits")
)  # fmt: skip
show("The shapes: " + ", ".join(f"{size} is {NAMES[size]}" for size in sizes))

# %%
largest = sizes[-1]
weights = memory_of(largest, "full").parameters
exercise(
    f"{NAMES[largest]} has {weights / 1e9:.4g} billion weights. If all of them were in NF4 with double quantisation "
    f"({double_bits():.3f} bits each), how many gigabytes (10^9 bytes) would they fill?",
    answer=weights * double_bits() / 8 / 1e9,
    hint="bits over eight are bytes",
)
exercise(
    "What is wrong with this experiment? 'QLoRA reaches LoRA's quality': after equally many steps both were right in "
    "about as many held-out answers of the new task. The old skills were graded as well, and were 6.75 points lower "
    "with QLoRA.",
    answer="half of what was measured, the part that spoke against the sentence, was not reported",
    choices=[
        "half of what was measured, the part that spoke against the sentence, was not reported",
        "QLoRA should have had more steps",
        "old skills have nothing to do with quality",
    ],
    hint="What does 'quality' mean here, and who chose it?",
    why="What is measured is reported. This was this project's own ledger.",
)

# %% [markdown]
# ## What many seeds say
# What is often said of four bits, tried several times each, with the 95 % interval of what was measured
# (`python -m lessons.claims` tries it again).

# %%
show(
    ledger(
        "nf4-costs-little", "nf4-best", "double-free", "qlora-as-lora", "qlora-keeps", "memory-steps", "memory-65b",
    )
)  # fmt: skip

# %% [markdown]
# ## Where to read on
# - Dettmers et al. 2023, *QLoRA: Efficient Finetuning of Quantized LLMs*, arXiv:2305.14314: NF4 in section 3
# - Dettmers et al. 2021, *8-bit Optimizers via Block-wise Quantization*, arXiv:2110.02861
# - Dettmers and Zettlemoyer 2023, *The case for 4-bit precision*, arXiv:2212.09720: bits against model size
# - bitsandbytes and PEFT on quantisation: huggingface.co/docs/peft, "Quantization"
# - Your own model: `finetune("your-model-folder", "your.jsonl", QLoRA(r=16), out="runs/mine")`, and before that
#   `training_memory("your-model-folder", "qlora", batch=8, length=512)` of `engine.planning.memory`
