"""Which of the checkpoints in one folder are of one training, and which of them is its result?

A Trainer that runs twice with one output_dir leaves checkpoints of both; one that loads its best at the end leaves in
the folder itself the weights of an earlier step.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.run.stores.state import STATE
from engine.run.tensors import Tensors

State = dict[str, Any]


def one_training(folder: Path, own: State | None, states: Mapping[Path, State]) -> tuple[State, list[Path]]:
    """The state of the training that is meant, and the checkpoints of others.

    own: the folder's own state, which decides; else the checkpoint that was written last does. Raises InputError if
    they disagree and their times do not tell.
    """
    if own is None:
        furthest = max(states, key=lambda place: states[place]["global_step"])
        if any(not agree(states[furthest], state) for state in states.values()):
            written = {place: (place / STATE).stat().st_mtime_ns for place in states}
            furthest = max(written, key=lambda place: written[place])
            ties = [place for place, when in written.items() if when == written[furthest]]
            if any(not agree(states[furthest], states[place]) for place in ties):
                names = ", ".join(sorted(place.name for place in states))
                raise InputError(
                    f"{folder} holds checkpoints of several trainings ({names}), whose logs differ, and no {STATE} of "
                    "its own that tells which is meant; give one of them"
                )
        own = states[furthest]
    return own, [place for place, state in states.items() if not agree(own, state)]


def agree(state: State, other: State) -> bool:
    """Whether two states are of one training: what both logged up to the earlier of them is the same."""
    until = min(state["global_step"], other["global_step"])
    logs = [_logged(each, until) for each in (state, other)]
    if not logs[0] and not logs[1]:
        return state.get("max_steps") == other.get("max_steps")
    return logs[0] == logs[1]


def _logged(state: State, until: int) -> dict[tuple[int, str], str]:
    """(step, what) -> the number, as text, in which NaN is equal to itself."""
    lines = [line for line in state["log_history"] if isinstance(line, dict) and isinstance(line.get("step"), int)]
    return {
        (line["step"], name): repr(value)
        for line in lines
        if line["step"] <= until
        for name, value in line.items()
        if name == "loss" or (name.startswith("eval_") and name.endswith("loss"))
    }


def equal_weights(one: Path, other: Path) -> bool:
    """Whether two folders hold the same tensors, bit for bit."""
    stems = ["adapter_model" if (place / "adapter_config.json").is_file() else "model" for place in (one, other)]
    if stems[0] != stems[1]:
        return False
    a, b = Tensors(one, stems[0]), Tensors(other, stems[1])
    about = [{name: (entry.dtype, entry.shape) for name, entry in each.entries.items()} for each in (a, b)]
    return about[0] == about[1] and all(a.same(name, b) for name in a.entries)
