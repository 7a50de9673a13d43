"""What can the page's own model be asked, taught and checked with? Its curriculum, the tasks, and torch's numbers."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from engine.data import load
from engine.data.of_run import data_of
from engine.errors import InputError
from engine.evaluate import OPEN_ENDED, curriculum_groups, curriculum_probes, generate_answers
from engine.models import load_model, load_tokenizer
from engine.offline import offline
from engine.run.run import Run
from engine.school.curriculum import SKILLS, mixture
from engine.school.tasks import TASKS
from visualize.page.pieces import Pieces

_GRADED, _REPLAY, _TRAINED, _HELD_OUT, _CHECKED = 20, 512, 2000, 100, 4


def taught(runs: Sequence[Run]) -> dict[str, Any]:
    """What the base knows, what it can be trained on in the tab, what is mixed in against forgetting, and questions."""
    drawn = mixture(seed=10_000)
    return {
        "skills": {
            name: {"title": SKILLS[name].title, "closed": name not in OPEN_ENDED, "examples": group}
            for name, group in curriculum_groups(_GRADED).items()
        },
        "tasks": _tasks(runs),
        "replay": [next(drawn)[1].messages for _ in range(_REPLAY)],
        "probes": [
            {"skill": probe.skill, "prompt": probe.prompt[-1]["content"], "expected": probe.expected}
            for probe in curriculum_probes()
        ],
    }


def _tasks(runs: Sequence[Run]) -> dict[str, Any]:
    """The built-in tasks and the runs' own data, which comes before a task of the same name: what it is, both parts."""
    parts = {run.task: partial(data_of, run) for run in runs if run.task}
    found = {}
    for name, get in {**{name: partial(load, name) for name in TASKS}, **parts}.items():
        try:
            data = get()
        except InputError:
            continue  # it was made in Python, lies elsewhere, or has changed since
        if not all(len(chat) > 1 and chat[-1]["role"] == "assistant" for chat in [*data.train, *data.heldout]):
            continue  # whole texts, say, which ask nothing
        found[name] = {
            "about": TASKS.get(name, ""),
            "train": data.train[:_TRAINED],
            "heldout": data.heldout[:_HELD_OUT],
        }
    return found


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
