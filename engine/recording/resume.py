"""How does a Run go on after a stop? What came after the checkpoint is dropped, so that no step is there twice."""

import json
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from engine.errors import InputError
from engine.files import PART, write_text
from engine.recording.ours import RECORDS
from engine.recording.trained import Part
from engine.run.format import capture_path, later_starts, read_lines, start_path
from engine.run.run import Run


def rewind(folder: Path, step: int) -> dict[str, Any]:
    """Make the Run in `folder` what it was after `step`, and give its run.json. Half-written files go too."""
    run = Run.load(folder)
    for file in RECORDS:
        kept = [record for record in read_lines(folder / file) if record["step"] <= step]
        write_text(folder / file, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in kept))
    for later in (captured for captured in run.steps if captured > step):
        capture_path(folder, later).unlink()
    for start, since in later_starts(folder).items():
        if since > step:
            start.unlink()
    for half in (folder / "captures").glob(f"*{PART}"):
        half.unlink()
    return run.info.raw


def later_modules(folder: Path, asked: int) -> tuple[set[str], set[str]]:
    """What the Run in `folder` saw unfrozen: until step `asked`, and after it."""
    since = {name: about.since for name, about in Run.load(folder).info.modules.items() if about.since is not None}
    until = {name for name, step in since.items() if step <= asked}
    return until, since.keys() - until


def adopt(folder: Path, parts: dict[str, Part], asked: int) -> None:
    """Take over how the Run in `folder` keeps each part.

    asked: the step from which training goes on. Raises InputError, before anything is dropped, if it is another
    training's run, or lost what its changes are measured from.
    """
    modules = Run.load(folder).info.modules
    modules = {name: about for name, about in modules.items() if about.since is None or about.since <= asked}
    for name, part in parts.items():
        before = modules.get(name)
        if before is None or replace(before, sketch=None, since=None) != part.about:
            raise InputError(
                f"{folder} cannot be continued from step {asked}: it holds a run in which {name} was "
                f"{'trained otherwise' if before else 'not trained'}; give another folder"
            )
        part.about = replace(part.about, sketch=before.sketch, since=before.since)
    if missing := modules.keys() - parts.keys():
        raise InputError(
            f"{folder} cannot be continued from step {asked}: its run captured {min(missing)}, which is not trained or "
            "not asked for now; give another folder"
        )
    for part in parts.values():
        summarised = part.about.sketch is not None
        file = start_path(folder, part.about.since, summarised)
        if part.start and not file.is_file():
            why = "its run was finished, and its summaries need it" if summarised else "changes are measured from it"
            raise InputError(f"{folder} cannot be continued: {file.name} is gone, and {why}; give another folder")
