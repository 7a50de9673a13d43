"""How was a question of a run really asked? With all that stood before it, and to its last letter: its answers repeat
neither, and the page's model is to be asked as the run's was."""

from typing import TYPE_CHECKING, Any

from engine.errors import InputError
from engine.run.run import Run
from visualize.page.told import shortened

if TYPE_CHECKING:
    from engine.data import Conversations
    from engine.messages import Message

_READ = {"system", "user", "assistant"}, {"role", "content", "weight"}  # all that the page's model reads of a message


def data_at_hand(run: Run) -> "Conversations | None":
    """What it was trained on; None where that was made in Python, lies elsewhere, or has changed since."""
    from engine.data.of_run import data_of  # loads torch

    try:
        return data_of(run) if run.task else None
    except InputError:
        return None


def asked_whole(run: Run, data: "Conversations | None") -> list[tuple[str, Any]]:
    """(a question as the page shows it, all that the model was given), where the two differ.

    None in place of what was given where nobody knows it: the run's data is not at hand, or two of its questions look
    alike.
    """
    from engine.evaluate import task_probes

    rows = run.answers[["skill", "prompt"]].drop_duplicates()
    task = rows[rows.skill == run.task].prompt
    given: dict[str, list[Any]] = {}
    for prompt in rows[rows.skill != run.task].prompt:  # these stand alone
        given.setdefault(shortened(prompt), []).append([{"role": "user", "content": prompt}])
    probes = task_probes(str(run.task), data.heldout, len(task)) if data else []
    for prompt in task:
        same = [probe.prompt for probe in probes if probe.prompt[-1]["content"] == prompt]
        given.setdefault(shortened(prompt), []).extend(map(_readable, same) if same else [None])
    found = [(shown, whole[0] if all(one == whole[0] for one in whole) else None) for shown, whole in given.items()]
    return [(shown, whole) for shown, whole in found if whole != [{"role": "user", "content": shown}]]


def _readable(messages: "list[Message] | None") -> "list[Message] | None":
    roles, keys = _READ
    if messages is None or any(one["role"] not in roles or not one.keys() <= keys for one in messages):
        return None
    return [{"role": one["role"], "content": one["content"]} for one in messages]
