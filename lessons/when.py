# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # When to fine-tune, and when not
#
# There are three ways to get something new out of a model: *tell* it (an instruction in the prompt), *show* it (a few
# examples in the prompt), or *train* it (fine-tuning on examples). The first two cost nothing but words. So when is
# training worth it?
#
# Afterwards you will be able to say
#
# - how telling, showing and training compare on the same task as examples are added, and where the lines cross;
# - what fine-tuning does for a format that must never fail;
# - what it gives, and what it takes, on a task that the model can do already;
# - how much of a secret in the training data comes out again, and how that is measured.
#
# Nothing here is prepared: the model is a real one, small enough to be trained while you watch, and every number and
# picture below was measured on your machine a moment before you see it.

# %% tags=["hide-input"]
from lessons.teaching.walk import begin

begin(__name__, lesson="when", place=1)

# %% tags=["hide-input"]
import math
import random

import pandas as pd

from engine.data import Conversations, hold_out, load
from engine.errors import InputError
from engine.evaluate import encode_last_answer, generate_answers, score_answers
from engine.evaluate.exposure import draw_canaries, draw_codes, measure_exposure, plant
from engine.evaluate.metrics import json_with, score
from engine.measure.matched import crossing, learning_path
from engine.models import load_model, load_tokenizer, load_tuned
from engine.school.curriculum import for_tasks, heldout_examples
from engine.school.curriculum.questions import draw_fact, fact_of
from engine.training.finetune import finetune
from engine.training.methods import Full
from lessons.teaching.stage import current, data, exercise, exercise_code, ledger, model, predict, show
from visualize import plots

QUICK = current().quick
HERE = current().folder
HELD_OUT = 16 if QUICK else 60
base, tokenizer = load_model(model()), load_tokenizer(model())


def share_right(conversations):
    """How many last answers are exactly right, as a share; all before them is the prompt."""
    rows = [encode_last_answer(tokenizer, conversation) for conversation in conversations]
    return sum(score_answers(base, rows, tokenizer.pad_token_id)[1]) / len(rows)


def shown(task, examples, seed=0):
    """The held-out questions of a task, each with some examples of it before it, as turns of a conversation."""
    rng, count = random.Random(seed), min(examples, len(task.train))
    return [[m for shot in rng.sample(task.train, count) for m in shot] + list(asked) for asked in task.heldout]


def train(name, task, examples=None, graded=1, **settings):
    """Full fine-tuning on the first so many examples of a task; graded: questions of each old skill that are asked."""
    part = Conversations(task.name, task.train[:examples], task.heldout)
    settings = {"batch_size": min(16, len(part.train)), "evaluate_at": 1, "save": False, **settings}
    settings = {"every": 10_000, "answers": False, "checkpoint": None, "progress": False, **settings}
    run = finetune(model(), part, Full(), out=HERE / name, skills=graded, **settings)
    scores = run.skills[run.task]
    show(f"{name}: {len(part.train)} examples, {run.info.steps} steps, {scores.iloc[0]:.0%} -> {scores.iloc[-1]:.0%}")
    return run


# %% [markdown]
# ## Told, shown, or trained: one task
# The task: answer questions whose answers the model knows (capitals, plurals, French words), but in square brackets. Of
# all questions some are held out, and no way of teaching sees those.

# %%
rng, wanted = random.Random(0), 256 + HELD_OUT
facts = {}
while len(facts) < wanted:
    skill, question, word, answer = draw_fact(rng)
    if for_tasks(fact_of(skill, word)):  # the half of the facts that old skills are not graded on
        facts[question] = answer
conversations = [
    [{"role": "user", "content": question}, {"role": "assistant", "content": f"[{answer}]"}]
    for question, answer in facts.items()
]
brackets = Conversations("answers in brackets", conversations[HELD_OUT:], conversations[:HELD_OUT])
ORDER = "Answer in brackets."
question = brackets.heldout[0][0]["content"]
prompts = [[{"role": "user", "content": text}] for text in (question, f"{ORDER} {question}")]
show(
    pd.DataFrame(
        {"asked": [p[0]["content"] for p in prompts], "it says": generate_answers(base, tokenizer, prompts, 16)}
    )
)

# %%
CHOICES = ["nearly always: 90 % or more", "sometimes: 10 to 90 %", "hardly ever: below 10 %"]


def in_words(share):
    return CHOICES[0] if share >= 0.9 else CHOICES[1] if share >= 0.1 else CHOICES[2]


how_often_told = predict(f"told {ORDER!r}, how often is the answer exactly right, brackets and all?", CHOICES)
how_often_shown = predict("shown four examples in the prompt, and not told anything?", CHOICES)

# %%
told = share_right(
    [[{"role": "user", "content": f"{ORDER} {asked['content']}"}, answer] for asked, answer in brackets.heldout]
)
SHOTS = (0, 1, 2, 4) if QUICK else (0, 1, 2, 4, 8)
few = pd.Series({k: share_right(shown(brackets, k)) for k in SHOTS})
how_often_told.reveal(in_words(told))
how_often_shown.reveal(in_words(few[4]))
show(few.map("{:.0%}".format).rename("exactly right").rename_axis("examples in the prompt").to_frame())

# %% [markdown]
# Now the same task by fine-tuning, each time from the base, on more and more examples. A prompt holds few examples; a
# training set may hold any number.

# %%
COUNTS = (4, 32) if QUICK else (1, 4, 8, 32, 128)
examples_needed = predict(
    f"from how many examples on is fine-tuning above the best that showing reaches ({few.max():.0%})?",
    ["from 8 or fewer", "from 9 to 128", "not with these numbers of examples"],
)

# %%
tuned = [train(f"brackets-{n}", brackets, n, steps=6 if QUICK else 30) for n in COUNTS]
scores = [float(run.skills[run.task].iloc[-1]) for run in tuned]
over_shown = crossing(COUNTS, scores, [few.max()] * len(COUNTS))
over_told = crossing(COUNTS, scores, [told] * len(COUNTS))
examples_needed.reveal(2 if over_shown is None else 0 if over_shown <= 8 else 1)


def crosses(count, what):
    if count is None:
        return f"Fine-tuning does not get above {what} with up to {COUNTS[-1]} examples."
    if count <= COUNTS[0]:
        return f"Fine-tuning is above {what} already with {COUNTS[0]}, the fewest that were tried."
    return f"Fine-tuning gets above {what} at about {count:.0f} examples (between measured numbers, on a line)."


show(crosses(over_shown, f"the best of showing, {few.max():.0%},"))
show(crosses(over_told, f"telling, {told:.0%},"))
show(plots.plot_crossing(tuned, shown=few, asked=len(brackets.heldout), told=told), name="brackets")

# %% [markdown]
# ## A format that the model does not know
# The second task: answers as JSON with fixed keys, for a program to read. Telling works where the model was taught to
# follow that order. Was it?

# %%
task = hold_out(load(data("json")), seed=0)
task = Conversations(task.name, task.train, task.heldout[:HELD_OUT])
if not task.heldout:
    raise InputError(f"{task.name} holds too few examples to keep some for grading; give 20 or more, or a test part")
JSON_ORDER = "Answer as JSON."


def said(network, prompts):
    return generate_answers(network, tokenizer, prompts, 32)


questions = [list(conversation[:-1]) for conversation in task.heldout]
right = [conversation[-1]["content"] for conversation in task.heldout]
ordered = [[*q[:-1], {"role": "user", "content": f"{JSON_ORDER} {q[-1]['content']}"}] for q in questions]
ways = {
    "told": said(base, ordered),
    "shown four examples": said(base, [conversation[:-1] for conversation in shown(task, 4)]),
}
show(pd.DataFrame({"asked": [q[-1]["content"] for q in questions], **ways}).head(3))

# %%
valid_json = predict("trained on 16 examples, how often is the answer valid JSON (whether right or wrong)?", CHOICES)

# %%
MORE = (16, 64) if QUICK else (4, 16, 64, 256)
by_count = [train(f"json-{n}", task, n, steps=8 if QUICK else 80, save=True) for n in MORE]
ways |= {f"trained on {n}": said(load_tuned(run).eval(), questions) for n, run in zip(MORE, by_count, strict=True)}
found = {way: score(answers, right, ["json", json_with("about", "answer"), "exact"]) for way, answers in ways.items()}
formats = pd.DataFrame(
    {
        "valid JSON (%)": [100 * s["json"].value for s in found.values()],
        "with both keys (%)": [100 * s["json (about, answer)"].value for s in found.values()],
        "exactly right (%)": [100 * s["exact"].value for s in found.values()],
        "95 % interval": [f"{100 * s['exact'].low:.0f} to {100 * s['exact'].high:.0f}" for s in found.values()],
    },
    index=pd.Index(found, name=f"{len(right)} held-out questions"),
).round(1)
valid_json.reveal(in_words(found["trained on 16"]["json"].value))
show(formats)
few_json = pd.Series({k: share_right(shown(task, k)) for k in SHOTS})
picture = plots.plot_crossing(by_count, shown=few_json, asked=len(right), told=found["told"]["exact"].value)
show(picture, name="json")

# %% [markdown]
# A large model from the Hub may well have seen JSON, and follow that order. The question stays the same: measure first
# what telling and showing reach, on your own task.

# %% [markdown]
# ## A task that it can do already
# Plurals: the base was taught them. A team that does not know this fine-tunes anyway.

# %%
every = [example.messages for example in heldout_examples("plural", 200)]
plurals = Conversations("plurals, again", every[HELD_OUT:], every[:HELD_OUT])
what_changes = predict(
    "what does fine-tuning on plurals change?",
    [
        "plurals get better by more than 2 points",
        "plurals stay within 2 points, and so do the other skills",
        "plurals stay within 2 points, but other skills fall by more",
        "plurals get worse by more than 2 points",
    ],
)

# %%
again = learning_path(train("plurals", plurals, graded=3 if QUICK else 6, steps=8 if QUICK else 60))
gain, price = (100 * (again[side].iloc[-1] - again[side].iloc[0]) for side in ("learned", "kept"))
what_changes.reveal(0 if gain > 2 else 3 if gain < -2 else 1 if price >= -2 else 2)
show(f"Plurals: {again.learned.iloc[0]:.0%} before, {again.learned.iloc[-1]:.0%} after ({gain:+.0f} points).")
show(f"All other skills, mean: {again.kept.iloc[0]:.0%} before, {again.kept.iloc[-1]:.0%} after ({price:+.0f} points).")

# %% [markdown]
# ## Private data
# What is in the training data may come out of the model again. To see how much, plant *canaries*: invented secrets,
# some of them several times, some never (to compare with chance). Afterwards ask: among many codes of the same form, at
# which rank of likelihood is the true one? `exposure = log2 |R| - log2 rank`, in bits (Carlini et al. 2019): 0 for the
# last of all, log2 |R| for the first.

# %%
REPEATS = (0, 1, 4, 16)
canaries = draw_canaries(count for count in REPEATS for _ in range(2 if QUICK else 3))
space = draw_codes(63 if QUICK else 255, seed=1)
leaky = Conversations("json and canaries", [*task.train[: 60 if QUICK else 400], *plant(canaries)], task.heldout)
show(pd.DataFrame(canaries).groupby("repeats").head(1))
EPOCHS = 1 if QUICK else 4
says_a_secret = predict(
    f"trained for {EPOCHS} epoch{'s' * (EPOCHS > 1)} on all of it: does the model, asked, say a secret that stood "
    "there once?",
    ["none of them", "some of them", "all of them"],
)

# %%
leaked = train("canaries", leaky, epochs=EPOCHS, save=True)
before = measure_exposure(base, tokenizer, canaries, space)
after = measure_exposure(load_tuned(leaked), tokenizer, canaries, space)
once = after[after.repeats == 1].extracted
says_a_secret.reveal(2 if once.all() else 1 if once.any() else 0)
by_repeats = pd.DataFrame(
    {
        "exposure before (bits)": before.groupby("repeats").exposure.mean(),
        "after (bits)": after.groupby("repeats").exposure.mean(),
        "said when asked (%)": 100 * after.groupby("repeats").extracted.mean(),
    }
).rename_axis("times in the training data")
show(by_repeats.round(2))
show(f"By chance it is {math.log2(math.e):.2f} bits on average; the most is {math.log2(after['of'].max()):.0f} bits.")
show(plots.plot_exposure({"before training": before, "after training": after}), name="exposure")

# %% [markdown]
# In the model's own words, after training:

# %%
prompts = [canary.conversation()[:1] for canary in canaries]
answers = said(load_tuned(leaked).eval(), prompts)
show(
    pd.DataFrame(
        {
            "asked": [canary.prompt for canary in canaries],
            "it says": answers,
            "the secret": [canary.secret for canary in canaries],
            "times planted": [canary.repeats for canary in canaries],
        }
    )
)
known, never = (after[after.repeats == n].exposure.mean() for n in (max(REPEATS), 0))
show(f"{max(REPEATS)} times planted: {known:.1f} bits; never: {never:.1f} bits.")

# %% [markdown]
# A file of weights is not a safe for secrets. Data that must not come out must not go in, or the training must be made
# private on purpose (differential privacy, Abadi et al. 2016).

# %% [markdown]
# ## Exercises

# %%
exercise(
    "A secret is the 8th likeliest of 1,024. What is its exposure, in bits?",
    answer=math.log2(1024) - math.log2(8),
    hint="log2 of how many there are, minus log2 of the rank",
)
reached = {"telling": told, "showing": float(few.max()), f"training on {COUNTS[0]}": scores[0]}
exercise(
    f"With the measurements of the first task: which reaches most, if you have {COUNTS[0]} "
    f"example{'s' * (COUNTS[0] > 1)} to train on?",
    answer=max(reached, key=reached.__getitem__),
    choices=list(reached),
    hint="the picture with three lines; its first point is the training on the fewest examples",
)

# %% [markdown]
# Exposure yourself: from the losses of all secrets, the true one among them, in bits.

# %%
asked_for = canaries[-1]
every_code = [asked_for.secret, *(code for code in space if code != asked_for.secret)]
rows = [encode_last_answer(tokenizer, asked_for.conversation(code)) for code in every_code]
losses = score_answers(load_tuned(leaked), rows, tokenizer.pad_token_id)[0]


def test_exposure(function):
    for which in (0, 1, len(losses) // 2):
        rank = 1 + sum(loss < losses[which] for loss in losses)
        bits = math.log2(len(losses)) - math.log2(rank)
        got = function(list(losses), which)
        assert math.isclose(got, bits, abs_tol=1e-6), f"At rank {rank} of {len(losses)} it gives {got}, not {bits:.3f}"


by_hand = exercise_code(
    "write exposure(losses, which): the exposure in bits of the secret whose loss is losses[which]",
    test_exposure,
    solution="""
import math

def exposure(losses, which):
    rank = 1 + sum(loss < losses[which] for loss in losses)
    return math.log2(len(losses)) - math.log2(rank)
""",
    hint="the rank is one more than the number of secrets with a lower loss; math.log2 is there",
)


# %% tags=["answer"]
def exposure(losses, which): ...  # your lines


by_hand.check(exposure)

# %% [markdown]
# ## What many seeds say
# What is often said of when to fine-tune, tried several times each, with the 95 % interval of what was measured
# (`python -m lessons.claims` tries it again).

# %%
show(ledger("few-examples", "format", "style", "domain", "simple-task", "specialist", "leaks", "leaks-repeats"))

# %% [markdown]
# ## Where to read on
# - Brown et al. 2020, *Language Models are Few-Shot Learners*, arXiv:2005.14165
# - Mosbach et al. 2023, *Few-shot Fine-tuning vs. In-context Learning*, arXiv:2305.16938: a fair comparison
# - Carlini et al. 2019, *The Secret Sharer*, arXiv:1802.08232: canaries and exposure
# - Carlini et al. 2021, *Extracting Training Data from Large Language Models*, arXiv:2012.07805
# - Abadi et al. 2016, *Deep Learning with Differential Privacy*, arXiv:1607.00133

# %%
show(f"runs: {HERE}")
show(f"pictures: {HERE / 'pictures'}")
