"""What of a Run goes into its page? All that Glasstune knows of it and that fits: one manifest, and pieces of weights.

The model itself goes in where it is small enough to be run by the browser; then so does what it can be trained and
graded on (`model.py`, which alone loads torch).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.errors import InputError
from engine.measure import singular_values
from engine.run.base import base_folder
from engine.run.info import Module
from engine.run.run import Run
from engine.run.tensors import Tensors
from visualize.page.pieces import Pieces, as_text
from visualize.page.runnable import is_runnable, json_of, plays
from visualize.page.told import diagnosed, short, told_of
from visualize.page.weights import Packed, pack_factors, pack_grains, pack_pictures, picture_of
from visualize.theme import PALETTES

FORMAT, VERSION = "glasstune-page", 1
WHOLE = 4_000_000  # weights: beyond it a matrix is shown as a picture, and the browser runs no model
_BESIDE = 60_000  # bytes for what tells the pieces apart, and torch's numbers


def pack(runs: Sequence[Run], budget: int, page: int = 0) -> Pieces:
    """Everything of these runs that fits into `budget` bytes of text, of which the page itself takes `page`; piece 0 is
    the manifest, in JSON.

    Raises InputError for runs of different base models, which cannot share a page, and for a budget too small.
    """
    sources = list(dict.fromkeys(run.info.model.source for run in runs))
    if len(sources) > 1:
        raise InputError(f"the runs have different base models ({', '.join(map(str, sources))}); write a page for each")
    pieces = Pieces([""])  # the manifest's place
    base = base_of(pieces, sources[0], runs, budget - page)
    live = base is not None and base["live"]
    taught: dict[str, Any] = {"skills": {}, "tasks": [], "replay": [], "probes": [], "runs": [{} for _ in runs]}
    if live:
        taught = _taught(runs)
    told = [told_of(run) | diagnosed(run) | own for run, own in zip(runs, taught.pop("runs"), strict=True)]
    manifest: dict[str, Any] = {
        "format": FORMAT, "version": VERSION, "base": base,
        "themes": {name: vars(one) for name, one in PALETTES.items()}, **taught,
    }  # fmt: skip
    texts = Pieces()
    texts.add_json([manifest, told])
    room = budget - page - pieces.size - texts.size - _BESIDE
    if room < 0:
        raise InputError(
            f"a page of {budget / 1e6:.2f} MB has no room for these runs: without any weights it takes "
            f"{(budget - room) / 1e6:.2f} MB; give a larger budget"
        )
    for run, one in zip(runs, told, strict=True):
        packed = _weights(pieces, run, room // len(runs), whole=base is not None or size_of(run) <= WHOLE)
        one |= packed._asdict() | {"pieces": packed.pieces}
        one["left_out"] = [*one["left_out"], *one.pop("cut"), *([] if base else _without_model(run))]
        if packed.form == "pictures":
            one["singular"] = _singular(run, packed.steps)
        one["plays"] = live and plays(run, packed.form)
        if one["plays"]:
            one["parity"] = _parity(pieces, run, packed.steps)
        elif live:
            one["left_out"].append("what the tuned model says to other questions: its answers are those captured")
    if base is not None and live:
        base["parity"] = _parity(pieces, runs[0], [])
    pieces.texts[0] = as_text(manifest | {"runs": told})
    return pieces


def lacking(run: Run, base: Tensors) -> list[str]:
    """Modules whose weight the base does not have, or not in that size: an output layer of one's own, more words."""

    def has(about: Module) -> bool:
        if about.in_base not in base:
            return False
        return about.rows is not None or base.entries[about.in_base].size == np.prod(about.shape)

    return [name for name, about in run.info.modules.items() if not has(about)]


def _without_model(run: Run) -> list[str]:
    """Why the page has no model, where it is the run."""
    try:
        names = lacking(run, Tensors(base_folder(run.base)))
    except InputError:
        return []
    return [f"the model itself: {names[0]} is none of its base's weights, or of another size"] if names else []


def size_of(run: Run) -> int:
    """Weights that its changes have."""
    return sum(int(np.prod(about.shape)) for about in run.info.modules.values())


# --- the model ---------------------------------------------------------------------------------------


def base_of(pieces: Pieces, source: str | None, runs: Sequence[Run], budget: int) -> dict[str, Any] | None:
    """The base model's tensors in full precision, and all that running it takes; None if it is not at hand or large, or
    lacks what the runs changed."""
    if not source:
        return None
    try:
        folder = base_folder(source)
        tensors = Tensors(folder)
        if sum(int(np.prod(entry.shape)) for entry in tensors.entries.values()) > WHOLE:
            return None
        if any(lacking(run, tensors) for run in runs):
            return None
        turned = {about.in_base for run in runs for about in run.info.modules.values() if about.transposed}
        weights = {name: tensors.read(name).astype(np.float32) for name in tensors.entries}
        weights = {name: one.T if name in turned and one.ndim == 2 else one for name, one in weights.items()}
    except InputError:
        return None
    trial = Pieces()
    listed = trial.add_tensors(weights)
    if trial.size > 0.7 * budget:
        return None
    pieces.texts += trial.texts
    files = {name: json_of(folder / f"{name}.json") for name in ("config", "tokenizer")}
    return {
        "source": source, "name": runs[0].info.model.name, **files, "live": is_runnable(folder, **files),
        "weights": {**listed, "piece": len(pieces.texts) - 1},
    }  # fmt: skip


def _taught(runs: Sequence[Run]) -> dict[str, Any]:
    from visualize.page.model import taught  # loads torch

    return taught(runs)


def _parity(pieces: Pieces, run: Run, steps: list[int]) -> dict[str, Any]:
    from visualize.page.model import parity

    return parity(pieces, run, steps)


# --- its weights -------------------------------------------------------------------------------------


def _weights(pieces: Pieces, run: Run, room: int, whole: bool) -> Packed:
    """What fits of the changes: exactly, rounded, as pictures, or nothing; and what is left out, in sentences."""
    modules = [name for name in run.info.modules if not run.is_sketched(name) and readable(run, name)]
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
        packed = pack_pictures(pieces, run, matrices, wanted, room, lambda *asked: picture_of(run, *asked))
        if not whole:
            packed.left_out.append(
                "the model itself, which is too large to run in a page: its answers are those captured"
            )
    packed.left_out.extend(missing)
    return packed


def readable(run: Run, module: str) -> bool:
    """Whether its change can be had whole."""
    try:
        run.delta(module)
    except InputError:
        return False
    return True


def _singular(run: Run, steps: list[int]) -> dict[str, list[Any]]:
    """The largest singular values of every LoRA or sketched matrix, by step: those that are cheap to have."""
    cheap = [name for name in run.modules if run.is_sketched(name) or run.kind(name) == "lora"]
    found: dict[str, list[Any]] = {}
    for name in cheap:
        try:
            found[name] = [[short(value) for value in singular_values(run, name, step)[:16]] for step in steps]
        except InputError:
            continue
    return found
