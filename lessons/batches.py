# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Batches: how many examples a step?
#
# A step of training looks at a few examples and goes on as if they were all. How many should there be? And what if so
# many do not fit into memory?
#
# Afterwards you will be able to answer
#
# - How well does a batch tell the direction, and how does that grow with its size?
# - The same examples in small or in large batches: which learns more, and what has the rate to do with it?
# - Is accumulating four batches of eight the same as one of thirty-two?
#
# Nothing here is prepared: every number and picture below was measured on your machine a moment before you see it.

# %% tags=["hide-input"]
from lessons.teaching.walk import begin

begin(__name__, lesson="batches", place=8)

# %% tags=["hide-input"]
import math
import random
import time

import numpy as np
import pandas as pd

from engine.data import collate, encode_all
from engine.errors import InputError
from engine.evaluate import last_answer
from engine.evaluate.tokens import losses_of_model
from engine.models import load_model, load_tokenizer
from engine.planning.memory import training_memory
from engine.training.finetune import finetune
from engine.training.methods import Full, LoRA
from lessons.teaching.stage import (
    current,
    exercise,
    exercise_code,
    kept_exactly,
    leader,
    ledger,
    model,
    new_skill,
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
LARGEST = 64  # of the batches below: with fewer examples than that two sizes may be the same batch
tokenizer = load_tokenizer(model())
examples = encode_all(tokenizer, task.train)
if len(examples) < LARGEST:
    raise InputError(
        f"this lesson takes batches of up to {LARGEST} examples, and {task.name} has {len(examples)} to learn from; "
        "give more"
    )


def train(name, method, **settings):
    """One fine-tuning, and a line on how it went."""
    settings = {"batch_size": 16, "evaluate_at": 2 if QUICK else 4, "every": 10_000, "checkpoint": None, **settings}
    settings = {"save": False, "answers": False, "progress": False, "seed": current().seed, **settings}
    began = time.perf_counter()
    run = finetune(model(), task, method, out=HERE / name, skills=0, **settings)
    losses = run.metrics.loss
    show(f"{name}: loss {losses.iloc[0]:.2f} -> {losses.iloc[-1]:.3g}, {time.perf_counter() - began:.0f} s")
    return run


# %% [markdown]
# ## How good is a batch's gradient?
# The gradient of a batch is a mean over its examples: an estimate of the mean over all. Here is one of them, and under
# each token the model's loss, in nats.

# %%
network = load_model(model())
record = next(talk for talk in task.train if last_answer(talk))
show(plots.plot_tokens(losses_of_model(network, tokenizer, [record])), name="record")

# %% [markdown]
# Its gradient is that of the mean over what is underlined, the answer; a batch's is that of the mean over the answers
# of all its examples. Now the gradient of one matrix of the base, from all of the examples, and from batches drawn out
# of them.

# %%
weight = next(p for p in network.parameters() if p.ndim == 2 and p.requires_grad)


def gradient(part):
    """(gradient of the mean loss, the number of tokens it is a mean of)."""
    labelled = collate(part, tokenizer.pad_token_id)
    network.zero_grad()
    network(**labelled).loss.backward()
    return weight.grad.numpy().copy(), sum(row.trained for row in part)


less_noise = predict(
    "four times as many examples in a batch: how far is its gradient from that of all, beside before?",
    {
        "a quarter as far": "the work is four times as much; but the errors of single examples do not add up, they "
        "cancel in part.",
        "half as far": "the error of a mean of n falls with the root of n. So certainty is dear: ten times as good "
        "costs a hundred times as much.",
        "as far": "examples would have to agree in all of their gradient, or be copies of each other.",
    },
    exact=True,
)

# %%
rows = examples[: 64 if QUICK else 256]
of_all, _ = gradient(rows)
rng = random.Random(0)


def away(size):
    """How far the gradients of some batches are from that of all, beside its length: the mean of a few draws."""
    drawn = [gradient(rng.sample(rows, size))[0] for _ in range(8)]
    return float(np.mean([np.linalg.norm(one - of_all) for one in drawn]) / np.linalg.norm(of_all))


noise = {size: away(size) for size in (1, 4, 16)}
falls = math.sqrt(noise[1] / noise[16])  # for four times as many, from two such steps
less_noise.reveal(0 if falls > 3 else 1 if falls > 1.4 else 2)
show(pd.Series(noise, name="away, beside the whole gradient").rename_axis("examples in a batch").to_frame())

# %% [markdown]
# ## Few large batches, or many small ones?
# The same examples are seen as often, at the same rate, in batches of several sizes.

# %%
SEEN = 64 if QUICK else 960
SIZES = (4, 16) if QUICK else (4, 16, LARGEST)
which_size = predict(
    f"{SEEN} examples at the same rate, in batches of {', '.join(map(str, SIZES))}: which ends with the lowest "
    "held-out loss?",
    {
        **{f"{SIZES[0]}": "it takes most steps, and Adam's steps are as long whatever the gradient's size."},
        **{
            f"{size}": "a compromise: enough steps, and each in a direction that is known well enough."
            for size in SIZES[1:-1]
        },
        f"{SIZES[-1]}": "its few steps go in the best-known direction; with so few of them that pays at a higher rate "
        "only.",
    },
)

# %%
by_size = {str(size): train(f"size-{size}", LoRA(), batch_size=size, steps=SEEN // size) for size in SIZES}
ended = {size: float(run.skill_losses[run.task].iloc[-1]) for size, run in by_size.items()}
lowest = leader(ended, 0.05 * min(ended.values()), lowest=True)
if lowest is None:
    which_size.withhold("the two lowest are within 5 % of each other, with one seed each.")
else:
    which_size.reveal(lowest)
show(
    pd.DataFrame(
        {
            "steps": [run.info.steps for run in by_size.values()],
            "held-out loss": list(ended.values()),
            "right, held out (%)": [100 * new_skill(run, graded=True).iloc[-1] for run in by_size.values()],
        },
        index=pd.Index(by_size, name="batch size"),
    )
)
show(plots.plot_sweep({f"batches of {size}": run for size, run in by_size.items()}, value="loss"), name="sizes")

# %% [markdown]
# So batch size and learning rate belong together: who takes batches four times as large has a quarter of the steps, and
# usually raises the rate. For Adam the rule of thumb is the root: twice. (Goyal et al. 2017 found the linear rule, for
# plain SGD.) How much of the lost steps does that make up for here?

# %%
raised = {size: math.sqrt(size / SIZES[0]) for size in SIZES[1:]}  # by how much, for Adam
at_raised = {
    size: train(f"size-{size}-raised", LoRA(), batch_size=size, steps=SEEN // size, learning_rate=factor * rate("lora"))
    for size, factor in raised.items()
}
show(
    pd.DataFrame(
        {
            "rate": [f"x {factor:g}" for factor in raised.values()],
            "held-out loss": [run.skill_losses[run.task].iloc[-1] for run in at_raised.values()],
            "at the same rate": [ended[str(size)] for size in raised],
            f"batches of {SIZES[0]}": [ended[str(SIZES[0])]] * len(raised),
        },
        index=pd.Index(raised, name="batch size"),
    )
)

# %% [markdown]
# ## Gradient accumulation
# A batch that does not fit into memory is taken in parts: four times eight examples, their gradients added up, then one
# step. The gradient of a sum is the sum of the gradients. Is it one batch of thirty-two, then?

# %%
how_far_apart = predict(
    "after five steps, how far are the weights of 4 x 8 from those of 32, beside how far they moved?",
    {
        "not at all, or by rounding (less than 0.1 %)": "on paper they are the same sum. Adam divides each gradient by "
        "its own size, though, and where that is nearly nothing, rounding is all there is of it.",
        "a little (0.1 to 5 %)": "the sums are the same but for rounding; Adam makes a whole step even of a tiny "
        "gradient, and there rounding shows.",
        "more than 5 %": "so it was in several libraries until October 2024: parts of different length were weighted "
        "alike.",
    },
    exact=True,
)

# %%
forms = {"32 at once": (32, 1), "4 x 8, accumulated": (8, 4), "8, not accumulated": (8, 1)}
taken = {
    name: train(f"batch-{size}x{times}", Full(), batch_size=size, accumulation=times, steps=5, evaluate_at=1)
    for name, (size, times) in forms.items()
}
reference = taken["32 at once"]
EXACT = kept_exactly(*taken.values())  # all of them, but of a large model


def distance(run):
    """How far a run's weights ended from the reference's, beside how far those moved: a share."""
    apart = sum(np.sum((run.delta(m) - reference.delta(m)) ** 2) for m in EXACT)
    return math.sqrt(apart / sum(np.sum(reference.delta(m) ** 2) for m in EXACT))


apart = distance(taken["4 x 8, accumulated"])
how_far_apart.reveal(0 if apart < 0.001 else 1 if apart <= 0.05 else 2)
length = max(len(row.ids) for row in examples)
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
rows = examples[:32] if current().data else encode_all(tokenizer, task_of("json").train[:16] + task.train[:16])
together, _ = gradient(rows)
parts = [gradient(rows[first : first + 8]) for first in range(0, 32, 8)]
of_parts = np.stack([g for g, _ in parts])
by_tokens = np.average(of_parts, axis=0, weights=[n for _, n in parts])
plain_mean = of_parts.mean(axis=0)
size = np.linalg.norm(together)
show(f"tokens in the four parts: {', '.join(str(n) for _, n in parts)}")
show(f"weighted by tokens: {np.linalg.norm(by_tokens - together) / size:.1e} of the gradient away from that of all 32")
show(f"plain mean: {np.linalg.norm(plain_mean - together) / size:.1e} of it away")
assert np.linalg.norm(by_tokens - together) < 1e-3 * size

# %% [markdown]
# ## Exercises

# %%
exercise(
    "A GPU has room for batches of 4. You want steps of 64 examples. How many batches do you accumulate?",
    answer=16,
    hint="64 divided by 4",
)
exercise(
    "What is wrong with this experiment? 'Large batches generalise worse': batches of 256 against batches of 16, at "
    "the same rate and for the same number of epochs.",
    answer="at the same rate and as many epochs the large batches took a sixteenth of the steps",
    choices=[
        "at the same rate and as many epochs the large batches took a sixteenth of the steps",
        "256 does not divide the data",
        "small batches are always better",
    ],
    hint="How far can each of the two get?",
    why="Each batch size gets a sweep of its own, and the same budget: of examples seen, or of steps; say which.",
)

# %% [markdown]
# And the accumulation itself: given the parts' gradients and their numbers of tokens, write the whole batch's gradient.


# %%
def test_accumulate(function):
    got = np.asarray(function([g for g, _ in parts], [n for _, n in parts]))
    assert got.shape == together.shape, f"The gradient has the shape {together.shape}, this has {got.shape}"
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

# %%
show(ledger("accumulation"))

# %% [markdown]
# ## Where to read on
# - McCandlish et al. 2018, *An Empirical Model of Large-Batch Training*, arXiv:1812.06162: the gradient's noise
# - Goyal et al. 2017, *Accurate, Large Minibatch SGD*, arXiv:1706.02677: rate against batch size
# - Hugging Face 2024, *Fixing Gradient Accumulation*: huggingface.co/blog/gradient_accumulation

# %%
show(f"runs: {HERE}")
