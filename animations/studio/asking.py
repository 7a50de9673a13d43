"""How was a watched question really asked? With all that stood before it: a system's or an earlier turn's words, which
a run's answers do not repeat."""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from engine.errors import InputError
from engine.run.run import Run

if TYPE_CHECKING:
    from engine.messages import Message


def as_asked(run: Run, prompts: Sequence[str]) -> "dict[str, list[Message]]":
    """By how each is shown, what the run's own evaluations gave the model. Where the run's data is not at hand any
    more, nobody knows what stood before a question of its task: then it stands alone."""
    from engine.data.of_run import data_of
    from engine.evaluate import task_probes

    asked: dict[str, list[Message]] = {prompt: [{"role": "user", "content": prompt}] for prompt in prompts}
    own = run.answers[run.answers.skill == run.task].prompt.unique()
    with suppress(InputError):
        probes = task_probes(str(run.task), data_of(run).heldout, len(own))
        asked |= {shown: probe.prompt for probe in probes if (shown := probe.prompt[-1]["content"]) in asked}
    return asked
