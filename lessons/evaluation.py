# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Evaluation: is it better now?
#
# The loss falls, and everybody is glad. But a loss is not an answer. Two models are trained here, at the same cost, and
# asked the same questions in three ways: how surprised they are, how often they are right, and which of them a person
# prefers.
#
# Afterwards you will be able to say
#
# - what perplexity is, and with what it may be compared;
# - what a task metric sees that perplexity does not, and how sure it is;
# - how two models are compared blindly by a person;
# - why a model with the lower loss can give the worse answers, and where that happened here.

# %% tags=["hide-input"]
from lessons.teaching.walk import begin

begin(__name__, lesson="evaluation", place=8)

# %% tags=["hide-input"]
import json
import math
import random

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from engine.data import Conversations, hold_out, load
from engine.errors import InputError
from engine.evaluate import encode_last_answer, generate_answers, last_answer, score_answers
from engine.evaluate.compare import compare
from engine.evaluate.judging import in_terminal, judge
from engine.evaluate.surprise import measure_perplexity
from engine.evaluate.tokens import losses_of_model
from engine.evaluate.weights import models_at
from engine.evaluate.widget import widget
from engine.measure.disagreement import disagreements, evaluations, pairs
from engine.models import load_model, load_tokenizer
from engine.training.finetune import finetune
from engine.training.methods import Full
from lessons.teaching.stage import current, data, exercise, exercise_code, in_notebook, model, predict, rate, show
from visualize import plots

QUICK = current().quick
HERE = current().folder

# %% [markdown]
# ## Perplexity
# Of every token of the right answer the model says how likely it is. The loss is minus the logarithm of that, in nats;
# perplexity is the exponential of the mean loss a token: as if the model had to guess among that many. Here is the
# base, before any training, and below it one of the questions, token by token; its answer is underlined.

# %%
task = hold_out(load(data("spanish")), seed=0)
if not task.heldout:
    raise InputError(f"{task.name} holds fewer than 20 examples, so none can be held out to evaluate on")
TASK = task.name
base = load_model(model())
tokenizer = load_tokenizer(model())
questions = [talk for talk in task.heldout if last_answer(talk)][:100]
rows = [encode_last_answer(tokenizer, talk) for talk in questions]
losses, _, counts = (np.array(found) for found in score_answers(base, rows, tokenizer.pad_token_id))
whole = measure_perplexity(base, tokenizer, questions)
show(pd.DataFrame({"asked": [last_answer(talk)[0][-1]["content"] for talk in questions[:4]],
                   "answer": [last_answer(talk)[1] for talk in questions[:4]],
                   "loss (nats)": losses[:4], "tokens": counts[:4],
                   "perplexity": np.exp(losses[:4] / counts[:4])}))  # fmt: skip
show(f"The base, all {len(questions)} held-out answers: perplexity {whole.value:,.4g}, {whole.nats:.3f} nats a token.")
show(plots.plot_tokens(losses_of_model(base, tokenizer, questions[:1])), name="tokens")


# %%
def tried(function):
    assert np.isclose(function(losses, counts), whole.value), "not the perplexity of all answers together"
    assert np.isclose(function(np.array([1.0, 3.0]), np.array([1, 7])), math.exp(0.5)), "a long answer has more tokens"


asked = exercise_code(
    "Given each answer's summed loss and its number of tokens, return the perplexity of all of them together.",
    test=tried,
    solution="def perplexity(losses, counts):\n    return np.exp(losses.sum() / counts.sum())",
    hint="sum the losses, sum the tokens, divide, and take the exponential once",
)


# %% tags=["answer"]
def perplexity(losses, counts):
    # your lines here
    ...


asked.check(perplexity)

# %%
perplexity_with_questions = predict(
    "If the questions are counted, too, and not the answers alone, what becomes of the base's perplexity?",
    ["it rises", "it falls", "it stays within 10 %"],
)

# %%
with_prompts = measure_perplexity(base, tokenizer, questions, prompts=True)
ratio = with_prompts.value / whole.value
perplexity_with_questions.reveal("it rises" if ratio > 1.1 else "it falls" if ratio < 0.9 else "it stays within 10 %")
show(f"On the answers alone {whole.value:,.4g}; questions and answers {with_prompts.value:,.4g}.")
show("So a perplexity says nothing without what it was measured on, and nothing beside another tokenizer's.")

# %% [markdown]
# ## Two models
# Now it is trained, twice, with as many steps of as many records. The first training sees few records, each of them
# many times; the second sees all that there are, each of them a few times. From time to time both are graded on what
# was held out, and on old skills.

# %%
STEPS, BATCH = (24, 8) if QUICK else (80, 32)
EVERY = 12 if QUICK else 8
LIMIT = 32 if QUICK else 100  # questions that are answered in words
order = random.Random(0).sample(task.train, len(task.train))


def train(name, records):
    return finetune(
        model(), Conversations(TASK, records, task.heldout), Full(), out=HERE / name, steps=STEPS, batch_size=BATCH,
        learning_rate=2 * rate("full"), skills=None if model() != "embedded" else 3 if QUICK else 12, every=EVERY,
        evaluate_at=lambda step: step % EVERY == 0,
    )  # fmt: skip


few = train("few", order[: max(8, len(order) // 10)])
many = train("many", order)
runs = {"few": few, "many": many}
show(*(f"{name}: {run.examples} records" for name, run in runs.items()))

# %% [markdown]
# ## Task metrics
# Now the answers themselves. *Exact*: right to the letter. *Token F1*: how many words are shared with the right answer
# (SQuAD). Shares come with the interval in which the true one lies (95 %): that many questions cannot say it better.

# %%
held_out = HERE / "heldout.jsonl"
held_out.write_text("".join(json.dumps({"messages": list(talk)}) + "\n" for talk in questions), encoding="utf-8")
found = {name: compare(run, held_out, ["exact", "token_f1", "perplexity"], limit=LIMIT) for name, run in runs.items()}


def metrics(score):
    return {
        "exact (%)": 100 * score["exact"].value,
        "95 % interval": f"{100 * score['exact'].low:.0f} to {100 * score['exact'].high:.0f}",
        "token F1 (%)": 100 * score["token_f1"].value,
        "perplexity": score["perplexity"].value,
    }


scores = {"base": metrics(found["few"].scores["base"])} | {
    name: metrics(one.scores["tuned"]) for name, one in found.items()
}
which_answers_more = predict(
    f"Perplexity says: base {scores['base']['perplexity']:,.4g}, few {scores['few']['perplexity']:,.4g}, many "
    f"{scores['many']['perplexity']:,.4g}. Which of the two trained models answers more questions rightly?",
    ["few", "many", "as many"],
)

# %%
exact = {name: scores[name]["exact (%)"] for name in runs}
which_answers_more.reveal("as many" if exact["few"] == exact["many"] else max(exact, key=exact.get))
scores = pd.DataFrame.from_dict(scores, orient="index").rename_axis("model")
show(scores)
said = found["many"].answers[["prompt", "expected", "tuned"]].rename(columns={"tuned": "many"})
show(said.assign(few=found["few"].answers["tuned"]).head(6))
surer = min(runs, key=lambda name: scores.perplexity[name])
better = max(runs, key=lambda name: scores["exact (%)"][name])
show(
    "Here perplexity and answers choose the same model."
    if exact[surer] == exact[better]
    else f"Perplexity prefers {surer}, the answers prefer {better}: one of the two is not what you want to know."
)

# %% [markdown]
# ## A person's judgement
# Some things have no right answer to the letter. Then a person reads two answers to the same question and says which
# is better, without knowing whose they are, and in an order that is drawn by lot. Be the judge of *few* and *many*.

# %%
judging = judge(few.path, many.path, data=held_out, count=4 if QUICK else 10, out=HERE / "judged.jsonl")
if in_notebook():
    from IPython.display import display

    display(widget(judging))
elif current().interactive:
    in_terminal(judging, current().console)
else:
    shown = [(pair.prompt, *pair.shown) for pair in judging.pairs]
    show(pd.DataFrame(shown, columns=["asked", "the first says", "the second says"]))
    show("Nobody is here to judge, so nothing is said of who won.")

# %%
same = sum(pair.a == pair.b for pair in judging.pairs)
show(f"{same} of {len(judging.pairs)} pairs are the same words twice, and count as ties without being asked.")
show(f"So far: {judging.result.sentence(judging.a, judging.b)}.")
show(f"In the first row {judging.pairs[0].first} was shown first: a is {judging.a}, b is {judging.b}.")
show("To go on: python -m engine.evaluate.judge RUN_A RUN_B, on as many questions as you like.")

# %% [markdown]
# With ten questions a judge who prefers one model six times to four has shown nothing: the interval says so. And two
# judges who do not agree have shown something about the question.

# %%
fair = binomtest(6, 10).proportion_ci(0.95, "wilson")
exercise(
    "Six of ten judgements are for one model. Does the 95 % interval of its win rate hold a half?",
    answer="yes" if fair.low < 0.5 < fair.high else "no",
    hint=f"Wilson's interval goes from {fair.low:.0%} to {fair.high:.0%}",
    choices=["yes", "no"],
)

# %% [markdown]
# ## Where loss and answers part
# Every evaluation of both runs has a loss and a share of right answers, for the task and for each old skill. Take any
# two evaluations of the same skill: does the one with the lower loss have the better answers?

# %%
table = evaluations(list(runs.values()))
every = pairs(table)
how_many_disagree = predict(
    f"Of {len(every):,} such pairs, in how many is the loss lower and the answers are worse?",
    ["in none", "in fewer than 5 %", "in 5 to 20 %", "in more than 20 %"],
)

# %%
parted = disagreements(table)
part = len(parted) / max(1, len(every))
how_many_disagree.reveal(
    "in none" if not part else "in fewer than 5 %" if part < 0.05
    else "in 5 to 20 %" if part <= 0.2 else "in more than 20 %"
)  # fmt: skip
show(f"{len(parted):,} of {len(every):,} pairs part: {part:.1%}")


def read(found):
    """Pairs that part, to be read: the widest of each skill."""
    rows = found.groupby("skill", sort=False).head(1).head(6)
    return pd.DataFrame({
        "skill": rows.skill,
        "lower loss": [f"{row.low_run}, step {row.low_step}" for row in rows.itertuples()],
        "loss (nats)": rows.low_loss, "right (%)": 100 * rows.low_exact,
        "higher loss": [f"{row.high_run}, step {row.high_step}" for row in rows.itertuples()],
        "its loss": rows.high_loss, "its right (%)": 100 * rows.high_exact,
    }).reset_index(drop=True)  # fmt: skip


show("The widest:", read(parted)) if len(parted) else None

# %% [markdown]
# And forward in time: a stretch of one training in which the loss improved and the answers got worse?

# %%
forward = parted[parted.in_time.astype(bool)].reset_index(drop=True)
if len(forward):
    show(
        f"Forward in time {len(forward):,} pairs part, on {forward.skill.nunique()} skills. The widest:", read(forward)
    )
    show(plots.plot_disagreement(runs[forward.low_run[0]], skill=forward.skill[0]), name="forward")
else:
    show("None was found: in neither training the answers got worse while the loss improved.")
show(plots.plot_disagreement(list(runs.values()), skill=TASK), name="paths")

# %% [markdown]
# A few questions can part by chance, and of an old skill only a few were asked. So the widest gap on the task itself
# is looked at, question by question: both models are taken from the capture, as they were at that step, and asked the
# held-out questions again.

# %%
on_task = parted[parted.skill == TASK]
widest = on_task.iloc[0] if len(on_task) else None
if widest is None:
    show(f"On {TASK} itself, loss and answers never parted here, in {len(every[every.skill == TASK])} pairs.")
else:
    sides = {}
    for side in ("low", "high"):
        _, network = next(models_at(runs[widest[f"{side}_run"]], [int(widest[f"{side}_step"])]))
        loss, right, number = score_answers(network, rows, tokenizer.pad_token_id)
        answers = generate_answers(network, tokenizer, [last_answer(talk)[0] for talk in questions], max_new_tokens=24)
        sides[side] = pd.DataFrame({"nats": loss, "tokens": number, "right": right, "says": answers})
    low, high = sides["low"], sides["high"]
    show(f"Lower loss: {widest.low_run}, step {widest.low_step}. Higher: {widest.high_run}, step {widest.high_step}.")
    only_high, only_low = (high.right & ~low.right), (low.right & ~high.right)
    chance = binomtest(int(only_high.sum()), int((only_high | only_low).sum())).pvalue
    show(f"Right only with the higher loss: {only_high.sum()}. Right only with the lower loss: {only_low.sum()}.")
    said = "fewer than 0.1 %" if chance < 0.001 else f"{chance:.1%}"
    show(f"Chance alone would part them so far in {said} of cases (sign test).")
    asked_these = [last_answer(talk) for talk in questions]
    examples = pd.DataFrame(
        {
            "asked": [both[0][-1]["content"] for both in asked_these],
            "right is": [both[1] for both in asked_these],
            "higher loss says": high.says,
            "its loss": high.nats / high.tokens,
            "lower loss says": low.says,
            "loss": low.nats / low.tokens,
        }
    )
    show(examples[only_high].head(5))

# %% [markdown]
# How can that be? A loss is a mean, and it has no upper end: one answer of which the model is sure, and which is
# wrong, can weigh as much as a hundred that are right. An answer counts once, right or wrong.

# %%
if widest is not None:
    tenth = max(1, len(rows) // 10)
    middle = [float((one.nats / one.tokens).median()) for one in (low, high)]
    show(
        pd.DataFrame(
            {
                "loss (nats a token)": [one.nats.sum() / one.tokens.sum() for one in (low, high)],
                "of it from the worst tenth of the questions (%)": [
                    100 * one.nats.nlargest(tenth).sum() / one.nats.sum() for one in (low, high)
                ],
                "loss of the median question": middle,
                "right (%)": [100 * one.right.mean() for one in (low, high)],
            },
            index=pd.Index([f"{widest[f'{side}_run']}, step {widest[f'{side}_step']}" for side in sides], name="model"),
        ).T.rename_axis("")
    )
    show(
        "By its median question the model with the better answers has the lower loss, too: the mean hides it."
        if middle[1] < middle[0]
        else "Its median question has the higher loss, too: it is less sure on the whole, and right more often."
    )

# %% [markdown]
# So: the loss to see whether training works at all; a task metric, with its interval, to choose between models; and a
# look at the answers themselves before anything is believed.

# %%
exercise(
    "Two answers have losses of 0.1 and 9.9 nats, one token each. What is their perplexity together?",
    answer=math.exp(5.0),
    hint="the mean loss is 5 nats",
)
exercise(
    "And if the second were forgotten even further, to 19.9 nats: does the share of right answers change?",
    answer="no",
    hint="it was wrong before",
    choices=["yes", "no"],
)
exercise(
    "In this lesson, which of the two had the lower perplexity on the held-out answers?",
    answer=surer,
    hint="the table of the task metrics",
    choices=list(runs),
)

# %% [markdown]
# ## Where to read on
# - Jelinek et al. 1977, *Perplexity: a measure of the difficulty of speech recognition tasks*
# - transformers' documentation: "Perplexity of fixed-length models"; Rajpurkar et al. 2016, *SQuAD*, arXiv:1606.05250
# - Zheng et al. 2023, *Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena*, arXiv:2306.05685
# - Miller 2024, *Adding Error Bars to Evals*, arXiv:2411.00640
# - Your own run: `python -m engine.evaluate runs/mine`, `python -m engine.evaluate.judge runs/mine base`
