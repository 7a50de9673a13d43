"""What of a Run goes into its page? All that Glasstune knows of it and that fits: one manifest, and pieces of weights.

Everything that the page's Python needs of the engine is imported here. The model itself goes in where it is small
enough to be run by the browser; then so do the tasks and skills that it can be trained and graded on.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.capture.sketch import Level, block_means, sketch_factors
from engine.curriculum import SKILLS, mixture
from engine.data import load
from engine.diagnose import diagnose, norms_of
from engine.errors import InputError
from engine.evaluate import OPEN_ENDED, curriculum_groups, curriculum_probes
from engine.measure import singular_values
from engine.run import Run
from engine.sources.base import base_folder
from engine.sources.tensors import Tensors
from engine.tasks import TASKS
from visualize.page.pieces import Pieces
from visualize.page.weights import Packed, pack_factors, pack_grains, pack_pictures
from visualize.theme import PALETTES

FORMAT, VERSION = "glasstune-page", 1
WHOLE = 4_000_000  # weights: beyond it a matrix is shown as a picture, and the browser runs no model
_GRADED, _REPLAY, _ROWS, _LETTERS = 20, 512, 4000, 400


def pack(runs: Sequence[Run], budget: int) -> Pieces:
    """Everything of these runs that fits into `budget` bytes of text; piece 0 is the manifest, in JSON.

    Raises InputError for runs of different base models, which cannot share a page, and for a budget too small.
    """
    sources = list(dict.fromkeys(run.info.get("model", {}).get("source") for run in runs))
    if len(sources) > 1:
        raise InputError(f"the runs have different base models ({', '.join(map(str, sources))}); write a page for each")
    pieces = Pieces([""])  # the manifest's place
    base = _base(pieces, sources[0], runs, budget)
    manifest: dict[str, Any] = {
        "format": FORMAT, "version": VERSION, "base": base, "themes": {name: vars(one) for name, one in PALETTES.items()},
        "skills": _skills() if base and base["live"] else {},
        "tasks": _tasks(runs) if base and base["live"] else {},
        "replay": _replay() if base and base["live"] else [],
        "probes": [{"skill": p.skill, "prompt": p.prompt[-1]["content"], "expected": p.expected}
                   for p in curriculum_probes()] if base and base["live"] else [],
    }  # fmt: skip
    told = [_told(run) for run in runs]
    texts = Pieces()
    texts.add_json([manifest, told])
    room = budget - pieces.size - texts.size - 40_000
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
        if base and base["live"]:
            one["parity"] = _parity(pieces, run, packed.steps)
    if base and base["live"]:
        base["parity"] = _parity(pieces, runs[0], [])
    pieces.texts[0] = _text(manifest | {"runs": told})
    return pieces


def _text(value: Any) -> str:
    alone = Pieces()
    alone.add_json(value)
    return alone.texts[0]


def _size(run: Run) -> int:
    return sum(int(np.prod(about["shape"])) for about in run.info["modules"].values())


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
    live = files["config"] is not None and files["config"].get("model_type") == "llama" and files["tokenizer"] is not None
    return {
        "source": source, "name": runs[0].info["model"].get("name"), **files, "live": live,
        "chat_template": template.read_text(encoding="utf-8") if template.is_file() else None,
        "weights": {**listed, "piece": len(pieces.texts) - 1},
    }  # fmt: skip


def _json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _skills() -> dict[str, Any]:
    """What the base was taught, to grade it on: name -> title, whether it has one right answer, conversations."""
    return {
        name: {"title": SKILLS[name].title, "closed": name not in OPEN_ENDED, "examples": group}
        for name, group in curriculum_groups(_GRADED).items()
    }


def _replay() -> list[Any]:
    drawn = mixture(seed=10_000)
    return [next(drawn)[1].messages for _ in range(_REPLAY)]


def _tasks(runs: Sequence[Run]) -> dict[str, Any]:
    """What can be trained on in the tab, the runs' own data first: name -> what it is, both parts."""
    own = {run.task: run.info["data"].get("source") for run in runs if run.task and run.info.get("data")}
    found = {}
    for name, source in {**own, **{name: name for name in TASKS}}.items():
        try:
            data = load(source)
        except (InputError, TypeError):
            continue  # it was made in Python, or lies elsewhere
        found[name] = {"about": TASKS.get(name, ""), "train": data.train[:2000], "heldout": data.heldout[:100]}
    return found


def _parity(pieces: Pieces, run: Run, steps: list[int]) -> dict[str, Any] | None:
    """What torch computes: logits and answers for a few questions, of the base, or of a run's last packed step."""
    import torch

    from engine.evaluate import generate_answers
    from engine.models import load_model, load_tokenizer

    source = run.info["model"]["source"]
    model, tokenizer = load_model(source), load_tokenizer(source)
    if steps:
        weights = dict(model.named_parameters())
        with torch.no_grad():
            for module, about in run.info["modules"].items():
                weights[about["base_parameter"]] += torch.from_numpy(run.delta(module, steps[-1]))
    asked = list(dict.fromkeys(run.answers["prompt"]))[:4] or [probe.prompt[-1]["content"] for probe in curriculum_probes()[:4]]
    chats = [[{"role": "user", "content": prompt}] for prompt in asked]
    ids = [tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False) for chat in chats]
    with torch.inference_mode():
        logits = [model(torch.tensor([row])).logits[0, -1].numpy().astype(np.float32) for row in ids]
    answers = generate_answers(model, tokenizer, chats, max_new_tokens=32)
    return {
        "step": steps[-1] if steps else 0, "prompts": asked, "ids": ids, "answers": answers,
        "logits": pieces.add_tensors({str(at): row for at, row in enumerate(logits)}), "torch": torch.__version__,
    }  # fmt: skip


# --- a run -------------------------------------------------------------------------------------------


def _told(run: Run) -> dict[str, Any]:
    """All that is no weight: facts, log, skills, answers, norms, the diagnosis."""
    info = run.info
    cut: list[str] = []
    modules = [
        {"name": name, **{key: about.get(key) for key in ("shape", "kind", "r", "base_parameter", "transposed")}}
        for name, about in info["modules"].items()
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
        "unknown_steps": not info.get("step_known", True),
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
    most = 3000
    if len(found) > most:
        steps = sorted({row["step"] for row in found})
        kept = {steps[0], steps[-1]}
        found = [row for row in found if row["step"] in kept][:most]
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
    modules = [name for name in run.info["modules"] if not run.is_sketched(name) and _readable(run, name)]
    lost = [name for name in run.info["modules"] if name not in modules and not run.is_sketched(name)]
    wanted = sorted(set(run.answers["step"])) if len(run.answers) else []
    missing = [f"the change of {len(lost)} matrices, which cannot be computed without the base model"] if lost else []
    if not run.steps or not run.info["modules"]:
        return Packed("none", [], [], {}, ["weights: the run kept none"])
    packed = None
    if whole and modules and len(modules) + len(lost) == len(run.info["modules"]):
        if all(run.kind(name) == "lora" for name in modules):
            packed = pack_factors(pieces, run, modules, wanted, room)
        packed = packed or pack_grains(pieces, run, modules, wanted, room)
    if packed is None:
        matrices = [name for name in run.modules if name not in lost]
        packed = pack_pictures(pieces, run, matrices, wanted, room, lambda *asked: _picture(run, *asked))
        if not whole:
            packed.left_out.append("the model itself, which is too large to run in a page: its answers are those captured")
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
