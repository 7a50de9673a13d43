"""What can the base model do, and what not? Grades it, skill by skill, and writes the answer down as its model card."""

import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engine.data import encode, load
from engine.evaluate import encode_last_answer, generate_answers, perplexity, score_answers
from engine.messages import Message
from engine.models import load_model, load_tokenizer
from engine.school.curriculum import SKILLS, Example, heldout_examples
from engine.school.tasks import TASKS

EXAMPLES = 200  # graded, a skill
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


def grade_tasks(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, float]:
    """Exact score of each fine-tuning task's held-out part: what the base cannot do yet."""
    result = {}
    for task in TASKS:
        _, exact, _ = score_answers(
            model, [encode(tokenizer, messages) for messages in load(task).heldout], tokenizer.pad_token_id
        )
        result[task] = sum(exact) / len(exact)
    return result


def write_card(folder: Path, recipe: dict[str, Any], seconds: float, device: str) -> None:
    """Grade the model in `folder`; write `card.json` (the numbers) and `README.md` (the same, to read)."""
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    numbers = {
        "parameters": model.num_parameters(),
        "recipe": recipe,
        "seconds": round(seconds),
        "device": device,
        "skills": grade_skills(model, tokenizer),
        "tasks": grade_tasks(model, tokenizer),
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
    tasks = "\n".join(f"| {task} | {about} | {numbers['tasks'][task]:.1%} |" for task, about in TASKS.items())
    short = "\n".join(
        f"| {s['title']} | {kind} | {right} of {asked} |"
        for s in numbers["skills"].values()
        if s["exact"] is not None and s["exact"] < ENOUGH
        for kind, (right, asked) in s["kinds"].items()
        if right < asked
    )
    recipe = "\n".join(f"| {name} | {value} |" for name, value in numbers["recipe"].items())

    def conversation(said: list[tuple[str, str]]) -> str:
        return "\n\n".join(f"> **{prompt}**\n>\n> {answer or '(nothing)'}" for prompt, answer in said)

    return f"""# The embedded base model

A `LlamaForCausalLM` of {numbers["parameters"]:,} weights, pretrained by this project on a curriculum that it
generates itself. Made by `python -m engine.pretrain --seed {numbers["recipe"]["seed"]}`, which wrote this
page; every number on it was measured then. It took {numbers["seconds"] / 60:.0f} minutes ({numbers["device"]}).

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
It knows what its curriculum holds and nothing else. The four fine-tuning tasks, before fine-tuning:

| task | | exact, held out |
|---|---|---|
{tasks}

Some things outside the curriculum, with what it really says to them:

{conversation(beyond)}

## Recipe

| setting | value |
|---|---|
{recipe}
"""


if __name__ == "__main__":
    from engine.run.base import EMBEDDED_FOLDER

    old = json.loads((EMBEDDED_FOLDER / "card.json").read_text(encoding="utf-8"))
    write_card(EMBEDDED_FOLDER, old["recipe"], old["seconds"], old["device"])
