"""What can the page's own model be asked, taught and checked with? Its curriculum, the tasks, and torch's numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from engine.data import Conversations, load
from engine.evaluate import OPEN_ENDED, curriculum_groups, curriculum_probes, generate_answers
from engine.models import load_model, load_tokenizer
from engine.offline import offline
from engine.run.run import Run
from engine.school.curriculum import SKILLS, mixture
from engine.school.tasks import TASKS
from visualize.page.asked import asked_whole, data_at_hand
from visualize.page.pieces import Pieces

_GRADED, _REPLAY, _TRAINED, _HELD_OUT, _CHECKED = 20, 512, 2000, 100, 4


def taught(runs: Sequence[Run]) -> dict[str, Any]:
    """What the base knows, what it can be trained on in the tab, what is mixed in against forgetting, and questions."""
    drawn = mixture(seed=10_000)
    data = [data_at_hand(run) for run in runs]
    tasks, places = _tasks(runs, data)
    return {
        "skills": {
            name: {"title": SKILLS[name].title, "closed": name not in OPEN_ENDED, "examples": group}
            for name, group in curriculum_groups(_GRADED).items()
        },
        "tasks": tasks,
        "runs": [
            {"data": place, "chats": asked_whole(run, own)} for run, own, place in zip(runs, data, places, strict=True)
        ],
        "replay": [next(drawn)[1].messages for _ in range(_REPLAY)],
        "probes": [
            {"skill": probe.skill, "prompt": probe.prompt[-1]["content"], "expected": probe.expected}
            for probe in curriculum_probes()
        ],
    }


def _tasks(runs: Sequence[Run], data: Sequence[Conversations | None]) -> tuple[list[dict[str, Any]], list[int | None]]:
    """The built-in tasks and the runs' own data, and which of these is each run's: None where it is not at hand.

    Two runs may call their task alike and yet have learned from other questions, which a split by another seed, or
    another file of that name, decides: each is graded on what it held out itself.
    """
    known: list[Conversations] = []
    found: list[dict[str, Any]] = []

    def place(name: str, own: Conversations, of: str) -> int | None:
        if not all(len(chat) > 1 and chat[-1]["role"] == "assistant" for chat in [*own.train, *own.heldout]):
            return None  # whole texts, say, which ask nothing
        parts = own.train, own.heldout
        for at, one in enumerate(known):
            if found[at]["name"] == name and (one.train, one.heldout) == parts:
                return at
        taken = any(one["name"] == name for one in found)
        found.append({
            "name": name, "of": of if taken else "", "about": "" if of else TASKS[name],
            "train": own.train[:_TRAINED], "heldout": own.heldout[:_HELD_OUT],
        })  # fmt: skip
        known.append(own)
        return len(found) - 1

    for name in TASKS:
        place(name, load(name), "")
    return found, [
        place(str(run.task), one, f"run {at + 1}, {run.name}") if one else None
        for at, (run, one) in enumerate(zip(runs, data, strict=True))
    ]


def parity(pieces: Pieces, run: Run, steps: list[int]) -> dict[str, Any]:
    """What torch computes: logits and answers to a few questions, of a run's last packed step or of its base."""
    source = run.base
    with offline():
        model, tokenizer = load_model(source), load_tokenizer(source)
    if steps:
        weights = dict(model.named_parameters())
        with torch.no_grad():
            for module, about in run.info.modules.items():
                weights[about.in_base] += torch.from_numpy(run.delta(module, steps[-1]))
    asked = list(dict.fromkeys(run.answers["prompt"])) or [probe.prompt[-1]["content"] for probe in curriculum_probes()]
    asked = asked[:_CHECKED]
    chats = [[{"role": "user", "content": prompt}] for prompt in asked]
    ids = [tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False) for chat in chats]
    with torch.inference_mode():
        logits = [model(torch.tensor([row])).logits[0, -1].numpy().astype(np.float32) for row in ids]
    return {
        "step": steps[-1] if steps else 0, "prompts": asked, "ids": ids,
        "answers": generate_answers(model, tokenizer, chats, max_new_tokens=32),
        "logits": pieces.add_tensors({str(at): row for at, row in enumerate(logits)}), "torch": torch.__version__,
    }  # fmt: skip
