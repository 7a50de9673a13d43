"""Does a run come out the same again? It is repeated from its own record, and compared file by file.

    python -m engine.rerun runs/spanish-lora

A run of `finetune` knows its model, data, method, settings and seed. On the same machine with the same versions the
repetition is the same, byte for byte but for times; elsewhere sums are rounded otherwise, and it says how far apart
they are.
"""

import hashlib
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.of_run import data_of
from engine.data.overlap import MOST_MIXED
from engine.data.records import digest
from engine.errors import InputError, shown
from engine.offline import offline
from engine.reading import opened
from engine.recording.origin import provenance
from engine.recording.ours import RECORDS
from engine.recording.schedule import AUTO, FUNCTION
from engine.run.format import capture_path
from engine.run.run import Run
from engine.run.tensors import Tensors
from engine.training.methods import method_of
from engine.training.settings import Settings


@dataclass
class Agreement:
    """How a repetition compares. same, different: files. furthest: the largest difference of a captured number,
    beside the largest number of its tensor, and where. changed: what is not as it was then (versions, threads)."""

    same: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    furthest: tuple[float, str] = (0.0, "")
    changed: list[str] = field(default_factory=list)


def arguments_of(run: Run, data: str | None = None) -> dict[str, Any]:
    """What `finetune` was told. data: the training data, where the run does not know how to ask for it again.

    Raises InputError for a run that `finetune` did not make, did not finish, or whose data came from Python.
    """
    info = run.info
    if info.evaluated is None or not {"settings", "data", "capture"} <= info.raw.keys():
        raise InputError(f"{run.path} does not hold all that it was told: only runs of finetune() can be repeated")
    if run.status != "finished":
        raise InputError(f"{run.path} is {run.status}, not finished; finish it with resume=True, then repeat it")
    data = data or info.data.source
    mixed = info.data.mixed_in
    if data is None or (mixed and mixed.source is None):
        raise InputError(
            f"{run.path} was trained on data that came from Python; write that to a file, and give it: --data FILE"
        )
    if FUNCTION in (info.capture.every, info.evaluated.at):
        raise InputError(
            f"{run.path} was captured or evaluated at {FUNCTION}, which it cannot hold; repeat it in Python"
        )
    every = info.capture.every
    settings = _checked(run)
    return {
        "model": run.base,
        "data": data,
        "method": method_of(info.method.to_json()),
        "skills": info.evaluated.skills,
        "evaluate_at": {*run.skill_losses.index}.__contains__ if info.evaluated.at == AUTO else info.evaluated.at,
        "answers": info.evaluated.answers,
        "probes": info.evaluated.probes,
        "mix_with": mixed.source if mixed else None,
        "every": {int(step): n for step, n in every.items()} if isinstance(every, dict) else every,
        **settings,
    }


def _checked(run: Run) -> dict[str, Any]:
    """A run's settings, if they only train, and no longer than its record says: a stranger may have written them."""
    told, info = run.info.raw["settings"], run.info
    other = sorted({*told} - {about.name for about in fields(Settings)}) if isinstance(told, dict) else [told]
    if other:
        raise InputError(f"{run.path}: its settings are none of finetune()'s ({shown(other[0])})")
    given = told.get("trainer") or {}
    beyond = sorted({*given} - TRAINS_ONLY) if isinstance(given, dict) else [given]
    if beyond:
        raise InputError(
            f"{run.path} gives its Trainer {shown(beyond[0])}, which reaches beyond a training; repeat it in Python, "
            "if you trust it"
        )
    beyond = sorted({*info.method.options.get("config", {})} - ADAPTS_ONLY)
    if beyond:
        raise InputError(f"{run.path} configures its adapter by {beyond[0]!r}; repeat it in Python, if you trust it")
    threads, cores = run.info.host.get("threads"), os.cpu_count() or 1
    if not isinstance(threads, int) or not 1 <= threads <= 4 * cores:
        raise InputError(f"{run.path} was made on {shown(threads)} threads; from 1 to {4 * cores} can be used here")
    settings = Settings(**told)
    reached = len({*run.metrics.index})  # every step is logged; the number of one is soon written
    each = settings.batch_size * settings.accumulation
    planned = settings.steps or (settings.epochs or 0) * max(1, (info.data.train or 0) + _mixed(run)) / each
    if not 0.5 * planned - 1 <= reached:
        raise InputError(f"{run.path} asks for {planned:,.0f} steps, and its record has {reached:,}")
    if settings.mix > MOST_MIXED / (MOST_MIXED + 1):
        raise InputError(
            f"{run.path} mixes in {settings.mix / (1 - settings.mix):.0f} times its data; repeat it in Python, if you "
            "trust it"
        )
    return told


def _mixed(run: Run) -> int:
    return run.info.data.mixed_in.examples if run.info.data.mixed_in else 0


# What a TrainingArguments may be told by a file: arithmetic. Others write elsewhere, send, or load code.
TRAINS_ONLY = {"lr_scheduler_type", "lr_scheduler_kwargs", "optim", "adam_beta1", "adam_beta2", "adam_epsilon",
               "label_smoothing_factor", "neftune_noise_alpha", "dataloader_drop_last", "data_seed"}  # fmt: skip
# The same of a LoraConfig: others read and write files that they name.
ADAPTS_ONLY = {"r", "lora_alpha", "target_modules", "exclude_modules", "lora_dropout", "use_rslora", "use_dora", "bias",
               "fan_in_fan_out", "modules_to_save", "layers_to_transform", "rank_pattern", "alpha_pattern", "peft_type",
               "lora_bias", "trainable_token_indices", "init_lora_weights", "inference_mode"}  # fmt: skip


def agreement(run: Run, again: Run) -> Agreement:
    """Every record and every capture of a run beside those of its repetition."""
    found = Agreement(changed=_changed(run.info.raw))
    for name in RECORDS:
        _sort(found, name, _same(run.path / name, again.path / name))
    if run.steps != again.steps:
        found.different.append(f"the captured steps ({run.steps} and {again.steps})")
    for step in sorted({*run.steps} & {*again.steps}):
        first, second = (capture_path(one.path, step) for one in (run, again))
        same = _same(first, second)
        _sort(found, f"captures/{first.name}", same)
        if not same:
            found.furthest = max(found.furthest, _furthest(Tensors(first), Tensors(second), step))
    return found


def _same(first: Path, second: Path) -> bool:
    digests = []
    for file in (first, second):
        with opened(file) as one:
            digests.append(hashlib.file_digest(one, "sha256").digest())  # type: ignore[arg-type]
    return digests[0] == digests[1]


def _sort(found: Agreement, name: str, same: bool) -> None:
    (found.same if same else found.different).append(name)


def _furthest(first: Tensors, second: Tensors, step: int) -> tuple[float, str]:
    apart = (0.0, "")
    for name in first.entries:
        a, b = first.read(name), second.read(name)
        size = float(np.abs(a).max(initial=0)) or 1.0
        apart = max(apart, (float(np.abs(a - b).max(initial=0)) / size, f"{name} at step {step}"))
    return apart


def _changed(then: dict[str, Any]) -> list[str]:
    now = provenance()
    return [
        f"{name} was {then[group][name]}, is {now[group][name]}"
        for group in ("versions", "host")
        for name in then.get(group, {})
        if then[group][name] != now[group].get(name)
    ]


def rerun(run: Run, out: str | Path, data: str | None = None, progress: bool = True) -> Agreement:
    """Train the same again into `out`, on as many threads as then, and compare. Raises as `arguments_of`, and if the
    data, or what was mixed in, is not what it was."""
    from engine.training.finetune import train
    from engine.training.prepare import prepare
    from engine.training.request import Request

    told = arguments_of(run, data)
    data_of(run, data)
    with offline():  # what it names has to be here: a stranger may have written it
        prepared = prepare(Request(out=out, progress=progress, save=False, **told))
        mixed = run.info.data.mixed_in
        if mixed and mixed.digest not in (None, digest(prepared.mixed)):
            raise InputError(f"what was mixed in ({mixed.source}) has changed since {run.path} was trained on it")
        return agreement(run, train(prepared, threads=run.info.host["threads"]))


def sentences(found: Agreement) -> list[str]:
    """What was found, for people."""
    if not found.different:
        return [f"It agrees: all {len(found.same)} files of records and captures are the same, byte for byte."]
    apart, where = found.furthest
    named = ", ".join(found.different[:3]) + (" and others" if len(found.different) > 3 else "")
    lines = [f"{len(found.same)} files agree byte for byte, {len(found.different)} do not: {named}"]
    if where:
        lines.append(f"The captured weights are at most {apart:.2g} apart, beside the largest of theirs: {where}")
    changed = f"Not as it was then: {', '.join(found.changed)}"
    return [*lines, changed if found.changed else "Versions and host are the same."]
