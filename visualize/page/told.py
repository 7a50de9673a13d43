"""What does a page say of a run beside its weights? Facts, log, skills, answers, norms; and the diagnosis."""

from contextlib import suppress
from typing import Any

import numpy as np

from engine.errors import InputError
from engine.inspect.diagnose import diagnose, norms_of
from engine.recording.lock import is_held
from engine.run.run import Run
from engine.school.curriculum import SKILLS
from visualize.naming import proper

_ROWS, _ANSWERS, _LETTERS = 4000, 3000, 400


def told_of(run: Run) -> dict[str, Any]:
    """All that is no weight, and quickly read: facts, log, skills, answers, norms."""
    info = run.info.to_json()
    cut: list[str] = []
    modules = [
        {"name": name, **{key: getattr(about, key) for key in ("shape", "kind", "r", "base_parameter")}}
        for name, about in run.info.modules.items()
    ]
    kept = ("method", "model", "settings", "data", "seed", "versions", "host", "created", "command", "seconds",
            "capture", "differences", "evaluated")  # fmt: skip
    skills, losses = run.skills, run.skill_losses
    return {
        "name": run.name, "what": proper(run.what), "method": run.method, "task": run.task, "status": _status(run),
        "info": {key: info[key] for key in kept if key in info}, "modules": modules,
        "captured": list(run.steps), "metrics": table(run.metrics, cut), "skills": table(skills, cut),
        "titles": {name: SKILLS[name].title if name in SKILLS else proper(name) for name in map(str, skills)},
        "losses": table(losses, cut), "answers": _answers(run, cut), "norms": _norms(run),
        "place": str(run.path), "cut": cut, "unknown_steps": not run.info.step_known,
    }  # fmt: skip


def _status(run: Run) -> str:
    """A run that says "running", and that no process writes, was killed."""
    return "stopped" if run.status == "running" and not is_held(run.path) else run.status


def diagnosed(run: Run) -> dict[str, Any]:
    """The diagnosis, and what the run takes on the disk."""
    size = 0
    for path in run.path.rglob("*") if run.path.is_dir() else ():
        with suppress(OSError):  # gone meanwhile: the run is still being written
            size += path.stat().st_size if path.is_file() else 0
    return {"findings": [list(finding) for finding in diagnose(run)], "bytes": size}


def table(frame: Any, cut: list[str]) -> dict[str, Any]:
    """{"steps": [...], "columns": {name: [...]}}: numbers only, to six digits. Of too many rows some, and the last."""
    if len(frame) > _ROWS:
        kept = sorted({*range(0, len(frame), -(-len(frame) // _ROWS)), len(frame) - 1})
        cut.append(f"{len(kept)} of the {len(frame)} logged steps")
        frame = frame.iloc[kept]
    numbers = frame.select_dtypes("number")
    return {
        "steps": [int(step) for step in numbers.index],
        "columns": {str(name): [short(value) for value in numbers[name]] for name in numbers},
    }


def short(value: float) -> float | None:
    return float(f"{float(value):.6g}") if np.isfinite(value) else None


def _answers(run: Run, cut: list[str]) -> list[dict[str, Any]]:
    found = [{str(key): value for key, value in row.items()} for row in run.answers.to_dict("records")]
    if len(found) > _ANSWERS:
        steps = sorted({row["step"] for row in found})
        kept = {steps[0], steps[-1]}
        found = [row for row in found if row["step"] in kept][:_ANSWERS]
        cut.append(f"answers of {len(steps) - 2} steps between the first and the last")
    long = sum(len(str(row[key])) > _LETTERS for row in found for key in ("prompt", "expected", "answer"))
    if long:
        cut.append(f"the end of {long} prompts and answers longer than {_LETTERS} letters")
    return [{key: shortened(value) if isinstance(value, str) else value for key, value in row.items()} for row in found]


def shortened(text: str) -> str:
    """As much of a prompt or an answer as the page shows."""
    return text[:_LETTERS] + "…" if len(text) > _LETTERS else text


def _norms(run: Run) -> dict[str, Any]:
    """Of every matrix at every captured step; where there is no record of them, of the last step."""
    try:
        return table(run.norms, [])
    except InputError:
        last = norms_of(run) if run.steps else {}
        return {"steps": run.steps[-1:], "columns": {name: [short(value)] for name, value in last.items()}}
