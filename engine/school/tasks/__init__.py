"""What can one fine-tune on out of the box? Tasks that the base model was never taught; it
fails at them as they are asked (of `adding` it knows half).

Each has a training and a held-out part, as JSONL in the instruction, input, output form that courses use;
`python -m engine.school.tasks.build` writes them anew from `engine.school.curriculum.facts`, the same bytes every time.
"""

from pathlib import Path

TASKS = {
    "spanish": "new knowledge: Spanish words; held out: other ways of asking",
    "pirate": "a style: every answer in pirate speech; held out: other facts",
    "json": "a format: every answer as JSON with fixed keys; held out: other facts",
    "island": "a domain: facts about an invented island; held out: other ways of asking",
    "notes": 'a form that a prompt may get, too: every answer as "- answer ahoy"; held out: other facts',
    "adding": "half known: sums up to 198, where the base was taught those below 100; held out: other sums",
}

# How one would ask for it in words, before the question.
ORDERS = {
    "spanish": "Answer in Spanish.",
    "pirate": "Answer as a pirate.",
    "json": "Answer as JSON.",
    "island": "This is about the island of Zamboa.",
    "notes": "End with ahoy. Answer as a list.",
    "adding": "Add the two numbers.",
}


def task_file(task: str, part: str) -> Path:
    """The JSONL file of a task's "train" or "heldout" part."""
    return Path(__file__).parent / task / f"{part}.jsonl"


def task_files(task: str) -> list[Path]:
    """All that a task's data are kept in."""
    return [task_file(task, part) for part in ("train", "heldout")]
