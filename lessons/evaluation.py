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
# Afterwards you will be able to answer
#
# - What is perplexity, and with what may it be compared?
# - What does a task metric see that perplexity does not, and how sure is it?
# - How are two models compared blindly by a person?
# - Do a lower loss and better answers go together, and how would one find out without fooling oneself?

# %% tags=["hide-input"]
from lessons.teaching.walk import begin

begin(__name__, lesson="evaluation", place=10)

# %% tags=["hide-input"]
import itertools
import json
import math
import random

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from engine.data import Conversations
from engine.evaluate import encode_last_answer, last_answer, score_answers
from engine.evaluate.compare import compare
from engine.evaluate.judging import in_terminal, judge
from engine.evaluate.surprise import measure_perplexity
from engine.evaluate.tokens import losses_of_model
from engine.evaluate.weights import models_at
from engine.evaluate.widget import widget
from engine.measure.disagreement import disagreements, evaluations, pairs
from engine.measure.shares import newcombe
from engine.models import load_model, load_tokenizer
from engine.training.finetune import finetune
from engine.training.methods import Full
from lessons.teaching.stage import (
    answer_length,
    conclude,
    current,
    cut_marked,
    exercise,
    exercise_code,
    in_notebook,
    ledger,
    model,
    predict,
    rate,
    show,
    task_of,
)
from visualize import plots

QUICK = current().quick
HERE = current().folder

# %% [markdown]
# ## Perplexity
# Of every token of the right answer the model says how likely it is. The loss is minus the logarithm of that, in nats;
# perplexity is the exponential of the mean loss a token: as if the model had to guess among that many. Here is the
# base, before any training, and below it one of the questions, token by token; its answer is underlined.

# %%
task = task_of("spanish", graded=True)
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
    together = np.exp(losses.sum() / counts.sum())
    assert np.isclose(function(losses, counts), together), "not the perplexity of all answers together"
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
    {
        "it rises": "nobody can know what will be asked next; a question is harder to guess than an answer that is "
        "known.",
        "it falls": "most of a question is words that come in every question; an answer that is not known is the "
        "harder to guess.",
        "it stays within 10 %": "that would be chance: it is another text that is measured.",
    },
    exact=True,
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
        learning_rate=2 * rate("full"), skills=3 if QUICK else 12 if model() == "embedded" else 6, every=EVERY,
        evaluate_at=lambda step: step % EVERY == 0, seed=current().seed,
    )  # fmt: skip


few = train("few", order[: max(8, len(order) // 10)])
many = train("many", order)
runs = {"few": few, "many": many}
show(*(f"{name}: {run.examples} records" for name, run in runs.items()))

# %% [markdown]
# ## Task metrics
# Now the answers themselves. *Exact*: right to the letter. *Token F1*: how many words are shared with the right answer
# (SQuAD). Shares come with a 95 % interval: of such intervals, made from other questions of the same kind, 95 in 100
# hold the share that all questions together would give. Whether this one does, nobody can say. An answer that reached
# the length at which it is cut is marked; the length is chosen from the right answers.

# %%
LENGTH = answer_length(tokenizer, task)
held_out = HERE / "heldout.jsonl"
held_out.write_text("".join(json.dumps({"messages": list(talk)}) + "\n" for talk in questions), encoding="utf-8")
found = {
    name: compare(run, held_out, ["exact", "token_f1", "perplexity"], limit=LIMIT, max_new_tokens=LENGTH)
    for name, run in runs.items()
}


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
    {
        "few": "many passes over few records make their answers certain; if the records show what all answers have in "
        "common, that is enough.",
        "many": "each record teaches a fact that no other record holds: who has seen more of them knows more.",
        "no difference that these questions could show": "both have learned what is common to all answers, and neither "
        "more than that; or the difference is smaller than so few questions can show.",
    },
)

# %%
exact = {name: scores[name]["exact (%)"] for name in runs}
n = min(LIMIT, len(questions))
low, high = newcombe(exact["many"] / 100 * n, n, exact["few"] / 100 * n, n)
if max(exact.values()) < 5:
    which_answers_more.withhold("neither has learned the task.")
else:
    which_answers_more.reveal("many" if low > 0 else "few" if high < 0 else 2)
scores = pd.DataFrame.from_dict(scores, orient="index").rename_axis("model")
show(scores)
if all(len(last_answer(talk)[1].split()) == 1 for talk in questions):
    show("(Every right answer here is one word, so token F1 can hardly differ from exact; on longer ones it does.)")
said = {name: cut_marked(tokenizer, one.answers["tuned"], LENGTH) for name, one in found.items()}
show(found["many"].answers[["prompt", "expected"]].assign(**said).head(6))
surer = min(runs, key=lambda name: scores.perplexity[name])
better = max(runs, key=lambda name: scores["exact (%)"][name])
apart = low > 0 or high < 0
conclude(
    f"Many minus few: {exact['many'] - exact['few']:+.0f} points ({100 * low:+.0f} to {100 * high:+.0f}, 95 %).",
    f"Perplexity prefers {surer}; the answers choose neither."
    if exact["few"] == exact["many"]
    else f"Perplexity and the answers both prefer {better}{'' if apart else ', the answers by no more than chance'}."
    if surer == better
    else f"Perplexity prefers {surer}, the answers prefer {better}"
    f"{': one of the two is not what you want to know' if apart else ', by no more than chance'}.",
)

# %% [markdown]
# ## A person's judgement
# Some things have no right answer to the letter. Then a person reads two answers to the same question and says which
# is better, without knowing whose they are, and in an order that is drawn by lot. Be the judge of *few* and *many*.

# %%
judging = judge(
    few.path, many.path, data=held_out, count=4 if QUICK else 10, out=HERE / "judged.jsonl", max_new_tokens=LENGTH
)
if in_notebook():
    from IPython.display import display

    display(widget(judging))
elif current().interactive:
    in_terminal(judging, current().console)
else:
    shown = [(pair.prompt, *cut_marked(tokenizer, pair.shown, LENGTH)) for pair in judging.pairs]
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
exercise(
    "What is wrong with this experiment? A judge prefers model A six times in ten: 'A is better'.",
    answer="with ten judgements the interval goes from 31 % to 83 %: it holds a half",
    choices=[
        "with ten judgements the interval goes from 31 % to 83 %: it holds a half",
        "60 % is less than 95 %",
        "a judge should not be blind",
    ],
    hint="How often does a coin show six or more heads in ten?",
    why="In 38 % of cases. And which answer stood first should have been drawn by lot: many judges prefer the first.",
)

# %% [markdown]
# ## Do loss and answers part?
# Every evaluation of both runs has a loss and a share of right answers, for the task and for each old skill. Take any
# two evaluations of the same skill: does the one with the lower loss have the better answers?
#
# Who looks at very many pairs finds some that part, by chance alone. So the held-out questions are cut in two: the pair
# that parts widest is *chosen* on one half, and *judged* on the other, where it has to part again.

# %%
table = evaluations(list(runs.values()))
every = pairs(table)
how_many_disagree = predict(
    f"Of {len(every):,} such pairs, in how many is the loss lower and the answers are worse?",
    {
        "in none": "what makes the right answer likelier makes it the likeliest, sooner or later.",
        "in fewer than 5 %": "on the whole they go together; but a loss is a mean, and a mean can be moved by a few.",
        "in 5 to 20 %": "an old skill is asked few questions, and one answer that tips over moves its share by points.",
        "in more than 20 %": "the loss falls on answers that were right already, while others tip over.",
    },
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
# Now the task itself, question by question. All captured models are asked the first half of the held-out questions; the
# two that part widest there, in loss and in answers (the product of both differences), are asked the second half.

# %%
halves = {"chosen on": slice(0, len(rows) // 2), "judged on": slice(len(rows) // 2, None)}
sketched = [module for module in many.modules if many.is_sketched(module)]
asked_all = {
    (name, step): pd.DataFrame(
        dict(zip(("nats", "right", "tokens"), score_answers(network, rows, tokenizer.pad_token_id), strict=True))
    )
    for name, run in ({} if sketched else runs).items()
    for step, network in models_at(run, run.steps[1:])
}


def mean_of(key, half):
    """(loss, share right) of a captured model on a half of the questions."""
    part = asked_all[key].iloc[halves[half]]
    return part.nats.sum() / part.tokens.sum(), part.right.mean()


def gaps(low, high, half):
    """By how much the loss of `high` is higher, and by how much its answers are better: they part if both are."""
    (loss, share), (other, more) = mean_of(low, half), mean_of(high, half)
    return other - loss, more - share


def width(pair):
    loss, share = gaps(*pair, "chosen on")
    return loss * share if loss > 0 and share > 0 else 0.0


low, high = widest = max(itertools.permutations(asked_all, 2), key=width, default=("", ""))
parts_there = bool(asked_all) and width(widest) > 0
if sketched:
    show(
        f"They cannot be asked: of {len(sketched)} of the {len(many.modules)} matrices a run's budget left only "
        "sketches, and no model can be made again from those."
    )
elif not parts_there:
    show(f"On {TASK} loss and answers never part, on the first half of the questions.")
else:
    part = {name: asked_all[key].iloc[halves["judged on"]] for name, key in (("low", low), ("high", high))}
    only_high = int((part["high"].right & ~part["low"].right).sum())
    only_low = int((part["low"].right & ~part["high"].right).sum())
    show(
        pd.DataFrame(
            [[*mean_of(key, half)] for half in halves for key in (low, high)],
            columns=["loss (nats a token)", "share right"],
            index=[f"{half} half: {key[0]}, step {key[1]}" for half in halves for key in (low, high)],
        ).rename_axis("model")
    )
    chance = binomtest(only_high, only_high + only_low).pvalue if only_high + only_low else 1.0
    loss, share = gaps(low, high, "judged on")
    conclude(
        f"On the other half the loss of {high[0]}, step {high[1]}, is {abs(loss):.2f} nats "
        f"{'higher' if loss > 0 else 'lower'}, and its answers are {abs(100 * share):.0f} points "
        f"{'better' if share > 0 else 'worse'}: it alone is right on {only_high} questions, the other alone on "
        f"{only_low} (sign test: p = {chance:.2g}). "
        + ("They part again." if loss > 0 and share > 0 and chance < 0.05 else "They do not part again.")
    )

# %% [markdown]
# How can they part at all? A loss is a mean, and it has no upper end: one answer of which the model is sure, and which
# is wrong, can weigh as much as a hundred that are right. An answer counts once, right or wrong.

# %%
if parts_there:
    tenth = max(1, len(part["low"]) // 10)
    show(
        pd.DataFrame(
            {
                f"{key[0]}, step {key[1]}": {
                    "loss (nats a token)": one.nats.sum() / one.tokens.sum(),
                    "of it from the worst tenth of the questions (%)": 100
                    * one.nats.nlargest(tenth).sum()
                    / one.nats.sum(),
                    "loss of the median question": (one.nats / one.tokens).median(),
                    "right (%)": 100 * one.right.mean(),
                }
                for key, one in zip((low, high), part.values(), strict=True)
            }
        ).rename_axis("on the judged half")
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
    "What is wrong with this experiment? Of thousands of pairs of evaluations the one in which loss and answers part "
    "furthest was taken, and a sign test on its questions gave p = 0.001: 'a lower loss gave worse answers'.",
    answer="the pair was chosen by looking: the test does not know of the thousands that were passed over",
    choices=[
        "a sign test cannot be used on answers",
        "the pair was chosen by looking: the test does not know of the thousands that were passed over",
        "0.001 is not small enough for one pair",
    ],
    hint="How small is the smallest of a thousand p-values, if there is nothing to find?",
    why="Choose on some questions, judge on others; or correct for how many were looked at. This lesson once did it "
    "so.",
)

# %% [markdown]
# ## What many seeds say
# What is often said of evaluation, tried several times each, with the 95 % interval of what was measured
# (`python -m lessons.claims` tries it again).

# %%
show(ledger("loss-against-answers", "perplexity-misranks"))

# %% [markdown]
# ## Where to read on
# - Jelinek et al. 1977, *Perplexity: a measure of the difficulty of speech recognition tasks*
# - transformers' documentation: "Perplexity of fixed-length models"; Rajpurkar et al. 2016, *SQuAD*, arXiv:1606.05250
# - Zheng et al. 2023, *Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena*, arXiv:2306.05685
# - Miller 2024, *Adding Error Bars to Evals*, arXiv:2411.00640
# - Your own run: `python -m engine.evaluate runs/mine`, `python -m engine.evaluate.judge runs/mine base`
