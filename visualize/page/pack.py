"""What of a Run goes into its page? All that Glasstune knows of it and that fits: one manifest, and pieces of weights.

The model itself goes in where it is small enough to be run by the browser; then so does what it can be trained and
graded on (`model.py`, which alone loads torch).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import InputError
from engine.inspect.diagnose import diagnose, norms_of
from engine.measure import singular_values
from engine.reading import read_json, read_text
from engine.run.base import base_folder
from engine.run.run import Run
from engine.run.sketch import Level, block_means, sketch_factors
from engine.run.tensors import Tensors
from visualize.page.pieces import Pieces
from visualize.page.weights import Packed, pack_factors, pack_grains, pack_pictures
from visualize.theme import PALETTES

FORMAT, VERSION = "glasstune-page", 1
WHOLE = 4_000_000  # weights: beyond it a matrix is shown as a picture, and the browser runs no model
_ROWS, _ANSWERS, _LETTERS = 4000, 3000, 400
_BESIDE = 60_000  # bytes for what tells the pieces apart, and torch's numbers


def pack(runs: Sequence[Run], budget: int) -> Pieces:
    """Everything of these runs that fits into `budget` bytes of text; piece 0 is the manifest, in JSON.

    Raises InputError for runs of different base models, which cannot share a page, and for a budget too small.
    """
    sources = list(dict.fromkeys(run.info.model.source for run in runs))
    if len(sources) > 1:
        raise InputError(f"the runs have different base models ({', '.join(map(str, sources))}); write a page for each")
    pieces = Pieces([""])  # the manifest's place
    base = _base(pieces, sources[0], runs, budget)
    live = base is not None and base["live"]
    manifest: dict[str, Any] = {
        "format": FORMAT, "version": VERSION, "base": base,
        "themes": {name: vars(one) for name, one in PALETTES.items()},
        **(_taught(runs) if live else {"skills": {}, "tasks": {}, "replay": [], "probes": []}),
    }  # fmt: skip
    told = [_told(run) for run in runs]
    texts = Pieces()
    texts.add_json([manifest, told])
    room = budget - pieces.size - texts.size - _BESIDE
    if room < 0:
        raise InputError(
            f"a page of {budget / 1e6:.1f} MB has no room for these runs: without any weights they take "
            f"{(budget - room) / 1e6:.1f} MB; give a larger budget"
        )
    for run, one in zip(runs, told, strict=True):
        packed = _weights(pieces, run, room // len(runs), whole=base is not None or _size(run) <= WHOLE)
        one |= packed._asdict() | {"pieces": packed.pieces}
        one["left_out"] = [*one["left_out"], *one.pop("cut")]
        if packed.form == "pictures":
            one["singular"] = _singular(run, packed.steps)
        if live:
            one["parity"] = _parity(pieces, run, packed.steps)
    if base is not None and live:
        base["parity"] = _parity(pieces, runs[0], [])
    pieces.texts[0] = _text(manifest | {"runs": told})
    return pieces


def _text(value: Any) -> str:
    alone = Pieces()
    alone.add_json(value)
    return alone.texts[0]


def _size(run: Run) -> int:
    return sum(int(np.prod(about.shape)) for about in run.info.modules.values())


# --- the model ---------------------------------------------------------------------------------------


def _base(pieces: Pieces, source: str | None, runs: Sequence[Run], budget: int) -> dict[str, Any] | None:
    """The base model's tensors in full precision, and all that running it takes; None if it is not at hand or large."""
    if not source:
        return None
    try:
        folder = base_folder(source)
        tensors = Tensors(folder)
        if sum(int(np.prod(entry.shape)) for entry in tensors.entries.values()) > WHOLE:
            return None
        weights = {name: tensors.read(name).astype(np.float32) for name in tensors.entries}
    except InputError:
        return None
    trial = Pieces()
    listed = trial.add_tensors(weights)
    if trial.size > 0.7 * budget:
        return None
    pieces.texts += trial.texts
    files = {name: _json(folder / f"{name}.json") for name in ("config", "tokenizer", "tokenizer_config")}
    template = folder / "chat_template.jinja"
    live = (
        files["config"] is not None and files["config"].get("model_type") == "llama" and files["tokenizer"] is not None
    )
    return {
        "source": source, "name": runs[0].info.model.name, **files, "live": live,
        "chat_template": read_text(template) if template.is_file() else None,
        "weights": {**listed, "piece": len(pieces.texts) - 1},
    }  # fmt: skip


def _taught(runs: Sequence[Run]) -> dict[str, Any]:
    from visualize.page.model import taught  # loads torch

    return taught(runs)


def _parity(pieces: Pieces, run: Run, steps: list[int]) -> dict[str, Any]:
    from visualize.page.model import parity

    return parity(pieces, run, steps)


def _json(path: Path) -> dict[str, Any] | None:
    try:
        return read_json(path)
    except InputError:
        return None


# --- a run -------------------------------------------------------------------------------------------


def _told(run: Run) -> dict[str, Any]:
    """All that is no weight: facts, log, skills, answers, norms, the diagnosis."""
    info = run.info.to_json()
    cut: list[str] = []
    modules = [
        {"name": name, **{key: getattr(about, key) for key in ("shape", "kind", "r", "base_parameter", "transposed")}}
        for name, about in run.info.modules.items()
    ]
    kept = ("method", "model", "settings", "data", "seed", "versions", "host", "created", "command", "seconds",
            "capture", "differences", "evaluated")  # fmt: skip
    files = [path for path in run.path.rglob("*") if path.is_file()] if run.path.is_dir() else []
    skills, losses = run.skills, run.skill_losses
    return {
        "name": run.name, "what": run.what, "method": run.method, "task": run.task, "status": run.status,
        "info": {key: info[key] for key in kept if key in info}, "modules": modules,
        "captured": list(run.steps), "metrics": _table(run.metrics, cut), "skills": _table(skills, cut),
        "losses": _table(losses, cut), "answers": _answers(run, cut), "norms": _norms(run),
        "findings": [list(finding) for finding in diagnose(run)],
        "bytes": sum(path.stat().st_size for path in files), "place": str(run.path), "cut": cut,
        "unknown_steps": not run.info.step_known,
    }  # fmt: skip


def _table(frame: Any, cut: list[str]) -> dict[str, Any]:
    """{"steps": [...], "columns": {name: [...]}}: numbers only, to six digits."""
    every = max(1, -(-len(frame) // _ROWS))
    if every > 1:
        cut.append(f"every {every}th of {len(frame)} logged steps")
        frame = frame.iloc[::every]
    numbers = frame.select_dtypes("number")
    return {
        "steps": [int(step) for step in numbers.index],
        "columns": {str(name): [_short(value) for value in numbers[name]] for name in numbers},
    }


def _short(value: float) -> float | None:
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
    return [
        {key: value[:_LETTERS] + "…" if isinstance(value, str) and len(value) > _LETTERS else value
         for key, value in row.items()}
        for row in found
    ]  # fmt: skip


def _norms(run: Run) -> dict[str, Any]:
    """Of every matrix at every captured step; where there is no record of them, of the last step."""
    try:
        return _table(run.norms, [])
    except InputError:
        last = norms_of(run) if run.steps else {}
        return {"steps": run.steps[-1:], "columns": {name: [_short(value)] for name, value in last.items()}}


# --- its weights -------------------------------------------------------------------------------------


def _weights(pieces: Pieces, run: Run, room: int, whole: bool) -> Packed:
    """What fits of the changes: exactly, rounded, as pictures, or nothing; and what is left out, in sentences."""
    modules = [name for name in run.info.modules if not run.is_sketched(name) and _readable(run, name)]
    lost = [name for name in run.info.modules if name not in modules and not run.is_sketched(name)]
    wanted = sorted(set(run.answers["step"])) if len(run.answers) else []
    missing = [f"the change of {len(lost)} matrices, which cannot be computed without the base model"] if lost else []
    if not run.steps or not run.info.modules:
        return Packed("none", [], [], {}, ["weights: the run kept none"])
    packed = None
    if whole and modules and len(modules) + len(lost) == len(run.info.modules):
        if all(run.kind(name) == "lora" for name in modules):
            packed = pack_factors(pieces, run, modules, wanted, room)
        packed = packed or pack_grains(pieces, run, modules, wanted, room)
    if packed is None:
        matrices = [name for name in run.modules if name not in lost]
        packed = pack_pictures(pieces, run, matrices, wanted, room, lambda *asked: _picture(run, *asked))
        if not whole:
            packed.left_out.append(
                "the model itself, which is too large to run in a page: its answers are those captured"
            )
    packed.left_out.extend(missing)
    return packed


def _readable(run: Run, module: str) -> bool:
    try:
        run.delta(module)
    except InputError:
        return False
    return True


def _picture(run: Run, module: str, step: int, side: int) -> np.ndarray:
    if run.is_sketched(module):
        picture = run.sketch(module, step).picture
        return block_means(picture, side) if picture.size else np.zeros((1, 1), np.float32)
    if run.kind(module) == "lora":
        return sketch_factors(run.factors(module, step), Level(0, side)).picture
    return block_means(run.delta(module, step), side)


def _singular(run: Run, steps: list[int]) -> dict[str, list[Any]]:
    """The largest singular values of every LoRA or sketched matrix, by step: those that are cheap to have."""
    cheap = [name for name in run.modules if run.is_sketched(name) or run.kind(name) == "lora"]
    found: dict[str, list[Any]] = {}
    for name in cheap:
        try:
            found[name] = [[_short(value) for value in singular_values(run, name, step)[:16]] for step in steps]
        except InputError:
            continue
    return found
