# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Forgetting: what fine-tuning costs, and what helps
#
# A model that learns something new may lose what it could do before. This is called *catastrophic forgetting*
# (McCloskey & Cohen 1989). Here you watch it happen, skill by skill and answer by answer. Then you try what is said to
# help, and compare fairly.
#
# Afterwards you will be able to say
#
# - how forgetting is seen and measured, and which skills go first;
# - why remedies are compared at the same new-task score, and not at the end of training;
# - what stopping early, a lower learning rate, old data mixed in, LoRA and full fine-tuning each did, here;
# - which remedy is exact.
#
# Nothing here is prepared: the model is a real one, small enough to be trained while you watch, and every number and
# picture below was measured on your machine a moment before you see it.

# %% tags=["hide-input"]
from lessons.teaching.walk import begin

begin(__name__, lesson="forgetting", place=7)

# %% tags=["hide-input"]
import math

import numpy as np
import pandas as pd
import torch

from engine.data import Conversations, collate, hold_out, load
from engine.evaluate import curriculum_groups, encode_last_answer
from engine.measure import forgetting
from engine.measure.matched import learning_path, matched
from engine.models import load_model, load_tokenizer, load_tuned
from engine.school.curriculum import SKILLS
from engine.training.finetune import finetune
from engine.training.methods import Full, LoRA
from lessons.teaching.stage import (
    current,
    data,
    exercise,
    exercise_code,
    ledger,
    model,
    old_skills,
    predict,
    rate,
    show,
)
from visualize import plots

QUICK = current().quick
HERE = current().folder
STEPS = 9 if QUICK else 120
GRADED = 1 if QUICK else 6  # questions of each old skill

# Two dozen Spanish words, not all of the task, so that a run takes seconds; a teacher's own data as it is.
task = hold_out(load(data("spanish")), seed=0)
if not current().data:
    words = list(dict.fromkeys(conversation[-1]["content"] for conversation in task.train))[: 8 if QUICK else 24]
    parts = ([c for c in part if c[-1]["content"] in words] for part in (task.train, task.heldout))
    task = Conversations(task.name, *parts)


def train(name, method, **settings):
    """One fine-tuning on the lesson's task, graded several times on the new task and on every old skill."""
    settings = {
        "steps": STEPS,
        "batch_size": 8 if QUICK else 16,
        "evaluate_at": 2 if QUICK else 6,
        "every": 10_000,
        **settings,
    }
    settings = {"save": False, "answers": False, "checkpoint": None, "progress": False, **settings}
    run = finetune(model(), task, method, out=HERE / name, skills=GRADED, **settings)
    show(f"{name}: {run.info.steps} steps, new task {learning_path(run).learned.iloc[-1]:.0%} right at the end")
    return run


# %% [markdown]
# ## Watch it fade
# LoRA learns Spanish words. Meanwhile every old skill is graded on questions of its own: capitals, opposites, French
# words, sums, sorting, summaries (`engine/base/README.md` is the base model's card). No old skill is trained on.

# %%
how_much_is_left = predict(
    "how much of the old skills is left at the end, on average over all of them?",
    ["nearly all: lost less than 5 points", "lost 5 to 30 points", "lost more than 30 points"],
)

# %%
plain = train("plain", LoRA(), save=True, answers=True, evaluate_at=2 if QUICK else 8)
path = learning_path(plain)
lost = 100 * (path.kept.iloc[0] - path.kept.iloc[-1])
how_much_is_left.reveal(0 if lost < 5 else 1 if lost <= 30 else 2)
show(f"Old skills, mean: {path.kept.iloc[0]:.0%} before, {path.kept.iloc[-1]:.0%} after: {lost:.0f} points lost")
show(plots.plot_skills(plain), name="strip")

# %% [markdown]
# The strip shows scores. Here is what stands behind them: the model's own answers to the same questions, step by step.

# %%
show(plots.plot_answers(plain), name="answers")

# %% [markdown]
# ## Which skill goes first?
# A score falls only when an answer has tipped over. The loss tells earlier: how much less likely have the right answers
# become? Loss on a skill, minus the loss before training, in nats a token: higher is more forgotten.

# %%
which_rises_most = predict(
    "which old skill's loss rises most?",
    ["translating to French, the nearest to the new task", "another skill that is asked in words", "one with numbers"],
)

# %%
NUMBERS = ("sum", "difference", "sort")
rise = forgetting(plain).iloc[-1][list(old_skills(plain))].sort_values(ascending=False)
first = rise.index[0]
which_rises_most.reveal(0 if first == "french" else 2 if first in NUMBERS else 1)
titles = [SKILLS[name].title for name in rise.index]
show(pd.DataFrame({"skill": titles, "forgotten (nats a token)": rise.to_numpy()}).head(6))
show(f"At the other end: {titles[-1]}, {rise.iloc[-1]:+.3f}.")

# %% [markdown]
# ## The remedies
# - **Stop early**: the same run, but ended when the new task is good enough.
# - **A lower learning rate**: half of it, for more steps.
# - **Mix in old data** (rehearsal): a part of each batch comes from what the model was pretrained on. Of a model from
#   the Hub nobody has that; then any general data takes its place.
# - **LoRA** is itself called a remedy: it "learns less and forgets less" (Biderman et al. 2024). So full fine-tuning is
#   trained beside it.

# %%
runs = {
    "LoRA": plain,
    "LoRA, half the rate": train("half-rate", LoRA(), learning_rate=rate("lora") / 2, steps=4 * STEPS // 3),
    "LoRA, a quarter is old data": train("mix-quarter", LoRA(), mix=0.25, mix_with="curriculum"),
    "LoRA, half is old data": train("mix-half", LoRA(), mix=0.5, mix_with="curriculum", steps=4 * STEPS // 3),
    "full": train("full", Full(), steps=2 * STEPS // 3),
    "full, a quarter is old data": train("full-mix", Full(), mix=0.25, mix_with="curriculum", steps=2 * STEPS // 3),
}

# %% [markdown]
# ## Compare fairly
# A run that learned less has mostly forgotten less, which proves nothing. So the runs are compared where they know
# equally much of the new task: at the first moment when each reached the same score. Between two evaluations that
# moment lies on a straight line; a run that never got there has no value.

# %%
best = max(learning_path(run).learned.max() for run in runs.values())
LEVEL = math.floor(16 * best) / 20  # four fifths of the best score, in steps of five points
who_keeps_most = predict(f"which keeps most of the old skills when {LEVEL:.0%} of the new task is learned?", list(runs))

# %%
met = {name: matched(run, LEVEL) for name, run in runs.items()}
ends = {name: 100 * learning_path(run).iloc[-1] for name, run in runs.items()}
table = pd.DataFrame(
    {
        f"reaches {LEVEL:.0%} at step": [f"{m.step:.0f}" if m else "never" for m in met.values()],
        "old skills then (%)": [f"{100 * m.kept:.1f}" if m else "-" for m in met.values()],
        "old skills at the end (%)": [f"{end.kept:.1f}" for end in ends.values()],
        "new task at the end (%)": [f"{end.learned:.1f}" for end in ends.values()],
    },
    index=list(runs),
)
show(table)
kept = {name: m.kept for name, m in met.items() if m}
who_keeps_most.reveal(max(kept, key=kept.__getitem__))
show(plots.plot_plane(runs, level=LEVEL), name="plane")

# %% [markdown]
# Right and up is good: much learned, little forgotten. Rings mark the comparison. Now read each remedy off this run's
# own numbers; another seed, task or model may say otherwise, and the end of the lesson says what several seeds gave.

# %%


def beside(name, other):
    if name not in kept or other not in kept:
        return f"{name} beside {other}: no comparison, one of them did not reach {LEVEL:.0%}."
    points = 100 * (kept[name] - kept[other])
    more = (
        "no more and no less" if abs(points) < 0.5 else f"{abs(points):.0f} points {'more' if points > 0 else 'less'}"
    )
    return f"{name} beside {other}: it had kept {more} of the old skills."


if "LoRA" in kept:
    early = 100 * kept["LoRA"] - ends["LoRA"].kept
    show(f"Stopping LoRA at {LEVEL:.0%}, and not at its end: {early:+.0f} points of the old skills.")
else:
    show(f"LoRA did not reach {LEVEL:.0%}, so there was nothing to stop early.")
show(beside("LoRA, half the rate", "LoRA"))
show(beside("LoRA, a quarter is old data", "LoRA"))
show(beside("LoRA, half is old data", "LoRA"))
show(beside("full, a quarter is old data", "full"))
show(beside("LoRA", "full"))

# %% [markdown]
# ## The exact remedy
# With LoRA the base's weights were never touched. What was forgotten is forgotten by the model *with its adapter*. Take
# the adapter off, and ask for every old skill again.

# %%
what_comes_back = predict(
    "with the adapter switched off, how much of what was forgotten comes back?", ["some of it", "nearly all", "all"]
)

# %%
base, tuned, tokenizer = load_model(model()), load_tuned(plain).eval(), load_tokenizer(model())
asked = [encode_last_answer(tokenizer, c) for group in curriculum_groups(2).values() for c in group]
batch = collate(asked, tokenizer.pad_token_id)
inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
with torch.inference_mode():
    original, on = base.eval()(**inputs).logits, tuned(**inputs).logits
    with tuned.disable_adapter():
        off = tuned(**inputs).logits
differing = int((off != original).sum())
back = 1 - float((off - original).abs().sum() / (on - original).abs().sum())
what_comes_back.reveal("all" if differing == 0 else "nearly all" if back > 0.9 else "some of it")
show(f"{off.numel():,} logits on {len(asked)} questions of the old skills. Differing from the base's:")
show(f"with the adapter {int((on != original).sum()):,}, without it {differing:,}.")
assert differing == 0, "the base was never changed"

# %% [markdown]
# So a product may keep the base for what it could do before, and put the adapter on for the new task alone. That does
# not help a single answer that needs both.

# %% [markdown]
# ## Exercises

# %%
exercise(
    f"Plain LoRA began with {path.kept.iloc[0]:.1%} of the old skills and ended with {path.kept.iloc[-1]:.1%}. "
    "What share of what it had was lost, in per cent?",
    answer=100 * (1 - path.kept.iloc[-1] / path.kept.iloc[0]) if path.kept.iloc[0] else 0.0,
    hint="one minus after over before",
    tolerance=0.02,
)
exercise(
    "Which of these runs would you show to prove that a remedy works?",
    answer="one stopped at the same new-task score as the run without it",
    choices=[
        "one with the same number of steps",
        "one that forgot nothing",
        "one stopped at the same new-task score as the run without it",
    ],
    hint="A run that learned nothing forgets nothing.",
)

# %% [markdown]
# Write the comparison yourself: given the new-task scores and the old-skill scores at a run's evaluations, in order,
# what was kept at the first evaluation that reached the level? (No line between evaluations this time.)


# %%
def test_kept_at(function):
    for name, run in runs.items():
        one = learning_path(run)
        for level in (0.0, LEVEL, float(one.learned.iloc[-1])):
            reached = one.kept[one.learned >= level]
            right = float(reached.iloc[0]) if len(reached) else None
            got = function(list(one.learned), list(one.kept), level)
            same = got is right if right is None or got is None else np.isclose(got, right)
            assert same, f"For {name} at {level:.0%} it gives {got}, but {right} was kept"


asked_at = exercise_code(
    "write kept_at(learned, kept, level): the old-skill score at the first evaluation with learned >= level, "
    "or None if there is none",
    test_kept_at,
    solution="""
def kept_at(learned, kept, level):
    for new, old in zip(learned, kept):
        if new >= level:
            return old
    return None
""",
    hint="walk through both lists together, and return at the first that reaches the level",
)


# %% tags=["answer"]
def kept_at(learned, kept, level): ...  # your lines


asked_at.check(kept_at)


# %% [markdown]
# ## What many seeds say
# What is often said of forgetting, tried several times each, with the 95 % interval of what was measured
# (`python -m lessons.claims` tries it again).

# %%
show(
    ledger(
        "grows-with-steps", "grows-with-rate", "early-stopping", "gentle-rate", "mixing", "lora-forgets-less",
        "switch-off",
    )
)  # fmt: skip

# %% [markdown]
# ## Where to read on
# - McCloskey & Cohen 1989, *Catastrophic Interference in Connectionist Networks*: where it was first described
# - Kirkpatrick et al. 2017, *Overcoming catastrophic forgetting in neural networks*, arXiv:1612.00796: a penalty on
#   the weights that old tasks need
# - Scialom et al. 2022, *Fine-tuned Language Models are Continual Learners*, arXiv:2205.12393: rehearsal, with one
#   per cent of old data
# - Biderman et al. 2024, *LoRA Learns Less and Forgets Less*, arXiv:2405.09673: what large models showed
# - PEFT's documentation: `disable_adapter`, huggingface.co/docs/peft

# %%
show(f"runs: {HERE}")
show(f"pictures: {HERE / 'pictures'}")
