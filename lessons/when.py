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
# There are four ways to get something new out of a model: *tell* it (an instruction in the prompt), *show* it (a few
# examples in the prompt), *look it up* for it (the record that holds the answer, in the prompt: retrieval), or *train*
# it (fine-tuning on examples). The first three leave the weights alone, but they are paid for on every call: each token
# of a longer prompt takes time, money, and room in the context. Training is paid for once. So when is it worth it?
#
# Afterwards you will be able to answer
#
# - How do telling, showing and training compare on one task as examples are added, and do the lines cross?
# - Which of the usual reasons (knowledge, domain, style, format) needs training, and what else would do?
# - What does training give, and take, on a task that the model can do in part already?
# - How much of a secret in the training data comes out again, and how is that measured?
#
# Nothing here is prepared: the model is a real one, small enough to be trained while you watch, and every number and
# picture below was measured on your machine a moment before you see it.

# %% tags=["hide-input"]
from lessons.teaching.walk import begin

begin(__name__, lesson="when", place=1)

# %% tags=["hide-input"]
import math

import pandas as pd

from engine.data import Conversations, load
from engine.evaluate import encode_last_answer, generate_answers, last_answer, score_answers
from engine.evaluate.exposure import draw_canaries, draw_codes, measure_exposure, plant
from engine.evaluate.metrics import json_with, score
from engine.evaluate.prompting import brackets, measure_prompts, shown, told
from engine.evaluate.tokens import losses_of_model
from engine.measure.matched import overtaken
from engine.measure.shares import exposure_by_chance, newcombe
from engine.models import load_model, load_tokenizer, load_tuned
from engine.reading import parse_json
from engine.training.finetune import finetune
from engine.training.methods import Full
from lessons.teaching.register import asked_of, draw_register, taught, traded
from lessons.teaching.stage import (
    answer_length,
    conclude,
    current,
    exercise,
    exercise_code,
    is_own,
    ledger,
    model,
    new_skill,
    old_skills,
    predict,
    show,
    task_of,
)
from visualize import plots

QUICK = current().quick
OURS = model() == "embedded"  # of another model nobody here knows what it was taught
HERE = current().folder
HELD_OUT = 16 if QUICK else 60
base, tokenizer = load_model(model()), load_tokenizer(model())


def heldout_of(name):
    """A task with as many held-out questions as this lesson asks."""
    task = task_of(name, graded=True)
    return Conversations(task.name, task.train, task.heldout[:HELD_OUT])


def train(name, task, examples=None, graded=1, **settings):
    """Full fine-tuning on the first so many examples of a task; graded: questions of each old skill that are asked."""
    part = Conversations(task.name, task.train[:examples], task.heldout)
    settings = {"batch_size": min(16, len(part.train)), "evaluate_at": 1, "save": False, **settings}
    settings = {"every": 10_000, "answers": False, "checkpoint": None, "progress": False, **settings}
    graded = graded if OURS else 0
    run = finetune(model(), part, Full(), out=HERE / name, skills=graded, seed=current().seed, **settings)
    scores = new_skill(run, graded=True)
    show(f"{name}: {len(part.train)} examples, {run.info.steps} steps, {scores.iloc[0]:.0%} -> {scores.iloc[-1]:.0%}")
    return run


# %% [markdown]
# ## Told, shown, or trained: one task
# The task: answer questions (capitals, plurals, French words), but in square brackets. Some questions are held out, and
# no way of teaching sees those.

# %%
task = brackets(heldout=HELD_OUT, seed=current().seed)
ORDER = "Answer in brackets."
question = task.heldout[0][0]["content"]
prompts = [[{"role": "user", "content": text}] for text in (question, f"{ORDER} {question}")]
show(
    pd.DataFrame(
        {"asked": [p[0]["content"] for p in prompts], "it says": generate_answers(base, tokenizer, prompts, 16)}
    )
)

# %%
OFTEN, SOMETIMES, HARDLY = "nearly always: 90 % or more", "sometimes: 10 to 90 %", "hardly ever: below 10 %"


def in_words(share):
    return OFTEN if share >= 0.9 else SOMETIMES if share >= 0.1 else HARDLY


how_often_told = predict(
    f"told {ORDER!r}, how often is the answer exactly right, brackets and all?",
    {
        OFTEN: f"the model {'was taught to follow' if OURS else 'follows'} this very order, and it knows the facts: "
        "nothing new is asked of it.",
        SOMETIMES: "it needs two things at once, the fact and the form, and one of them is not always there.",
        HARDLY: "a model follows the orders that it was trained to follow; this one is not among them.",
    },
)
how_often_shown = predict(
    "shown four examples in the prompt, and not told anything?",
    {
        OFTEN: "it was trained to go on as a prompt begins, so four examples are as good as an order.",
        SOMETIMES: "it was trained to go on as a prompt begins, but on other patterns than this one.",
        HARDLY: "learning from examples in the prompt is itself learned, in pretraining, on patterns like it, and this "
        "pattern was not among them. Large models have seen more patterns.",
    },
)

# %%
SHOTS = (0, 1, 2, 4) if QUICK else (0, 1, 2, 4, 8)
in_order = measure_prompts(base, tokenizer, [told(ORDER, asked) for asked in task.heldout])
how_often_told.reveal(in_words(in_order.exact))
pair = [[*prompt, task.heldout[0][-1]] for prompt in prompts]
surprise = losses_of_model(base, tokenizer, pair)
show(plots.plot_tokens(surprise, row=0), name="asked")
show(plots.plot_tokens(surprise, row=1), name="told")

# %% [markdown]
# The pictures are one question with the answer that is wanted, without the order and with it: under each token how
# surprised the model is by it (its loss, nats). What is underlined is the answer; there the order has to be felt.

# %%
few = {k: measure_prompts(base, tokenizer, shown(task, k)) for k in SHOTS}
how_often_shown.reveal(in_words(few[4].exact))
ways = {"asked": few[0], "told": in_order, **{f"shown {k}": found for k, found in few.items() if k}}
show(
    pd.DataFrame(
        {
            "exactly right": [f"{one.exact:.0%}" for one in ways.values()],
            "tokens read, for each question": [one.tokens for one in ways.values()],
            "times the bare question": [one.tokens / few[0].tokens for one in ways.values()],
        },
        index=pd.Index(ways, name="prompt"),
    ).round(1)
)

# %% [markdown]
# That is the price of a prompt: every call reads those tokens again (a cache of the prompt's beginning saves some of
# the time, none of the room). Now the same task by fine-tuning, each time from the base, on more and more examples.

# %%
COUNTS = (4, 32) if QUICK else (1, 4, 8, 32, 128)
best_shown = max(found.exact for found in few.values())
examples_needed = predict(
    f"from how many examples on is fine-tuning clearly above the best that showing reaches ({best_shown:.0%})?",
    {
        "from 32 or fewer": "a form needs few examples: the knowledge is there, and only how it is said has to move.",
        "from 33 to 128": "fewer are learned by heart, as whole answers, before the form is seen to be common to all.",
        "not with these numbers of examples": "so few steps on so few examples move the weights too little, or wear "
        "down the facts that the answers need.",
    },
)

# %%
tuned = [train(f"brackets-{n}", task, n, steps=6 if QUICK else 30) for n in COUNTS]
scores = [float(new_skill(run, graded=True).iloc[-1]) for run in tuned]
graded = int(tuned[-1].graded[task.name].iloc[-1])  # questions behind each of these scores


def overtakes(level):
    """Between which numbers of examples fine-tuning comes to be above a prompt's score, by more than chance."""
    return overtaken(COUNTS, scores, graded, level, len(task.heldout))


low, high = overtakes(best_shown)
if best_shown > 0.95:
    examples_needed.withhold(f"showing reaches {best_shown:.0%}: there is no room above it.")
elif low == COUNTS[-1]:
    examples_needed.reveal("not with these numbers of examples")
elif high <= 32 or 32 <= low < high < math.inf:
    examples_needed.reveal(0 if high <= 32 else 1)
else:
    enough = f"it is with {high}, but whether with fewer" if high < math.inf else f"whether it is with {COUNTS[-1]}"
    examples_needed.withhold(f"{enough}, {graded} questions cannot tell.")


def crosses(level, what):
    if level > 0.95:
        return f"{what} reaches {level:.0%}: there is no room above it, so no number of examples is the answer."
    low, high = overtakes(level)
    what = f"what {what.lower()} reaches, {level:.0%},"
    below = f"with {'up to ' * (low > COUNTS[0])}{low} it is clearly below"
    if low == COUNTS[-1]:
        return f"Fine-tuning does not get above {what} with these numbers of examples."
    if high == math.inf:
        return f"Whether fine-tuning gets above {what} {graded} questions cannot tell{f'; {below}' if low else ''}."
    if high == COUNTS[0]:
        return f"Fine-tuning is clearly above {what} already with {high}, the fewest that were tried."
    return f"Fine-tuning is clearly above {what} from {high} examples on{f'; {below}' if low else ''}."


conclude(
    crosses(best_shown, "Showing"),
    crosses(in_order.exact, "Telling"),
)
lines = {"shown": pd.Series({k: found.exact for k, found in few.items()}), "told": in_order.exact}
show(plots.plot_crossing(tuned, asked=len(task.heldout), **lines), name="brackets")

# %% [markdown]
# ## Four reasons that are given for fine-tuning
# - **Knowledge**: facts that the model has never seen. The other answer is retrieval: find the record, put it into the
#   prompt. It can be corrected in a minute, and it can say where an answer comes from.
# - **Domain**: a field's own words and habits (medicine, law, your company's products). More than a few facts, less
#   than a language; retrieval helps as far as an answer stands in one place.
# - **Style**: a tone, a length, a voice. Telling does it as far as the words for it exist and were learned.
# - **Format**: answers for a program to read. Telling, or decoding that allows nothing else, may be enough.
#
# First knowledge: a register of who has what, drawn by lot, so nobody can know it. It may be looked up: the line that
# names the thing is put before the question. Or it may be trained, in other words than the question's.

# %%
REGISTER = draw_register(10 if QUICK else 20, current().seed)
owning = taught(REGISTER)
first = next(iter(REGISTER))
show(pd.DataFrame({"looked up": [asked_of(REGISTER, True)[0][0]["content"]], "right is": [REGISTER[first]],
                   "trained on": [owning.train[0][0]["content"]]}))  # fmt: skip
when_things_change = predict(
    "then half of the things change hands, and the register is corrected. Which way still gives right answers?",
    {
        "looking up": "it reads the register as it now is. What it needs is a model that can read: the answer stands "
        "in the prompt.",
        "training": "the weights hold the register as it was on the day of the training; they are corrected by "
        "training again.",
        "neither": "a model that was not taught to read an answer out of a prompt does not find it there either.",
        "both": "the weights would have to know what happened after their training.",
    },
)

# %%
owned = train("register", owning, steps=8 if QUICK else 100, graded=2, save=True)
NOW = traded(REGISTER)
trained = load_tuned(owned).eval()
ways = {
    "asked": (base, False),
    "looked up": (base, True),
    "trained": (trained, False),
}
right_by_way = {
    way: [measure_prompts(network, tokenizer, asked_of(register, lookup)) for register in (REGISTER, NOW)]
    for way, (network, lookup) in ways.items()
}
good = [way for way in ("looked up", "trained") if right_by_way[way][1].exact > 0.8]
if right_by_way["looked up"][0].exact < 0.8 and right_by_way["trained"][0].exact < 0.8:
    when_things_change.withhold("neither way knew the register as it was.")
else:
    when_things_change.reveal(
        "both" if len(good) == 2 else "neither" if not good else "looking up" if good == ["looked up"] else "training"
    )
show(
    pd.DataFrame(
        [(f"{as_it_was.exact:.0%}", f"{now.exact:.0%}", now.tokens) for as_it_was, now in right_by_way.values()],
        columns=["right, the register as it was", "right, as it now is", "tokens read"],
        index=pd.Index(right_by_way, name=f"{len(REGISTER)} things"),
    ).round(1)
)

# %% [markdown]
# ## A format that the model does not know
# Now answers as JSON with fixed keys, for a program to read. Telling works where the model was taught to follow that
# order. Was it? (Data of your own takes the place of the lesson's where its answers are JSON.)

# %%


def keys_of(task):
    """The keys that all answers of a task have, as JSON objects; none where one is no such object."""
    texts = [both[1] for both in map(last_answer, [*task.heldout, *task.train]) if both]
    if not texts or score(texts, texts, ["json"])["json"].value < 1:
        return []
    first, *others = map(parse_json, texts)
    return [key for key in first if all(key in one for one in others)]


task = heldout_of("json")
KEYS = keys_of(task)
if not KEYS:
    own = load("json")
    task = Conversations(own.name, own.train, own.heldout[:HELD_OUT])
    KEYS = keys_of(task)
task = Conversations(task.name, task.train, [talk for talk in task.heldout if last_answer(talk)])
JSON_ORDER = "Answer as JSON."
LENGTH = answer_length(tokenizer, task)
questions, right = zip(*map(last_answer, task.heldout), strict=True)


def said(network, prompts):
    return generate_answers(network, tokenizer, prompts, LENGTH)


ways = {
    "told": said(base, [told(JSON_ORDER, q) for q in questions]),
    "shown four examples": said(base, [last_answer(talk)[0] for talk in shown(task, 4)]),
}
show(pd.DataFrame({"asked": [q[-1]["content"] for q in questions], **ways}).head(3))

# %%
MORE = sorted({min(n, len(task.train)) for n in ((16, 64) if QUICK else (4, 16, 64, 256))})
FEW = min(16, len(task.train))
valid_json = predict(
    f"trained on {FEW} examples, how often is the answer valid JSON (whether right or wrong)?",
    {
        OFTEN: "a form is common to all examples, so a few of them, seen often, are enough for it.",
        SOMETIMES: "one wrong character breaks it: a form of many characters takes more steps than one of two "
        "brackets.",
        HARDLY: "with so few examples the answers were learned by heart, or hardly at all: other questions get "
        "neither.",
    },
)

# %%
by_count = [train(f"json-{n}", task, n, steps=8 if QUICK else 80, save=True) for n in MORE]
ways |= {f"trained on {n}": said(load_tuned(run).eval(), questions) for n, run in zip(MORE, by_count, strict=True)}
found = {way: score(answers, right, ["json", json_with(*KEYS), "exact"]) for way, answers in ways.items()}
formats = pd.DataFrame(
    {
        "valid JSON (%)": [100 * s["json"].value for s in found.values()],
        f"with {' and '.join(KEYS)} (%)": [100 * s[f"json ({', '.join(KEYS)})"].value for s in found.values()],
        "exactly right (%)": [100 * s["exact"].value for s in found.values()],
        "95 % interval": [f"{100 * s['exact'].low:.0f} to {100 * s['exact'].high:.0f}" for s in found.values()],
    },
    index=pd.Index(found, name=f"{len(right)} held-out questions"),
).round(1)
valid_json.reveal(in_words(found[f"trained on {FEW}"]["json"].value))
show(formats)

# %% [markdown]
# A large model has seen JSON, and many a style, and follows those orders. The question stays the same: measure first
# what telling and showing reach, on your own task, with your own model.

# %% [markdown]
# ## A task that it can do in part
# Sums up to 198, where the base was taught those below 100; of your own data, what your model has right already, and
# the rest. Somebody fine-tunes it on all of them.

# %%
adding = heldout_of("adding")
if is_own():  # what another model was taught, or of other data, nobody knows: what it has right
    rows = [encode_last_answer(tokenizer, c) for c in adding.heldout]
    had = score_answers(base, rows, tokenizer.pad_token_id)[1]
else:
    had = [int(c[-1]["content"]) < 100 for c in adding.heldout]
KNOWN, NEW = ([c for c, ok in zip(adding.heldout, had, strict=True) if bool(ok) is kind] for kind in (True, False))
BETTER, AS_WELL, WORSE = "clearly better", "no difference that these questions could show", "clearly worse"
better = {BETTER: "what it learns about the new ones serves the old ones, too: it is one skill."}
better = {} if is_own() else better  # of what is all right already nothing can become better
of_kind = "right already" if is_own() else "of the kind that it knew"
what_became = predict(
    f"of the held-out questions {len(KNOWN)} are {of_kind}. How are those answered after training on all kinds?",
    {
        **better,
        AS_WELL: "the training data holds their kind, so it is asked for them all the time: rehearsal keeps them.",
        WORSE: "the weights that gave them are moved by the new ones, and a short training does not bring them back.",
    },
)

# %%
summed = train("adding", adding, graded=2, steps=8 if QUICK else 120, save=True)

after = load_tuned(summed).eval()
kinds = {name: asked for name, asked in (("knew", KNOWN), ("new", NEW)) if asked}
parts = pd.DataFrame(
    {
        when: [100 * measure_prompts(one, tokenizer, asked).exact for asked in kinds.values()]
        for when, one in (("before (%)", base), ("after (%)", after))
    },
    index=pd.Index([f"{name} ({len(asked)} questions)" for name, asked in kinds.items()], name=adding.name),
).round(1)
if KNOWN:
    then, now = (share / 100 * len(KNOWN) for share in parts.iloc[0])
    low, high = newcombe(now, len(KNOWN), then, len(KNOWN))
    what_became.reveal(BETTER if low > 0 else WORSE if high < 0 else AS_WELL)
else:
    what_became.withhold("it knew none of them.")
show(parts)
old = old_skills(summed).drop(columns="sum", errors="ignore").mean(axis=1).dropna()
if len(old):
    show(f"All other skills, mean: {old.iloc[0]:.0%} before, {old.iloc[-1]:.0%} after: the price, if there is one.")

# %% [markdown]
# ## Private data
# What is in the training data may come out of the model again. To see how much, plant *canaries*: invented secrets,
# some of them several times, some never (to compare with chance). Afterwards ask: among many codes of the same form, at
# which rank of likelihood is the true one? `exposure = log2 |R| - log2 rank`, in bits (Carlini et al. 2019): 0 for the
# last of all, log2 |R| for the first.

# %%
REPEATS = (0, 1, 4, 16)
canaries = draw_canaries((count for count in REPEATS for _ in range(2 if QUICK else 3)), seed=current().seed)
space = draw_codes(63 if QUICK else 255, seed=1)
leaky = Conversations(
    f"{task.name} and canaries", [*task.train[: 60 if QUICK else 400], *plant(canaries)], task.heldout
)
show(pd.DataFrame(canaries).groupby("repeats").head(1))
EPOCHS = 1 if QUICK else 4
says_a_secret = predict(
    f"trained for {EPOCHS} epoch{'s' * (EPOCHS > 1)} on all of it: does the model, asked, say a secret that stood "
    "there once?",
    {
        "none of them": "a secret that stands there once is seen once an epoch: it grows likelier, but another answer "
        "is still the likeliest. Likelier is what exposure sees and the answer does not.",
        "some of them": "a few passes are enough for some: what is like nothing else is learned by heart first.",
        "all of them": "a model that is trained long enough on little data says it all by heart.",
    },
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
codes = int(after["of"].max())
most = math.log2(codes)
by_chance = exposure_by_chance(codes)
show(f"By chance it is {by_chance:.2f} bits on average; the most that this measure can say is {most:.0f} bits.")
show(plots.plot_exposure({"before training": before, "after training": after}), name="exposure")

# %% [markdown]
# A file of weights is not a safe for secrets. Data that must not come out must not go in, or the training must be made
# private on purpose (differential privacy, Abadi et al. 2016).

# %% [markdown]
# ## Exercises
# The second and third are experiments that this project once made, and then withdrew.

# %%
exercise(
    "A secret is the 8th likeliest of 1,024. What is its exposure, in bits?",
    answer=math.log2(1024) - math.log2(8),
    hint="log2 of how many there are, minus log2 of the rank",
)
exercise(
    "What is wrong with this experiment? 'Fine-tuning gives a style beyond what prompting gives': over 40 trials the "
    "prompt scored 0 % each time, fine-tuning nearly 100 %, so the sentence holds.",
    answer="the prompt could not win: the model was never taught words for that style",
    choices=[
        "40 trials are too few",
        "the prompt could not win: the model was never taught words for that style",
        "0 % and 100 % are not significantly different",
    ],
    hint="Could it have come out otherwise? What would prompting have needed?",
    why="An arm that is at its floor whatever happens says nothing of the other. Give prompting a task that it can do.",
)
exercise(
    "And with this? 'With few examples, a prompt beats fine-tuning': with four examples of JSON answers the prompt was "
    "right 0.2 points less often (95 %: -0.7 to 0.3), so the sentence does not hold.",
    answer="floor against floor: nearly no answer was right in either way, so nothing was compared",
    choices=[
        "floor against floor: nearly no answer was right in either way, so nothing was compared",
        "the learning rate should have been higher for prompting",
        "it should have been tried with one seed",
    ],
    hint="What is the largest difference that could have been seen?",
    why="A difference can only show where there is room for it. A ledger should say 'floor' there, and not 'no'.",
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
show(ledger("few-examples", "format", "domain", "specialist", "form-first", "leaks", "leaks-repeats"))

# %% [markdown]
# ## Where to read on
# - Brown et al. 2020, *Language Models are Few-Shot Learners*, arXiv:2005.14165
# - Mosbach et al. 2023, *Few-shot Fine-tuning vs. In-context Learning*, arXiv:2305.16938: a fair comparison
# - Lewis et al. 2020, *Retrieval-Augmented Generation for Knowledge-Intensive NLP Tasks*, arXiv:2005.11401
# - Ovadia et al. 2023, *Fine-Tuning or Retrieval?*, arXiv:2312.05934
# - Carlini et al. 2019, *The Secret Sharer*, arXiv:1802.08232: canaries and exposure
# - Carlini et al. 2021, *Extracting Training Data from Large Language Models*, arXiv:2012.07805
# - Abadi et al. 2016, *Deep Learning with Differential Privacy*, arXiv:1607.00133

# %%
show(f"runs: {HERE}")
show(f"pictures: {HERE / 'pictures'}")
