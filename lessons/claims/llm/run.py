"""How are the trials of a real LLM run? One line of JSON each, in one file; stopped, it goes on where it was.

    python -m lessons.claims --model FOLDER --seeds 5 --jobs 2      a pilot, then every arm, seed after seed

Each process computes with one thread. Several may share the file: a line is written under a lock.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import torch

from engine.derived import key
from engine.errors import InputError
from engine.files import alone, append_line
from engine.reading import lines, parse_json
from engine.run.base import base_folder
from engine.run.tensors import Tensors
from engine.school.tasks import task_files
from lessons.claims.llm.arms import PILOT_RATES, arms, pilot
from lessons.claims.llm.trial import KEPT_AS, Result, Tuning

DESIGN = 1  # goes up when what a trial measures changes: older lines are then tried again


@dataclass(frozen=True)
class Subject:
    """The model that is tried, and a file in place of the island. name and digest: what a line says of it."""

    source: str
    name: str
    digest: str
    data: str | None = None

    @property
    def task(self) -> str:
        """What its arms learn, where they do not learn JSON."""
        return "own" if self.data else "facts"

    def to_json(self) -> dict[str, Any]:
        return {"model": self.name, "digest": self.digest, "data": self.data and Path(self.data).name, "design": DESIGN}


def subject_of(source: str, data: str | None = None) -> Subject:
    """Raises InputError where the model is not at hand."""
    tensors = Tensors(base_folder(source))
    digest = hashlib.sha256()
    for name, entry in tensors.entries.items():
        digest.update(f"{name} {entry.dtype} {entry.shape}".encode())
        with entry.file.open("rb") as file:  # the beginning of each: a fine-tuning changes all of them
            file.seek(entry.start)
            digest.update(file.read(min(entry.nbytes, 4096)))
    return Subject(source, Path(source).name, digest.hexdigest()[:16], data)


def read_lines(path: Path, subject: Subject | None = None) -> Iterator[tuple[Tuning, Result]]:
    """The finished trials of a file; of one subject, or all. A line that a kill cut off is left out."""
    if not path.exists():
        return
    for line in lines(path):
        try:
            kept = parse_json(line)
            trial = dict(kept["trial"])
            if isinstance(trial["targets"], list):
                trial["targets"] = tuple(trial["targets"])
            found = Tuning(**trial)
        except (ValueError, KeyError, TypeError):
            continue
        if subject is None or (
            kept["subject"] == subject.to_json() and kept.get("task") == task_digest(found, subject)
        ):
            yield found, kept["result"]


def task_digest(trial: Tuning, subject: Subject) -> str:
    """Of the data that it learns: what learned other data is tried again. Empty for a file that is not at hand."""
    if trial.task == "own":
        files = [Path(subject.data)] if subject.data and Path(subject.data).is_file() else []
    else:
        files = task_files(KEPT_AS.get(trial.task, trial.task))
    return key(trial.task, files=files)[:16] if files else ""


def first_subject(path: Path) -> Subject:
    """The model of a file's first trial, which need not be at hand. Raises InputError if there is none."""
    for line in lines(path) if path.exists() else ():
        about = parse_json(line)["subject"]
        return Subject(about["model"], about["model"], about["digest"], about["data"])
    raise InputError(f"{path} holds no trial; run python -m lessons.claims --model ... first")


def run_all(trials: Sequence[Tuning], subject: Subject, path: Path, jobs: int = 1) -> None:
    """Those that have not finished, in this order."""
    done = {trial for trial, _ in read_lines(path, subject)}
    missing = [trial for trial in trials if trial not in done]
    if jobs == 1:
        for trial in missing:
            run_one(trial, subject, path)
    else:
        joblib.Parallel(n_jobs=jobs)(joblib.delayed(run_one)(trial, subject, path) for trial in missing)


def run_one(trial: Tuning, subject: Subject, path: Path) -> None:
    """Unless another process has finished it meanwhile."""
    if trial in {found for found, _ in read_lines(path, subject)}:
        return
    torch.set_num_threads(1)
    began, cpu = time.time(), time.process_time()
    result = trial.run(subject.source, subject.data)
    line = {
        "subject": subject.to_json(),
        "trial": trial.to_json(),
        "task": task_digest(trial, subject),
        "seconds": {"wall": round(time.time() - began, 1), "cpu": round(time.process_time() - cpu, 1)},
        "result": result,
    }
    with alone(path):
        append_line(path, json.dumps(line, ensure_ascii=False))


def best_rates(path: Path, subject: Subject) -> dict[str, float]:
    """Of each method, the pilot's rate with the lowest held-out loss at the end; ties go to the gentler.

    Raises InputError where the pilot has not finished.
    """
    found = dict(read_lines(path, subject))
    best = {}
    for method, rates in PILOT_RATES.items():
        tried = [trial for trial in pilot(subject.task) if trial.method == method and trial in found]
        if len(tried) < len(rates):
            raise InputError(f"the pilot of {method} has not finished; run python -m lessons.claims --model ... again")
        best[method] = min(sorted(tried, key=lambda t: t.rate), key=lambda t: found[t]["grades"][-1]["new_loss"]).rate
    return best


def is_edge(method: str, rate: float) -> bool:
    """Nothing is known beyond: a better rate may lie there."""
    return rate in (min(PILOT_RATES[method]), max(PILOT_RATES[method]))


def every(subject: Subject, path: Path, seeds: int, jobs: int = 1) -> dict[str, Tuning]:
    """The pilot, then all arms, seed after seed. Gives the arms as they were chosen."""
    run_all(pilot(subject.task), subject, path, jobs)
    chosen = arms(best_rates(path, subject), subject.task)
    run_all([trial.with_seed(seed) for seed in range(seeds) for trial in chosen.values()], subject, path, jobs)
    return chosen
