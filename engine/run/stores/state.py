"""What does a Trainer say beside the weights that it saved? Its trainer_state.json: the step, and the log."""

from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.reading import read_json, whole_number
from engine.run.form import check_record, is_count
from engine.run.format import evaluated_losses

STATE = "trainer_state.json"


def read_state(folder: Path) -> dict[str, Any] | None:
    """trainer_state.json of a folder, if there is one. Raises InputError if it is broken."""
    place = folder if folder.is_dir() else folder.parent
    if not (place / STATE).is_file():
        return None
    state = read_json(place / STATE, within=place)
    if not isinstance(state.get("log_history"), list) or not is_count(state.get("global_step")):
        raise InputError(f"{place / STATE} has no log_history or global_step: transformers' Trainer did not write it")
    return state


def step_of(folder: Path, state: dict[str, Any] | None) -> tuple[int, bool]:
    """(step, whether it is known): from trainer_state.json or the name checkpoint-N; else 1, and not known."""
    if state:
        return int(state["global_step"]), True
    number = checkpoint_number(folder)
    return (1, False) if number is None else (number, True)


def checkpoint_number(folder: Path) -> int | None:
    """The step in the name checkpoint-N; None for any other name."""
    before, _, number = folder.name.rpartition("checkpoint-")
    return None if before else whole_number(number)


def records_of(state: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The Trainer's log_history as metrics.jsonl's records: "loss" lines train, "eval_..._loss" lines evaluate."""
    records: list[dict[str, Any]] = []
    for line in (state or {}).get("log_history", []):
        if not isinstance(line, dict) or not is_count(line.get("step")):
            continue  # a custom callback's
        if "loss" in line:
            logged = {name: value for name, value in line.items() if isinstance(value, int | float | str | None)}
            record: dict[str, Any] = {**logged, "event": "train"}
        else:
            record = {"step": line["step"], "event": "eval", "exact": {}, "loss": evaluated_losses(line)}
        if record["loss"] != {} and not check_record(record):
            records.append(record)
    return records
