"""How does a Run go on after a stop? What came after the checkpoint is dropped, so that no step is there twice."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from engine.errors import InputError
from engine.files import PART, write_text
from engine.linear import norm
from engine.recording.ours import RECORDS
from engine.recording.trained import Part
from engine.recording.writer import Writer, is_sharded
from engine.run.format import capture_path, later_starts, read_lines, start_path
from engine.run.run import Run

_COMPARED = 8  # modules by which a training is known again
_ANOTHER = 0.25  # of a change: two trainings are further apart; an average of one's weights, or fewer bits, is not


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


def adopt(folder: Path, parts: dict[str, Part], asked: int, seed: int | None = None) -> None:
    """Take over how the Run in `folder` keeps each part.

    asked: the step from which training goes on, with the weights that it has now. seed: its own, if known. Raises
    InputError, before anything is dropped, if it is another training's run, or lost what its changes are measured from.
    """
    run = Run.load(folder)
    modules = {name: about for name, about in run.info.modules.items() if about.since is None or about.since <= asked}
    for name, part in parts.items():
        before = modules.get(name)
        if before is None or replace(before, sketch=None, since=None) != part.about:
            trained = f"{name} was {'trained otherwise' if before else 'not trained'}"
            raise InputError(_refused(folder, asked, f"it holds a run in which {trained}"))
        part.about = replace(part.about, sketch=before.sketch, since=before.since)
    if missing := modules.keys() - parts.keys():
        said = f"its run captured {min(missing)}, which is not trained or not asked for now"
        raise InputError(_refused(folder, asked, said))
    for part in parts.values():
        summarised = part.about.sketch is not None
        file = start_path(folder, part.about.since, summarised)
        if part.start and not file.is_file():
            why = "its run was finished, and its summaries need it" if summarised else "changes are measured from it"
            raise InputError(f"{folder} cannot be continued: {file.name} is gone, and {why}; give another folder")
    _know_again(run, parts, asked, seed)


def _know_again(run: Run, parts: dict[str, Part], asked: int, seed: int | None) -> None:
    """Raises InputError if the Run is another training's, though of the same modules: by its weights after that step,
    where it kept them, and else by its seed. Of sharded weights a process alone holds a part."""
    lines = read_lines(run.path / "norms.jsonl")
    kept: dict[str, float] = next((line["norms"] for line in lines if line["step"] == asked), {})
    moved = [] if asked not in run.steps or is_sharded(parts) else [name for name in parts if kept.get(name)]
    moved = sorted(moved, key=lambda name: math.prod(parts[name].about.shape))[:_COMPARED]
    apart = _apart(run, {name: parts[name] for name in moved}, asked)
    if apart and np.median(list(apart.values())) > _ANOTHER:
        name = max(apart, key=lambda name: apart[name])
        said = f"the weights of that step are not those it has here: what changed in {name} is {apart[name]:.0%} off"
        raise InputError(_refused(run.path, asked, f"it holds another training's run, for {said}"))
    its = run.info.raw.get("seed")
    if not apart and None not in (seed, its) and seed != its:
        raise InputError(_refused(run.path, asked, f"it holds a run with seed {its}, and this one has {seed}"))


@np.errstate(all="ignore")
def _apart(run: Run, parts: dict[str, Part], step: int) -> dict[str, float]:
    """Module -> how far its change is from the Run's after a step, in norms of that; of a sketch, in its directions."""
    found = {}
    writer = Writer(run.path, parts, True, lambda *_: None, None)
    try:
        for name, now in writer.changes():
            about = parts[name].about
            if about.sketch is None:
                kept = run.delta(name, step)
                kept = kept if about.rows is None else kept[list(about.rows)]
            elif (known := run.sketch(name, step)) and len(known.S):
                now, kept = known.U.T @ now @ known.Vt.T, np.diag(known.S)
            else:
                now, kept = np.array(norm(now)), np.array(known.norm)
            found[name] = norm(now - kept) / norm(kept)
    finally:
        writer.close()
    return {name: share for name, share in found.items() if math.isfinite(share)}


def _refused(folder: Path, asked: int, why: str) -> str:
    return f"{folder} cannot be continued from step {asked}: {why}; give another folder"
