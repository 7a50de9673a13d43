"""What can one fine-tune on out of the box? Four tasks that the base model has never seen and fails at.

Each has a training and a held-out part, as JSONL in the instruction, input, output form that courses use;
`python -m engine.school.tasks.build` writes them anew from `engine.school.curriculum.facts`, the same bytes every time.
"""

from pathlib import Path

TASKS = {
    "spanish": "new knowledge: Spanish words; held out: a way of asking for each word",
    "pirate": "a style: every answer in pirate speech; held out: other questions",
    "json": "a format: every answer as JSON with fixed keys; held out: other questions",
    "island": "a domain: facts about an invented island; held out: other ways of asking",
}


def task_file(task: str, part: str) -> Path:
    """The JSONL file of a task's "train" or "heldout" part."""
    return Path(__file__).parent / task / f"{part}.jsonl"
