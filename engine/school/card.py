"""What can the base model do, and what not? Grades it, skill by skill, and writes the answer down as its model card."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engine.data import encode, load
from engine.evaluate import encode_last_answer, generate_answers, perplexity, score_answers
from engine.evaluate.calibration import Calibration, answer_confidences, calibration
from engine.evaluate.forgetting import curriculum_knowledge
from engine.evaluate.prompting import measure_prompts, shown, told
from engine.messages import Message
from engine.models import load_model, load_tokenizer
from engine.school.curriculum import SKILLS, Example, heldout_examples
from engine.school.curves import STEPS, came_back, forgetting_curve
from engine.school.tasks import ORDERS, TASKS

EXAMPLES = 200  # graded, a skill
SHOWN = 4  # worked examples, where a task is prompted by them
CURVE_STEPS = STEPS
ENOUGH = 0.95  # exact; the card looks closer at a skill below it

# Asked as they are; what the model says to them is printed in the card, right or wrong.
_BEYOND = (
    "Translate to German: house",
    "What is 123 + 456?",
    "What is 7 * 8?",
    "Who wrote Hamlet?",
    "What is the capital of Atlantis?",
    "How are you today?",
)


def grade_skills(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, dict[str, Any]]:
    """Per skill: title, how many held-out examples (or facts) were graded, exact (0 to 1), loss (nats a token).

    kinds: where a skill has several kinds of question, how many of each were right, and of how many.
    """
    scores = {}
    for name, skill in SKILLS.items():
        examples = heldout_examples(name, EXAMPLES, seed=1)
        rows = [encode_last_answer(tokenizer, example.messages) for example in examples]
        losses, exact, counts = score_answers(model, rows, tokenizer.pad_token_id)
        scores[name] = {
            "title": skill.title,
            "graded": len(rows),
            "held_out": skill.splits,
            "exact": sum(exact) / len(exact) if skill.closed else None,
            "kinds": _by_kind(examples, exact),
            "loss": sum(losses) / sum(counts),
            "perplexity": perplexity(losses, counts),
        }
    return scores


def _by_kind(examples: list[Example], exact: list[bool]) -> dict[str, list[int]]:
    """Kind of question -> (how many were right, how many were asked), worst first; empty for a skill of one kind."""
    kinds: dict[str, list[int]] = {}
    for example, right in zip(examples, exact, strict=True):
        tally = kinds.setdefault(example.kind, [0, 0])
        tally[0] += right
        tally[1] += 1
    kinds.pop("", None)
    return dict(sorted(kinds.items(), key=lambda item: item[1][0] / item[1][1]))


def grade_tasks(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, dict[str, float]]:
    """Of each fine-tuning task's held-out part, before fine-tuning: loss (nats a token), and exact, the share right
    when asked as it is; told, with the task's order before it; shown, after four worked examples."""
    result = {}
    for name in TASKS:
        task = load(name)
        task = replace(task, heldout=task.heldout[:EXAMPLES])
        rows = [encode(tokenizer, messages) for messages in task.heldout]
        losses, exact, counts = score_answers(model, rows, tokenizer.pad_token_id)
        orders = [told(ORDERS[name], messages) for messages in task.heldout]
        result[name] = {
            "loss": sum(losses) / sum(counts),
            "exact": sum(exact) / len(exact),
            "told": measure_prompts(model, tokenizer, orders).exact,
            "shown": measure_prompts(model, tokenizer, shown(task, SHOWN)).exact,
        }
    return result


def grade_calibration(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Calibration:
    """How sure is it of its answers, and how right? Over all skills but the open-ended story, and what nobody knows."""
    asked = [e.messages for name in SKILLS if name != "story" for e in heldout_examples(name, EXAMPLES // 2, seed=5)]
    return calibration(*answer_confidences(model, tokenizer, asked))


def grade_forgetting(folder: Path, method: str) -> list[dict[str, float]]:
    """What becomes of everything it could do while it learns Spanish at the default settings: the points of a curve."""
    old = curriculum_knowledge(max(1, EXAMPLES // 10))
    return [asdict(point) for point in forgetting_curve(folder, "spanish", method, steps=CURVE_STEPS, old=old)]


def write_card(folder: Path, recipe: dict[str, Any], seconds: float, device: str, note: str = "") -> None:
    """Grade the model in `folder`; write `card.json` (the numbers) and `README.md` (the same, to read).

    note: what else a reader must know of how it was made.
    """
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    numbers = {
        "parameters": model.num_parameters(),
        "recipe": recipe,
        "seconds": round(seconds),
        "device": device,
        "note": note,
        "skills": grade_skills(model, tokenizer),
        "tasks": grade_tasks(model, tokenizer),
        "even_guess": math.log(model.config.vocab_size),
        "calibration": asdict(grade_calibration(model, tokenizer)),
        "forgetting": {method: grade_forgetting(folder, method) for method in ("full", "lora")},
    }
    (folder / "card.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    stories = [next(SKILLS["story"].examples("heldout", seed)) for seed in (2, 3)]
    summary = next(SKILLS["summary"].examples("heldout", 2))
    shown: list[list[Message]] = [
        [{"role": "user", "content": "Translate to French: Hello"}],
        *[story.prompt for story in stories],
        summary.prompt,
    ]
    beyond: list[list[Message]] = [[{"role": "user", "content": text}] for text in _BEYOND]
    (folder / "README.md").write_text(
        _page(
            numbers,
            _said(model, tokenizer, shown),
            _said(model, tokenizer, beyond),
        ),
        encoding="utf-8",
    )


def _said(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[list[Message]]
) -> list[tuple[str, str]]:
    answers = generate_answers(model, tokenizer, prompts, max_new_tokens=96)
    return [(prompt[-1]["content"], answer) for prompt, answer in zip(prompts, answers, strict=True)]


def _page(numbers: dict[str, Any], shown: list[tuple[str, str]], beyond: list[tuple[str, str]]) -> str:
    skills = "\n".join(
        f"| {s['title']} | {'held-out prompts' if s['held_out'] else 'the facts'} | {s['graded']} | "
        f"{'-' if s['exact'] is None else format(s['exact'], '.1%')} | {s['perplexity']:.3f} |"
        for s in numbers["skills"].values()
    )
    tasks = "\n".join(
        f"| {task} | {about} | {one['exact']:.1%} | {one['told']:.1%} | {one['shown']:.1%} | {one['loss']:.2f} |"
        for (task, about), one in zip(TASKS.items(), numbers["tasks"].values(), strict=True)
    )
    short = "\n".join(
        f"| {s['title']} | {kind} | {right} of {asked} |"
        for s in numbers["skills"].values()
        if s["exact"] is not None and s["exact"] < ENOUGH
        for kind, (right, asked) in s["kinds"].items()
        if right < asked
    )
    calibrated = numbers["calibration"]
    bins = "\n".join(f"| {b['count']} | {b['confidence']:.1%} | {b['right']:.1%} |" for b in calibrated["bins"])
    forgotten = "\n\n".join(_curve(method, points) for method, points in numbers["forgetting"].items())
    recipe = "\n".join(f"| {name} | {value} |" for name, value in numbers["recipe"].items())

    def conversation(said: list[tuple[str, str]]) -> str:
        return "\n\n".join(f"> **{prompt}**\n>\n> {answer or '(nothing)'}" for prompt, answer in said)

    return f"""# The embedded base model

A `LlamaForCausalLM` of {numbers["parameters"]:,} weights, pretrained by this project on a curriculum that it
generates itself. Made by `python -m engine.pretrain --seed {numbers["recipe"]["seed"]}`, which wrote this
page; every number on it was measured then. It took {numbers["seconds"] / 60:.0f} minutes ({numbers["device"]}).
{numbers["note"]}

## What it can do
Exact: the share of answers that are right to the letter. Perplexity: on the answers' tokens.

| skill | graded on | examples | exact | perplexity |
|---|---|---|---|---|
{skills}

In its own words (greedy):

{conversation(shown)}

## Where it falls short
Skills below {ENOUGH:.0%}, by the kind of question (kinds that are always right are left out):

| skill | kind of question | right |
|---|---|---|
{short or "| none | | |"}

## What it cannot do
It knows what its curriculum holds and nothing else. The fine-tuning tasks before any fine-tuning, held-out part:
right when asked as they are, when told in words what is wanted, and after {SHOWN} worked examples; and the loss that
training starts from, where an even guess over the vocabulary costs {numbers["even_guess"]:.2f} nats a token:

| task | | asked | told | shown | nats a token |
|---|---|---|---|---|---|
{tasks}

Some things outside the curriculum, with what it really says to them:

{conversation(beyond)}

## Is it as sure as it is right?
Expected calibration error of its answers, over all skills and what nobody can know: {calibrated["error"]:.3f}.
How sure: the probability it gives to what it says, in bins of a tenth.

| answers | sure, on average | right |
|---|---|---|
{bins}

## How it forgets
Fine-tuned on the Spanish words with default settings, and of all that it could do before: answers right to the letter;
the probability of the right one among four (no changed form can hide that); its loss on stories and its divergence from
the base (nats a token). `python scripts/forgetting.py` draws these curves, and a real
LLM's below them; [where the two agree, and where not](../../docs/claims-llm.md#do-both-forget-alike).

{forgotten}

## Recipe

| setting | value |
|---|---|
{recipe}
"""


def _curve(method: str, points: list[dict[str, float]]) -> str:
    """A table of one curve, and what became of the old answers, said from the numbers."""
    exact = [point["exact"] for point in points]
    lowest = min(points, key=lambda point: point["exact"])
    rows = "\n".join(
        f"| {p['step']} | {p['new']:.0%} | {p['exact']:.0%} | {p['choice']:.0%} | {p['text']:.2f} | {p['kl']:.2f} |"
        for p in points
    )
    return f"""{method}: old answers fall from {exact[0]:.0%} to {lowest["exact"]:.0%} at step {lowest["step"]},
and end at {exact[-1]:.0%}; on the way, up to {100 * came_back(exact):.0f} points came back untaught.

| step | new task | old, exact | old, among four | stories | KL |
|---|---|---|---|---|---|
{rows}"""


if __name__ == "__main__":
    from engine.run.base import EMBEDDED_FOLDER

    old = json.loads((EMBEDDED_FOLDER / "card.json").read_text(encoding="utf-8"))
    write_card(EMBEDDED_FOLDER, old["recipe"], old["seconds"], old["device"], old.get("note", ""))
