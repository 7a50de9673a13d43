# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Data: from records to what is learned
#
# A fine-tuning learns what its examples show, and nothing says so louder than the tokens that it is graded on. Here a
# record is followed to its last token; then the data is spoilt, thinned and unmasked, and each time the model is
# trained and asked.
#
# Afterwards you will be able to answer
#
# - In which forms are instructions and conversations kept, and which of them does a model read?
# - What does a chat template add, and what is a model worth without it?
# - Which tokens are learned, and what does masking the prompt change?
# - What do wrong answers in the data cost, and does more data make up for them?
# - How many examples were enough here, and how does one find that out for one's own data?

# %% tags=["hide-input"]
from lessons.teaching.walk import begin

begin(__name__, lesson="data", place=6)

# %% tags=["hide-input"]
import random

import numpy as np
import pandas as pd

from engine.data import IGNORE, Conversations, Encoded, encode, load, with_template
from engine.data.noise import with_wrong_answers
from engine.data.report import report
from engine.evaluate import OPEN_ENDED, curriculum_groups, encode_last_answer, last_answer, score_answers
from engine.evaluate.tokens import losses_of_model, piece, token_losses
from engine.measure.shares import newcombe, weighted
from engine.models import load_model, load_tokenizer
from engine.training.finetune import finetune
from engine.training.methods import Full
from lessons.teaching.stage import (
    current,
    data,
    exercise,
    exercise_code,
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

# %% [markdown]
# ## Four forms, one conversation
# The same question and answer, as the field keeps it: Alpaca's instruction, OpenAI's messages, ShareGPT's
# conversations, TRL's prompt and completion.

# %%
forms = {
    "Alpaca": {"instruction": "Translate to Spanish:", "input": "dog", "output": "perro"},
    "messages": {
        "messages": [
            {"role": "user", "content": "Translate to Spanish: dog"},
            {"role": "assistant", "content": "perro"},
        ]
    },
    "ShareGPT": {
        "conversations": [
            {"from": "human", "value": "Translate to Spanish: dog"},
            {"from": "gpt", "value": "perro"},
        ]
    },
    "prompt, completion": {"prompt": "Translate to Spanish: dog", "completion": "perro"},
}
read = {form: load([record]).train[0] for form, record in forms.items()}
for form, talk in read.items():
    show(f"{form}: {list(talk)}")
assert len({str(list(talk)) for talk in read.values()}) == 1, "four forms, one conversation"

# %% [markdown]
# ## The template
# A model reads neither roles nor records, only one row of tokens. The *chat template* turns a conversation into that
# row, with special tokens where a turn begins and ends. It is part of the model: a program in its tokenizer's files.

# %%
base = load_model(model())
tokenizer = with_template(load_tokenizer(model()))
talk = read["messages"]
text = tokenizer.apply_chat_template(list(talk), tokenize=False)
row = encode(tokenizer, talk)
show(repr(text), f"{len(row.ids)} tokens: " + "  ".join(repr(piece(tokenizer, token)) for token in row.ids))

# %% [markdown]
# Leave it out, and give the model the bare words of questions that it can answer.

# %%
without_template = predict(
    "Without the template, of the questions that it answers rightly with it, how many will it still get right?",
    {
        "nearly all": "a model that has also read much plain text goes on from bare words as well.",
        "more than half": "the words of a question say a good deal, but where the answer begins is not said.",
        "less than half": "in its training every answer came after the special tokens: they have become part of every "
        "question.",
        "hardly any": "it was trained on conversations alone: without their tokens it has never seen such a text."
        if model() == "embedded"
        else "the special tokens say where an answer begins; without them another text goes on.",
    },
    exact=True,
)

# %%
task = task_of("spanish", graded=True)
if model() == "embedded":
    groups = curriculum_groups(4 if QUICK else 12).items()
    known = [talk for skill, talks in groups if skill not in OPEN_ENDED for talk in talks]
else:
    known = [talk for talk in task.heldout or task.train if last_answer(talk)][:100]


def bare(talk):
    """Question and answer as bare words; the answer's tokens, and the end after it, are graded."""
    asked, answer = last_answer(talk)
    prompt = tokenizer(asked[-1]["content"], add_special_tokens=False)["input_ids"]
    reply = [*tokenizer(f" {answer}", add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    return Encoded(prompt + reply, [IGNORE] * len(prompt) + reply)


_, right, _ = score_answers(base, [encode_last_answer(tokenizer, talk) for talk in known], tokenizer.pad_token_id)
_, still, _ = score_answers(base, [bare(talk) for talk in known], tokenizer.pad_token_id)
kept = sum(a and b for a, b in zip(right, still, strict=True)) / max(1, sum(right))
if sum(right):
    without_template.reveal(0 if kept > 0.9 else 1 if kept > 0.5 else 2 if kept > 0.1 else 3)
else:
    without_template.withhold("with the template none was right, so there was none to lose.")
show(f"With the template {sum(right)} of {len(known)} answers are right; without it {sum(still)}.")

# %% [markdown]
# ## What is learned
# In training, the loss is taken of the assistant's tokens alone: the prompt is *masked*. It is read, but the model is
# not asked to have predicted it. In a conversation of several turns every answer is learned.

# %%
several = [
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "Paris"},
    {"role": "user", "content": "What is 23 + 45?"},
    {"role": "assistant", "content": "68"},
]
turns = encode(tokenizer, several)
show("  ".join(
    f"[{piece(tokenizer, token).strip()}]" if label != IGNORE else piece(tokenizer, token).strip()
    for token, label in zip(turns.ids, turns.labels, strict=True)
))  # fmt: skip
show("In brackets: what is learned.")
exercise(
    "How many tokens of this conversation are learned?",
    answer=turns.trained,
    hint="count the brackets; the token that ends an answer is learned, too",
)

# %% [markdown]
# What is the loss of a whole record, then? Here are the losses of a real record's tokens under the base (in the
# picture, what is learned is underlined), and their labels: the token itself where it is learned, -100 where it is
# not.

# %%
record = next(talk for talk in task.train if last_answer(talk))
graded = encode(tokenizer, record)
surprise = losses_of_model(base, tokenizer, [record])
show(plots.plot_tokens(surprise), name="record")
losses = surprise.loss.to_numpy()[1:]
labels = np.array(graded.labels[1:])  # the first token is predicted by nothing
expected = losses[labels != IGNORE].mean()


def tried(function):
    assert np.isclose(function(losses, labels), expected), "another number than training computes"
    assert np.isclose(function(losses, np.roll(labels, 1)), losses[np.roll(labels, 1) != IGNORE].mean())


asked = exercise_code(
    "Given the losses of all tokens and their labels, return the loss that training minimises.",
    test=tried,
    solution="def loss_of(losses, labels):\n    return losses[labels != -100].mean()",
    hint="the mean over the tokens whose label is not -100",
)


# %% tags=["answer"]
def loss_of(losses, labels):
    # your lines here
    ...


asked.check(loss_of)

# %% [markdown]
# ## Look before you train
# A careful person reads a data set first: what is in it twice, what contradicts itself, and does the held-out part
# stand in the training part? `python -m engine.data my.jsonl` prints this and more.

# %%
found = report(data("spanish"), tokenizer, seed=current().seed)
show(
    pd.DataFrame(
        {
            "training examples": [found.train],
            "held out": [found.heldout],
            "tokens, median": [int(np.median(found.lengths))],
            "of them learned": [int(np.median(found.answers))],
            "said twice": [len(found.duplicates)],
            "contradictions": [len(found.contradictions)],
            "held-out questions in training": [len(found.overlap)],
        }
    ).T.rename(columns={0: "number"}).rename_axis("data")
)  # fmt: skip

# %% [markdown]
# ## Masking, on and off
# Now two trainings that differ in nothing but this: in the first the prompt is masked, in the second the model must
# also learn to predict the questions.

# %%
UNSEEN = "no difference that these questions could show"
which_mask = predict(
    "Which of the two answers more held-out questions, after as many steps?",
    {
        "prompt masked": "all of the gradient goes into the answers, none into guessing what will be asked.",
        "prompt learned, too": "where answers are short, the questions' words are more to learn the field's language "
        "from (Shi et al. 2024).",
        UNSEEN: "the questions' tokens add a gradient of their own, which need not stand in the way of the answers'; "
        "and a few dozen questions can only show a large difference.",
    },
)

# %%
STEPS, BATCH = (12, 8) if QUICK else (80, 32)
TASK = task.name
order = random.Random(0).sample(task.train, len(task.train))


def train(name, records, **settings):
    return finetune(
        model(), Conversations(TASK, records, task.heldout), Full(), out=HERE / name, steps=STEPS, batch_size=BATCH,
        learning_rate=2 * rate("full"), skills=0, every=STEPS, evaluate_at=1, save=False, seed=current().seed,
        **settings,
    )  # fmt: skip


masked = train("masked", order)
unmasked = train("unmasked", order, mask_prompts=False)
n = int(masked.graded[masked.task].iloc[-1])  # held-out questions that it was graded on


def share(run):
    """Held-out answers exactly right, in per cent, after training."""
    return 100 * float(new_skill(run, graded=True).iloc[-1])


def gain(a, b):
    """By how many points a is better than b, and between which values other questions would put it (95 %)."""
    low, high = (100 * end for end in newcombe(share(a) / 100 * n, n, share(b) / 100 * n, n))
    return share(a) - share(b), low, high


def no_room(*runs):
    """Why these runs cannot be told apart by their right answers, if so."""
    scores = [share(run) for run in runs]
    if min(scores) > 95:
        return "all are above 95 %: there is no room above them in which to differ."
    return "none has learned the task: all are below 5 %." if max(scores) < 5 else ""


# %%
gained, low, high = gain(masked, unmasked)
if why := no_room(masked, unmasked):
    which_mask.withhold(why)
else:
    which_mask.reveal("prompt masked" if low > 0 else "prompt learned, too" if high < 0 else UNSEEN)
show(
    f"Masked minus unmasked: {gained:+.1f} points; other questions would say between {low:+.0f} and {high:+.0f} (95 %)"
)
show(
    pd.DataFrame(
        {
            "held out, right (%)": [share(run) for run in (masked, unmasked)],
            "held out, loss": [run.skill_losses[TASK].iloc[-1] for run in (masked, unmasked)],
            "tokens learned a record": [found.answers.mean(), found.lengths.mean() - 1],
        },
        index=pd.Index(["prompt masked", "prompt learned, too"], name="training"),
    )
)
if any(map(masked.is_sketched, masked.modules)):
    show("No picture of its tokens: a large model's run keeps sketches, and from those no model can be made again.")
else:
    losses = token_losses(masked, [talk for talk in task.heldout if last_answer(talk)][:1])
    show(plots.plot_tokens(losses), name="tokens")

# %% [markdown]
# The picture is a record that was held out, token by token, before and after the masked training: what is underlined
# was graded, the rest was left to itself.

# %% [markdown]
# ## Quality or quantity?
# Now the data is spoilt, in a way that is stated: of half of the records the answer is exchanged for another record's.
# Form, length and words are as before; only right it is no more. Then a third of the data, clean, is set against all of
# it, spoilt. Each training takes as many steps, so each record of the smaller set is seen three times as often: that is
# how people with little data train, but it is a second difference. Keep it in mind.

# %%
WRONG = 0.5
sizes = [len(order) // 9, len(order) // 3, len(order)]
which_records = predict(
    f"Which teaches more: {sizes[1]} clean records, or {sizes[2]} of which {WRONG:.0%} are wrong?",
    {
        f"{sizes[1]} clean": "a wrong answer pulls as hard as a right one, and elsewhere; and clean records are seen "
        "more often in as many steps.",
        f"{sizes[2]} noisy": "wrong answers contradict each other and right ones agree, so over many records the right "
        "ones win; and there are more of them.",
        UNSEEN: "both hold enough right records for this task, or neither does.",
    },
)

# %%
clean = [train(f"clean-{size}", order[:size]) for size in sizes[:2]] + [masked]
noisy = [train(f"noisy-{size}", with_wrong_answers(order[:size], WRONG, seed=1)) for size in sizes[1:]]
gained, low, high = gain(clean[1], noisy[1])
if why := no_room(clean[1], noisy[1]):
    which_records.withhold(why)
else:
    which_records.reveal(0 if low > 0 else 1 if high < 0 else 2)
show(f"Clean third minus noisy whole: {gained:+.1f} points; other questions: {low:+.0f} to {high:+.0f} (95 %)")
shown = pd.DataFrame.from_dict(
    {
        f"{run.examples} {kind}": {"right (%)": share(run), "loss": run.skill_losses[TASK].iloc[-1]}
        for kind, runs in (("clean", clean), ("half wrong", noisy))
        for run in runs
    },
    orient="index",
).rename_axis("trained on")
right_ones = sizes[2] - round(WRONG * sizes[2])
show("On what was held out:", shown)
show(f"(The noisy whole still holds {right_ones} right records, beside {sizes[1]} in the clean third.)")

# %% [markdown]
# This is one kind of noise: mistakes that contradict each other, and the right answers beside them. What mistakes do
# that all go the same way was not tried here. How would you make such a set, and what do you expect?

# %% [markdown]
# ## How many are enough?
# The same runs as a curve: held-out answers against the number of records.

# %%
NEITHER = "neither brought anything that these questions could show"
which_step_up = predict(
    "From the smallest clean set to the middle one, and from there to all of it: which step brought more?",
    {
        "the first": "what all records share (how to answer, which language) is learned from the first; and nearer the "
        "ceiling there is less left to win.",
        "the second": "where each record is a fact of its own, each is learned by itself: twice the records, twice the "
        "facts.",
        NEITHER: "the steps, not the records, were too few; or the smallest set held all there is to learn.",
    },
)

# %%
show(plots.plot_learning_curve({"clean": clean, f"{WRONG:.0%} wrong": noisy}), name="learning-curve")
first, second = gain(clean[1], clean[0]), gain(clean[2], clean[1])
low, high = weighted(*((times, share(run) / 100 * n, n) for times, run in zip((-1, 2, -1), clean, strict=True)))
if share(clean[1]) > 95:
    which_step_up.withhold(f"the middle set reaches {share(clean[1]):.0f} %: the second step had no room.")
elif max(first[1], second[1]) <= 0:
    which_step_up.reveal(NEITHER)
elif low <= 0 <= high:
    which_step_up.withhold(
        f"the first brought {first[0] - second[0]:+.0f} points more than the second; other questions would say "
        f"between {100 * low:+.0f} and {100 * high:+.0f} (95 %)."
    )
else:
    which_step_up.reveal(0 if low > 0 else 1)
show(*(
    f"{before} to {after} records: {step[0]:+.1f} points, {step[1]:+.0f} to {step[2]:+.0f} (95 %)"
    for before, after, step in ((sizes[0], sizes[1], first), (sizes[1], sizes[2], second))
))  # fmt: skip

# %% [markdown]
# With a steep end, collect more. A flat end has three reasons, and only one of them says "collect better": the score
# may be at its ceiling (then there is nothing left to collect for), the trainings may have been too short for more
# records to be seen at all, or what is in the records may not be what is asked. Look at what is still wrong before you
# decide. The same curve from your own data costs three trainings on parts of it, and says more than any rule of thumb.

# %%
exercise(
    f"{len(order[: sizes[1]])} records of which every one is right, {STEPS} steps of {BATCH} records: how often is a "
    "record seen, on average?",
    answer=STEPS * BATCH / sizes[1],
    hint="records that all steps take together, over the records that there are",
)
exercise(
    "What is wrong with this experiment? 'Quality beats quantity: 77 clean records beat 308 of which half are wrong': "
    "both trained for as many steps, and the clean ones were 27 points ahead.",
    answer="each clean record was seen four times as often: epochs differed, not quality alone",
    choices=[
        "each clean record was seen four times as often: epochs differed, not quality alone",
        "308 records are too few to be called quantity",
        "wrong records should not be used at all",
    ],
    hint="How often did each training see a right record?",
    why="Hold fixed what the sentence does not speak of: as many epochs, or as many right records seen, and say which.",
)
exercise(
    "And with this? 'About a thousand good examples suffice': 992 examples of a task were enough for 95 %.",
    answer="nothing smaller was tried: a hundred may have been enough, too",
    choices=[
        "95 % is not enough",
        "nothing smaller was tried: a hundred may have been enough, too",
        "992 is not a thousand",
    ],
    hint="Which other number of examples would you want to see?",
    why="'Enough' is a place on a curve. One point is no curve.",
)

# %% [markdown]
# ## What many seeds say
# What is often said of data, tried several times each, with the 95 % interval of what was measured
# (`python -m lessons.claims` tries it again).

# %%
show(ledger("masking", "quality", "more-data"))

# %% [markdown]
# ## Where to read on
# - Zhou et al. 2023, *LIMA: Less Is More for Alignment*, arXiv:2305.11206: a thousand good examples
# - Taori et al. 2023, *Alpaca*, github.com/tatsu-lab/stanford_alpaca: the instruction format
# - Shi et al. 2024, *Instruction Tuning With Loss Over Instructions*, arXiv:2405.14394: when not to mask
# - transformers on chat templates: huggingface.co/docs/transformers, "Chat templates"
# - Your own data: `python -m engine.data my.jsonl`, then `LESSON_DATA=my.jsonl python -m lessons.data`
