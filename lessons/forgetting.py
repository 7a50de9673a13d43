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
# Afterwards you will be able to answer
#
# - How is forgetting seen and measured, and which skills go first?
# - What is lost: the form of answers, or what they say?
# - When are two remedies compared fairly?
# - What did stopping early, a lower learning rate, old data mixed in, LoRA and full fine-tuning each do, here?
# - Which remedy is exact?
#
# Nothing here is prepared: the model is a real one, small enough to be trained while you watch, and every number and
# picture below was measured on your machine a moment before you see it.

# %% tags=["hide-input"]
from lessons.teaching.walk import begin

begin(__name__, lesson="forgetting", place=9)

# %% tags=["hide-input"]
import math

import numpy as np
import pandas as pd
import torch

from engine.data import collate
from engine.evaluate import curriculum_groups, encode_last_answer
from engine.evaluate.forgetting import curriculum_facts, measure_forgetting
from engine.evaluate.probes import general
from engine.evaluate.tokens import losses_of_model, token_losses
from engine.evaluate.weights import models_at
from engine.measure import forgetting
from engine.measure.matched import learning_path, matched
from engine.measure.shares import newcombe
from engine.models import load_model, load_tokenizer, load_tuned
from engine.school.curriculum import SKILLS
from engine.training.finetune import finetune
from engine.training.methods import Full, LoRA
from lessons.teaching.stage import (
    conclude,
    current,
    exercise,
    exercise_code,
    leader,
    ledger,
    model,
    old_skills,
    predict,
    rate,
    show,
    task_of,
    touch,
)
from visualize import plots

QUICK = current().quick
HERE = current().folder
STEPS = 9 if QUICK else 120
OURS = model() == "embedded"  # of another model nobody knows what it was taught: general probes are asked
GRADED = 1 if QUICK else 6 if OURS else 12  # questions of each old skill, or of each kind of probe

# Two dozen Spanish words, not all of the task, so that a run takes seconds; a teacher's own data as it is.
task = task_of("spanish", answers=8 if QUICK else 24, graded=True)


def train(name, method, **settings):
    """One fine-tuning on the lesson's task, graded several times on the new task and on every old skill."""
    settings = {
        "steps": STEPS,
        "batch_size": 8 if QUICK else 16,
        "evaluate_at": 2 if QUICK else 6,
        "every": 10_000,
        **settings,
    }
    # Of another model every run is asked in words, too, so that all have the same measures of what they kept.
    settings = {"save": False, "answers": not OURS, "checkpoint": None, "progress": False, **settings}
    run = finetune(model(), task, method, out=HERE / name, skills=GRADED, seed=current().seed, **settings)
    show(f"{name}: {run.info.steps} steps, new task {learning_path(run).learned.iloc[-1]:.0%} right at the end")
    return run


# %% [markdown]
# ## Watch it fade
# LoRA learns Spanish words. Meanwhile every old skill is graded on questions of its own: capitals, opposites, French
# words, sums, sorting, summaries (`engine/base/README.md` is the base model's card). No old skill is trained on. A
# model of your own is asked general probes instead, as `finetune` does by itself: facts among four, patterns to
# continue, instructions, text; and before training it answers questions, with which its later answers are compared.

# %%
if OURS:
    old = curriculum_groups(1)["capital"][0]
    show(plots.plot_tokens(losses_of_model(load_model(model()), load_tokenizer(model()), [old])), name="before")

# %% [markdown]
# An old question and its answer (underlined), before training: under each token how surprised the model is by it, its
# loss in nats. Of the question it was never sure; of the answer it may be.

# %%
how_much_is_left = predict(
    "how much of the old skills is left at the end, on average over all of them?",
    {
        "nearly all: lost less than 5 points": "the change is small and has few directions, and an answer stays right "
        "until another becomes likelier.",
        "lost 5 to 30 points": "nothing in the loss asks for them; what is near the new task, or was never sure, goes "
        "first.",
        "lost more than 30 points": "every answer of the new task has one form, and all questions come to be answered "
        "so.",
    },
)

# %%
plain = train("plain", LoRA(), save=True, answers=True, evaluate_at=2 if QUICK else 8, every=max(1, STEPS // 8))
path = learning_path(plain)
lost = 100 * (path.kept.iloc[0] - path.kept.iloc[-1])
hardly_learned = path.learned.iloc[-1] - path.learned.iloc[0] < 0.1
if hardly_learned:
    how_much_is_left.withhold("the new task was hardly learned, so what was lost is not the price of learning it.")
else:
    how_much_is_left.reveal(0 if lost < 5 else 1 if lost <= 30 else 2)
show(f"Old skills, mean: {path.kept.iloc[0]:.0%} before, {path.kept.iloc[-1]:.0%} after: {lost:.0f} points lost")
show(plots.plot_skills(plain), name="strip")

# %% [markdown]
# The strip shows scores. Here is what stands behind them: the model's own answers to the same questions, step by step.
# Below them the old question from above, before and after.

# %%
show(plots.plot_answers(plain), name="answers")
if OURS:
    show(plots.plot_tokens(token_losses(plain, [old], plain.steps[:: len(plain.steps) - 1])), name="after")
touch(plain)

# %% [markdown]
# ## Which skill goes first?
# A score falls only when an answer has tipped over. The loss tells earlier: how much less likely have the right answers
# become? Loss on a skill, minus the loss before training, in nats a token: higher is more forgotten.

# %%
french = f"translating to French{'' if current().data else ', the nearest to the new task'}"
which_rises_most = predict(
    "which old skill's loss rises most?",
    {
        french: "its answers are words of another language, and any other answer is as near as the right one."
        if current().data
        else "questions that are worded like the new ones call up the new answers.",
        "another skill that is asked in words": "one whose answers have a form of their own, or hang on the prompt: "
        "that form is what the new task's answers replace.",
        "one with numbers": "a sum is computed in steps through the layers, and a change in any of them is enough.",
    },
)

# %%
NUMBERS = ("sum", "difference", "sort")
rise = forgetting(plain).iloc[-1].drop(labels=plain.task)
rise = rise[[name for name in rise.index if name in old_skills(plain) or not OURS]].sort_values(ascending=False)
highest = rise.groupby(lambda name: 0 if name == "french" else 2 if name in NUMBERS else 1).max().to_dict()
first = leader(highest, 0.05 * rise.max())
if not OURS:
    which_rises_most.withhold("nobody here knows what this model was taught; these are general probes.")
elif hardly_learned:
    which_rises_most.withhold("the new task was hardly learned, so what rose is not the price of learning it.")
elif rise.max() <= 0:
    which_rises_most.withhold("no old skill's loss rose.")
elif first is None:
    which_rises_most.withhold("a skill of another kind rose within 5 % of the one that rose most.")
else:
    which_rises_most.reveal(first)
titles = [SKILLS[name].title if name in SKILLS else name for name in rise.index]
show(pd.DataFrame({"skill": titles, "forgotten (nats a token)": rise.to_numpy()}).head(6))
show(f"At the other end: {titles[-1]}, {rise.iloc[-1]:+.3f}.")

# %% [markdown]
# ## The form of answers, or what they say?
# An answer is right to the letter, or wrong: "[Paris]" for "Paris" counts as forgotten. So the model, as it was at
# several captured steps, is asked in four ways. *Letter*: the answer is exactly right. *Among four*: the probability
# of the right answer among four of its kind (Paris, Rome, Oslo, Lima), which no form can hide; an even guess is 25 %.
# Both are asked of the same facts; of your own model, of which nobody here knows any, of patterns and of facts.
# *Text*: the loss on text of the kind it wrote before (stories). *KL*: how far what it says is from what the base
# said, right or wrong.

# %%
form_or_facts = predict(
    "at the captured step at which fewest answers are right to the letter: the right one among four, how likely is it?",
    {
        "nearly as likely as before (within 10 points)": "what it knows is there, but it is said in another form: the "
        "form of answers is common to all of them, and moves first.",
        "clearly less, but above an even guess": "both go: the form, and a part of what was known.",
        "about an even guess (up to 35 %)": "the facts themselves are gone: the weights that held them were moved.",
    },
)

# %%
base, tokenizer = load_model(model()), load_tokenizer(model())
if OURS:
    known = curriculum_facts(2 if QUICK else 10)
    ways = {
        step: measure_forgetting(network.eval(), base, tokenizer, known)
        for step, network in models_at(plain, plain.steps[:: 4 if QUICK else 1])
    }
    means = pd.DataFrame([vars(one) for one in ways.values()], index=pd.Index(ways, name="step"))
else:  # they were asked while it was trained: to the letter patterns to continue, among four other things, facts
    heavy = plain.measured.assign(total=plain.measured.value * plain.measured.weight).groupby(["step", "probe"])
    means = (heavy.total.sum() / heavy.weight.sum()).unstack()
    means = means.rename(columns={"few_shot": "exact", "facts": "choice"})
    show(plots.plot_forgetting(plain), name="probes")
letter, choice = ("letter (%)", "among four (%)") if OURS else ("patterns, letter (%)", "facts, among four (%)")
four = pd.DataFrame(
    {
        letter: 100 * means.exact,
        choice: 100 * means.choice,
        "text (nats a token)": means.text,
        "KL to the base (nats a token)": means.kl,
    }
)
worst = four[letter].idxmin()
fell = four[letter].iloc[0] - four[letter][worst]
among, before = four[choice][worst], four[choice].iloc[0]
if not OURS:
    form_or_facts.withhold("of your model patterns were asked to the letter, and facts among four: other questions.")
elif fell < 10:
    form_or_facts.withhold(f"by the letter only {fell:.0f} points were lost at the worst.")
else:
    form_or_facts.reveal(0 if before - among <= 10 else 2 if among <= 35 else 1)
show(four.round(3))
conclude(
    f"At step {worst}: {fell:.0f} points lost by the letter, {before - among:.0f} among four"
    f"{'' if OURS else ', of other questions: that does not tell the form from what is known'}."
)

# %% [markdown]
# So "forgotten" may mean two things: the *form* of answers has moved, or what is *known* has. Grading by the letter
# cannot tell them apart. (What the ledger says of a real LLM, SmolLM2-135M-Instruct, stands beside this model's in
# docs/claims.md.)

# %% [markdown]
# ## The remedies
# - **Stop early**: the same run, but ended when the new task is good enough. In mid-schedule the rate has not fallen
#   yet, so that is not the same as a shorter run, whose rate falls to zero by then. Both are tried.
# - **A lower learning rate**: half of it, for more steps.
# - **Mix in old data** (rehearsal): a part of each batch comes from what the model was pretrained on. Of a model from
#   the Hub nobody has that; then other data takes its place, here the embedded model's.
# - **LoRA** is itself called a remedy: it "learns less and forgets less" (Biderman et al. 2024, who add that both lie
#   on about the same frontier). So full fine-tuning is trained beside it.

# %%
OLD = "a quarter is old data" if OURS else "a quarter is the embedded model's data"
runs = {
    "LoRA": plain,
    "LoRA, half the rate": train("half-rate", LoRA(), learning_rate=rate("lora") / 2, steps=4 * STEPS // 3),
    f"LoRA, {OLD}": train("mix-quarter", LoRA(), mix=0.25, mix_with="curriculum"),
    "full": train("full", Full(), steps=2 * STEPS // 3),
    f"full, {OLD}": train("full-mix", Full(), mix=0.25, mix_with="curriculum", steps=2 * STEPS // 3),
}
shorter = train("shorter", LoRA(), steps=STEPS // 2)

# %% [markdown]
# ## Compare fairly
# A run that learned less has mostly forgotten less, which proves nothing. So the runs are compared where they know
# equally much of the new task: at the first moment when each reached the same score. Between two evaluations that
# moment lies on a straight line; a run that never got there has no value.

# %%
best = max(learning_path(run).learned.max() for run in runs.values())
LEVEL = math.floor(16 * best) / 20  # four fifths of the best score, in steps of five points
LORA, SLOWER, FULL = "LoRA as it is", "LoRA at half the rate", "full as it is"
MIXED = f"one with {'old' if OURS else 'other'} data mixed in"
REMEDIES = {
    LORA: ["LoRA"],
    SLOWER: ["LoRA, half the rate"],
    MIXED: [f"LoRA, {OLD}", f"full, {OLD}"],
    FULL: ["full"],
}
who_keeps_most = predict(
    f"which keeps most of the old skills when {LEVEL:.0%} of the new task is learned?",
    {
        LORA: "few directions, at the usual rate: it gets there in the fewest steps of LoRA's.",
        SLOWER: "shorter steps leave the old answers time to stay: less is bent that need not be.",
        MIXED: "what is asked for is kept, and three quarters of each batch are still the task.",
        FULL: "all weights share the work, so each moves little, in the directions that the task asks for.",
    },
)

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
asked_old = GRADED * old_skills(plain).shape[1]  # questions behind each share of old skills
by_remedy = {
    remedy: max(kept[name] for name in names if name in kept)
    for remedy, names in REMEDIES.items()
    if any(name in kept for name in names)
}
first, second = [*sorted(by_remedy, key=by_remedy.__getitem__, reverse=True), None, None][:2]
most, next_most = by_remedy.get(first, 0.0), by_remedy.get(second, 0.0)
low = newcombe(most * asked_old, asked_old, next_most * asked_old, asked_old)[0] if second else -1.0
if LEVEL < 0.2:
    who_keeps_most.withhold(f"no run learned more than {best:.0%} of the new task.")
elif low <= 0:
    who_keeps_most.withhold(
        f"{first} kept {most:.0%}, {second} {next_most:.0%}: too near for {asked_old} questions."
        if second
        else "no two of them got there."
    )
else:
    who_keeps_most.reveal(first)
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


halfway = path.iloc[np.abs(path.index - STEPS / 2).argmin()]
short = learning_path(shorter).iloc[-1]
stops = {"stopped in mid-schedule": halfway, "a schedule of half the length": short, "the whole": path.iloc[-1]}
show(
    pd.DataFrame(
        {"new task (%)": [100 * one.learned for one in stops.values()],
         "old skills (%)": [100 * one.kept for one in stops.values()]},
        index=pd.Index(stops, name="LoRA"),
    ).round(1)
)  # fmt: skip
conclude(
    beside("LoRA, half the rate", "LoRA"),
    beside(f"LoRA, {OLD}", "LoRA"),
    beside(f"full, {OLD}", "full"),
    beside("LoRA", "full"),
    f"(Each stands on {asked_old} questions of old skills: differences of less than about "
    f"{100 * 1.96 * math.sqrt(0.5 / asked_old):.0f} points may be chance.)",
)

# %% [markdown]
# ## Taking the adapter off
# What was forgotten is forgotten by the model *with its adapter*. Take the adapter off, and ask for every old skill
# again.

# %%
what_comes_back = predict(
    "with the adapter switched off, how much of what was forgotten comes back?",
    {
        "some of it": "that is what training on old data again would do.",
        "nearly all": "rounding would leave traces, if the adapter had been added to the weights and taken off again.",
        "all": "it never left: the base's weights were not touched, and without B A they are all there is.",
    },
    exact=True,
)

# %%
tuned = load_tuned(plain).eval()
if OURS:
    talks = [talk for group in curriculum_groups(2).values() for talk in group]
else:
    talks = [
        [{"role": "user", "content": question}, {"role": "assistant", "content": "yes"}]
        for question, _ in general().asked[: 2 * GRADED]
    ]
asked = [encode_last_answer(tokenizer, talk) for talk in talks]
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
began_with, ended_with = (round(100 * path.kept.iloc[at], 1) for at in (0, -1))
exercise(
    f"Plain LoRA began with {began_with:.1f} % of the old skills and ended with {ended_with:.1f} %. What share of what "
    "it had was lost, in per cent?",
    answer=100 * (1 - ended_with / began_with) if began_with else 0.0,
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
exercise(
    "What is wrong with this experiment? 'Stopping early reduces forgetting': the old skills when the new task was at "
    "80 %, minus the old skills at the end of the same run, whose learning rate fell in a line to zero.",
    answer="in mid-schedule the rate is high and the weights still shake: a shorter run is another thing",
    choices=[
        "80 % is not early",
        "in mid-schedule the rate is high and the weights still shake: a shorter run is another thing",
        "the old skills should not be graded at all",
    ],
    hint="What else changes between the middle and the end of a run, besides the number of steps?",
    why="Compare with a run whose schedule ends there, or keep the rate constant. (On an earlier base the end was "
    "better than the middle: what had been lost came back untaught while the rate fell.)",
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
    "write kept_at(learned, kept, level): the old-skill score at the first evaluation with learned >= level, or None "
    "if there is none",
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
        "form-first", "grows-with-steps", "grows-with-rate", "early-stopping", "gentle-rate", "mixing",
        "lora-forgets-less", "lora-drifts-less", "switch-off",
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
# - Kotha et al. 2024, *Understanding Catastrophic Forgetting in Language Models via Implicit Inference*,
#   arXiv:2309.10105: what seems lost can be called up again
# - PEFT's documentation: `disable_adapter`, huggingface.co/docs/peft

# %%
show(f"runs: {HERE}")
show(f"pictures: {HERE / 'pictures'}")
