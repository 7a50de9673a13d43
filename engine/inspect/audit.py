"""Does this merged model hold this adapter: never, once, twice, or on another base? And what survives fewer bits?

`audit(base, adapter, merged)` compares, module by module, merged minus base with the adapter's own change, added no,
one, two or three times and rounded as the merged file is; and looks at everything else in the merged file, which must
be the base's own.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from engine.errors import InputError
from engine.inspect.diagnose import foreign, not_compared
from engine.inspect.finding import Finding, some
from engine.measure.storage import STORED, survival
from engine.messages import Message
from engine.reading import read_json
from engine.run.adapters.computed import METHODS as COMPUTED
from engine.run.pairing import find_name, is_embedding, is_head, tied_to
from engine.run.run import Run
from engine.run.stores.checkpoints import ROUND, CheckpointStore, open_checkpoint
from engine.run.tensors import Tensors
from engine.terminal import progress_bar

_TIMES = (0, 1, 2, 3)
_CLEAR = 0.5  # in norms of the change: how far the nearest may be, and how much nearer than the next
_SCALED = 0.2  # of a multiple's norm, what may be left over besides it
_LAST_DIGIT = 1e-7  # of a matrix: what float32 itself loses
_SURVEYED = 8  # matrices whose survival is computed, evenly spread; 4 bits cost a second for ten million weights


@dataclass
class Audit:
    """modules: one row an adapted module: norm (of the adapter's change), times (how often it is in; NaN if unclear),
    scale (merged minus base along it), left (what it does not explain, in norms of it). survival: matrix x form, the
    part kept and the cosine. changed: parameters that the adapter does not touch, and that are not the base's own.
    fewer: those of which quantising may be all -> how they are stored. unaudited: module -> why. answers: what was
    asked, and what base, adapter and merged model say (None: nothing was). findings: the verdict."""

    modules: pd.DataFrame
    survival: pd.DataFrame
    changed: list[str]
    fewer: dict[str, str]
    unaudited: dict[str, str]
    answers: pd.DataFrame | None = None
    findings: list[Finding] = field(default_factory=list)


def audit(
    base: str | Path,
    adapter: str | Path,
    merged: str | Path,
    *,
    everything: bool = False,
    prompts: list[list[Message]] | None = None,
    progress: bool = True,
) -> Audit:
    """Raises InputError for what is no adapter or checkpoint, and if nothing of the adapter is in the merged model.

    everything: measure what survives in every matrix, not in eight. prompts: what to ask all three models, see
    `engine.inspect.answered.questions`; they are loaded only for that.
    """
    run, tensors = Run.from_adapter(adapter, base), open_checkpoint(merged)
    rows, unaudited, touched = {}, dict[str, str](), set[str]()
    names = list(run.info.modules)
    for module in progress_bar(names, "audit", disable=not progress):
        try:
            name = _name_in(tensors, run, module)
            touched.add(name)
            rows[module] = _row(run, module, tensors, name)
        except InputError as error:
            unaudited[module] = str(error)
    if not rows:
        why = next(iter(unaudited.values()), "the adapter changes nothing that is known")
        raise InputError(f"{merged} cannot be audited: {why}")
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["norm", "times", "scale", "left"])
    chosen = [name for name in frame.index if run.module(name).is_matrix and frame.loc[name, "norm"] > 0]
    chosen = chosen if everything else chosen[:: max(1, -(-len(chosen) // _SURVEYED))]
    whole = CheckpointStore(base, merged)
    found = Audit(frame, _survey(run, chosen, progress), *_others(whole, touched), unaudited)
    other = f"{_BASE}; {_OF_W}" if run.method.upper() in COMPUTED else _BASE
    unseen = [*foreign(run), *not_compared(run), *not_compared(Run(whole))]
    found.findings = [*_verdict(found, other), *_ties(run, base, tensors), *unseen, *_kept(found)]
    if prompts:
        from engine.inspect import answered  # loads torch and transformers

        found.answers = answered.ask(base, adapter, merged, prompts)
        found.findings += answered.verdict(found.answers)
    return found


def _name_in(merged: Tensors, run: Run, module: str) -> str:
    about = run.module(module)
    name = find_name(about.parameter or about.in_base, merged) or find_name(about.in_base, merged)
    if name is None:
        raise InputError(f"the merged model has no {about.in_base}")
    return name


def _row(run: Run, module: str, merged: Tensors, name: str) -> dict[str, float]:
    about, change = run.module(module), run.delta(module)
    before, after = run.weight(module), merged.read(name)
    after = np.swapaxes(after, -1, -2) if about.transposed else after
    if after.shape != before.shape:
        raise InputError(f"{name} is {after.shape} in the merged model and {before.shape} in the base")
    size = float(np.linalg.norm(change.astype(np.float64)))
    if not np.isfinite(size) or not np.isfinite(after).all():
        raise InputError(f"{module} holds NaN or infinity")
    if size <= run.rounding(module):
        raise InputError(f"the adapter does not change {module}")
    moved = (after - before).astype(np.float64)
    scale = float(np.vdot(moved, change)) / size**2
    stored = merged.entries[name]
    rounds = ROUND.get(stored.dtype) if stored.packed is None else None
    meant = (before + np.float32(times) * change for times in _TIMES)
    apart = [float(np.linalg.norm(after - (rounds(each) if rounds else each))) / size for each in meant]
    nearest, second = np.argsort(apart)[:2]
    clear = apart[nearest] <= _CLEAR * min(1.0, apart[second])
    if stored.packed and not clear:
        raise InputError(f"it is stored as {stored.packed.method}, and what quantising lost hides the change")
    left = float(np.linalg.norm(moved - scale * change)) / size
    return {"norm": size, "times": float(nearest) if clear else np.nan, "scale": scale, "left": left}


def _others(store: CheckpointStore, touched: set[str]) -> tuple[list[str], dict[str, str]]:
    """Parameters that the adapter leaves alone and that differ all the same, in the merged model's names: those that
    surely do, and those of which quantising may be all, with how they are stored."""
    changed, fewer = [], {}
    for key, both in store.names.items():
        if both.tuned in touched or key in touched:
            continue
        module = key.removesuffix(".weight")
        moved = store.moved(store.step, module)
        if moved.norm <= max(store.rounding(store.step, module), _LAST_DIGIT * moved.base_norm):
            continue
        if how := store.coded(store.step, module):
            fewer[key] = how
        else:
            changed.append(key)
    return changed, fewer


# --- the verdict ---------------------------------------------------------------------------------------


def _verdict(found: Audit, other: str) -> list[Finding]:
    """other: what to do about a change that is another."""
    frame, count = found.modules, len(found.modules)
    times = frame["times"]
    findings = []
    if found.changed:
        said = f"{some(found.changed)} that the adapter does not touch are not the base's own: it is on another base"
        findings.append(Finding("fault", f"{said}, or was trained further", _BASE))
    if found.fewer:
        how = next(iter(found.fewer.values()))
        said = f"{some(list(found.fewer))} that the adapter does not touch differ from the base's: {how}, and what "
        said += "quantising lost may be all; whether they were trained cannot be told"
        findings.append(Finding("doubt", said, _BITS))
    if times.isna().sum() == 0 and times.nunique() == 1:
        findings.append(_of_all(int(times.iloc[0]), count))
    else:
        for value in sorted(times.dropna().unique()):
            names = list(frame.index[times == value])
            findings.append(Finding("fault", f"{_HOW_OFTEN[int(value)]} in {some(names, count)}", _AGAIN))
    unclear = frame[times.isna()]
    alone = unclear["left"] <= _SCALED * np.maximum(1, unclear["scale"].abs())
    for name, of in (("scaled", unclear[alone]), ("other", unclear[~alone])):
        if len(of):
            findings.append(_unclear(name, of, count, other))
    if found.unaudited:
        why = next(iter(found.unaudited.values()))
        findings.append(Finding("doubt", f"not audited: {some(list(found.unaudited))}: {why}"))
    return findings


def _of_all(times: int, count: int) -> Finding:
    said = f"the adapter is {_HOW_OFTEN[times]}, in all {count} modules"
    return Finding("fine", said) if times == 1 else Finding("fault", said, _AGAIN)


def _unclear(kind: str, of: pd.DataFrame, count: int, other: str) -> Finding:
    names = some(list(of.index), count)
    if kind == "scaled":
        said = f"the adapter is in with another strength, {of['scale'].median():.3g} times, in {names}"
        return Finding("fault", said, "merge again with its own scaling, or keep in mind that it was scaled")
    said = f"what changed in {names} is not this adapter: it explains {100 * _explained(of):.0f} % of it"
    return Finding("fault", said, other)


def _explained(of: pd.DataFrame) -> float:
    """The share of the change's energy that lies along the adapter's own."""
    along, beside = (of["scale"] * of["norm"]) ** 2, (of["left"] * of["norm"]) ** 2
    return float(along.sum() / (along.sum() + beside.sum()))


def _ties(run: Run, base: str | Path, merged: Tensors) -> list[Finding]:
    """Of a base whose head is its embedding, a change of one of the two is a change of both, or is lost."""
    embedding = tied_to(open_checkpoint(base))
    aimed = [name for name, about in run.info.modules.items() if is_head(about.in_base) or is_embedding(about.in_base)]
    if embedding is None or not aimed:
        return []
    file = merged.path / "config.json"
    tied = read_json(file).get("tie_word_embeddings", True) if file.is_file() else True
    if tied_to(merged) is not None:
        said = f"the base's head is its embedding: the change of {', '.join(aimed)} is in both now"
        return [Finding("doubt", said, "untie them before training (tie_word_embeddings=False), if that is not meant")]
    if tied:
        said = (
            f"the merged model has a head of its own, but its config ties it: the change of {', '.join(aimed)} is lost"
        )
        return [Finding("fault", f"{said} when it is loaded", "set tie_word_embeddings to false in its config.json")]
    return []


def _survey(run: Run, chosen: list[str], progress: bool) -> pd.DataFrame:
    rows = {}
    for name in progress_bar(chosen, "survival", disable=not progress):
        weight, change = run.weight(name), run.delta(name)
        each = {form: survival(weight, change, form) for form in STORED}
        rows[name] = {(form, what): getattr(found, what) for form, found in each.items() for what in found._fields}
    frame = pd.DataFrame.from_dict(rows, orient="index")
    if len(frame):
        frame.columns = pd.MultiIndex.from_tuples(frame.columns)
    return frame


def _kept(found: Audit) -> list[Finding]:
    findings = []
    for form in STORED if len(found.survival) else ():
        cosine = found.survival[form]["cosine"].median()
        if cosine < 0.9:
            said = f"stored as {form}, the change is mostly rounding: cosine {cosine:.2f} with what was meant"
            remedy = "serve the adapter beside the base, unmerged, or merge in more bits"
            findings.append(Finding("doubt", f"{said} (median of {len(found.survival)} matrices)", remedy))
    return findings


_HOW_OFTEN = {0: "not in at all", 1: "in once", 2: "in twice", 3: "in three times"}
_AGAIN = "merge it again, once, into the base that it was trained on: PeftModel.from_pretrained(...).merge_and_unload()"
_BASE = "give the base that was merged into; its name stands in adapter_config.json, but it may have changed since"
_BITS = "audit the model as it was before it was quantised"
_OF_W = "or it was merged twice: where the method makes its change of W, the second is not the first"
