"""How does a Run go on after a stop? What came after the checkpoint is dropped, so that no step is there twice."""

import json
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.recording.trained import Part
from engine.run.format import START, START_SCRATCH, capture_path, read_lines, write_text
from engine.run.run import Run

RECORDS = ("metrics.jsonl", "answers.jsonl", "norms.jsonl")


def holds_run(folder: Path) -> bool:
    return (folder / "run.json").is_file()


def rewind(folder: Path, step: int) -> dict[str, Any]:
    """Make the Run in `folder` what it was after `step`, and give its run.json. Half-written files go too."""
    run = Run.load(folder)
    for file in RECORDS:
        kept = [record for record in read_lines(folder / file) if record["step"] <= step]
        write_text(folder / file, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in kept))
    for later in (captured for captured in run.steps if captured > step):
        capture_path(folder, later).unlink()
    for half in (folder / "captures").glob("*.part"):
        half.unlink()
    return run.info


def adopt(folder: Path, parts: dict[str, Part], asked: int) -> None:
    """Take over how the Run in `folder` keeps each part.

    asked: the step from which training goes on. Raises InputError, before anything is dropped, if it is another
    training's run, or lost what its changes are measured from.
    """
    info = Run.load(folder).info
    for name, part in parts.items():
        before = dict(info["modules"].get(name, {}))
        level = before.pop("sketch", None)
        if before != json.loads(json.dumps(part.about)):
            raise InputError(
                f"{folder} cannot be continued from step {asked}: it holds a run in which {name} was "
                f"{'trained otherwise' if before else 'not trained'}; give another folder"
            )
        if level is not None:
            part.about["sketch"] = level
    if missing := info["modules"].keys() - parts.keys():
        raise InputError(
            f"{folder} cannot be continued from step {asked}: its run captured {min(missing)}, which is not trained or "
            "not asked for now; give another folder"
        )
    for file, summarised in ((START, False), (START_SCRATCH, True)):
        needed = any(part.start and ("sketch" in part.about) is summarised for part in parts.values())
        if needed and not (folder / file).is_file():
            why = "its run was finished, and its summaries need it" if summarised else "changes are measured from it"
            raise InputError(f"{folder} cannot be continued: {file} is gone, and {why}; give another folder")
