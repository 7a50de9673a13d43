"""How does a Run go on after a stop? What came after the checkpoint is dropped, so that no step is there twice."""

import json
import shutil
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from engine.errors import InputError
from engine.files import PART, write_text
from engine.recording.lock import lock, unlock
from engine.recording.trained import Part
from engine.run.format import START, START_SCRATCH, capture_path, later_starts, read_lines, start_path
from engine.run.info import FORMAT
from engine.run.run import Run

RECORDS = ("metrics.jsonl", "answers.jsonl", "norms.jsonl")


def holds_run(folder: Path) -> bool:
    return (folder / "run.json").is_file()


# What Glasstune itself puts into a Run's folder.
_OURS = {"run.json", *RECORDS, "captures", "checkpoints", "adapter", "model", START, START_SCRATCH, "run.lock",
         "recipe.json"}  # fmt: skip


def check_ours(folder: Path) -> None:
    """Raises InputError unless the folder is a Run's with nothing in it but what Glasstune wrote, and nobody writes."""
    try:
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        ours = isinstance(about, dict) and about.get("format") == FORMAT
    except (OSError, ValueError, RecursionError):
        ours = False
    if not ours:
        raise InputError(f"{folder} is not overwritten: its run.json was not written by Glasstune; give another folder")
    if folder.is_symlink():
        raise InputError(f"{folder} is not overwritten: it is a link to another folder; give that one")
    later = {path.name for path in later_starts(folder)}
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or path.name.removesuffix(PART) not in _OURS | later:
            raise InputError(
                f"{folder} is not overwritten: {path.name} in it is not a run's; move it away, or give another folder"
            )
    unlock(folder, lock(folder))  # another process may be at it


def remove_run(folder: Path) -> None:
    """Delete a Run: by a rename first, so that a kill leaves all of it or none under its name."""
    gone = folder.with_name(f".{folder.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    folder.replace(gone)
    shutil.rmtree(gone)


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
