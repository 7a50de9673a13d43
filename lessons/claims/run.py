"""How are hundreds of trials run? Each once, several at a time, here or on a cluster, and on from where it stopped."""

import contextlib
import logging
import os
import time
import traceback
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Literal

import joblib

from engine.errors import InputError
from engine.terminal import progress_bar
from lessons.claims.claim import Claim, NotYet, Reader, Results
from lessons.claims.store import Store
from lessons.claims.trials import Result, Trial

Backend = Literal["loky", "dask", "ray"]
BACKENDS: tuple[Backend, ...] = ("loky", "dask", "ray")
# What is arithmetic takes no time; then what films and lessons ask for most.
FIRST = (
    "nf4-costs-little", "nf4-best", "double-free", "switch-off", "share-a-base", "leaks", "leaks-repeats",
    "accumulation", "grows-with-steps", "grows-with-rate", "early-stopping", "loss-against-answers",
    "perplexity-misranks", "full-rank", "intruders", "qlora-as-lora", "qlora-keeps", "gentle-rate",
    "lora-drifts-less", "lora-forgets-less", "specialist", "form-first", "overlap", "mixing", "lora-rate",
    "lora-rate-higher", "domain", "few-examples", "format", "full-most", "overfit", "dropout", "quality", "more-data",
)  # fmt: skip


def in_order(claims: Iterable[Claim]) -> list[Claim]:
    """As they are best run: stopped at any moment, what matters most is whole."""

    def place(claim: Claim) -> int:
        if claim.id in FIRST:
            return FIRST.index(claim.id)
        return -1 if claim.exact else len(FIRST)

    return sorted(claims, key=place)


def run_claims(
    claims: Sequence[Claim], store: Store, *, seeds: int, jobs: int = 1, backend: Backend = "loky", address: str = ""
) -> list[str]:
    """Run all that these claims ask for, and what they then ask for; the first claims first. Returns what went wrong,
    a line a trial. Raises as `run_trials`."""
    wrong: dict[Trial, str] = {}
    open_ones = [read for claim in claims for read in claim.conditions.values()]
    while waiting := wanted(open_ones, store, seeds, at_least=jobs, without=wrong):
        wrong |= run_trials(waiting, store, jobs=jobs, backend=backend, address=address)
    return list(wrong.values())


def wanted(
    open_ones: list[Reader], store: Store, seeds: int, at_least: int = 1, without: Container[Trial] = ()
) -> list[Trial]:
    """What is to be run next: all that the first unfinished reading asks for now, and the next ones' until there are
    enough to keep all processes busy. Readings that are whole are taken out of the list. without: trials that failed.
    """
    found: dict[Trial, None] = {}
    for read in list(open_ones):
        results = Results(lambda trial: store.found[trial].result if store.finished(trial) else None, seeds)
        try:
            read(results)
            open_ones.remove(read)
        except NotYet as more:
            found |= dict.fromkeys(trial for trial in more.trials if trial not in without)
        if len(found) >= at_least:
            break
    return list(found)


def run_trials(
    trials: Sequence[Trial], store: Store, *, jobs: int = 1, backend: Backend = "loky", address: str = ""
) -> dict[Trial, str]:
    """Run these; each is kept as soon as it has finished. Returns what went wrong with which.

    address: of a cluster that is there already; else one of `jobs` processes is started here. Raises InputError if
    the backend's package is missing.
    """
    if jobs == 1 and backend == "loky":
        return _keep((_run(trial) for trial in trials), len(trials), store)
    with _cluster(backend, jobs, address):
        parallel = joblib.Parallel(n_jobs=jobs if backend == "loky" else -1, return_as="generator_unordered")
        return _keep(parallel(joblib.delayed(_run)(trial) for trial in trials), len(trials), store)


Done = tuple[Trial, Result | str, float]  # the trial, its result or what went wrong, and its seconds


def _keep(done: Iterator[Done], count: int, store: Store) -> dict[Trial, str]:
    wrong = {}
    for trial, result, seconds in progress_bar(done, total=count, unit="trial"):
        if isinstance(result, str):
            wrong[trial] = f"{trial}: {result}"
        else:
            store.put(trial, result, seconds)
    return wrong


def _run(trial: Trial) -> Done:
    """One trial, in whichever process; one thread each, since they are many. What goes wrong is returned, so that the
    others go on."""
    import warnings

    import torch

    warnings.filterwarnings("ignore", ".*kernels.*", UserWarning)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)
    began = time.perf_counter()
    try:
        return trial, trial.run(), time.perf_counter() - began
    except Exception:
        return trial, traceback.format_exc().strip().splitlines()[-1], 0.0


@contextlib.contextmanager
def _cluster(backend: Backend, jobs: int, address: str) -> Iterator[None]:
    try:
        if backend == "dask":
            from dask.distributed import Client, LocalCluster

            if address:
                with Client(address), joblib.parallel_config(backend="dask"):
                    yield
            else:
                with (
                    LocalCluster(
                        n_workers=jobs, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
                    ) as local,
                    Client(local),
                    joblib.parallel_config(backend="dask"),
                ):
                    yield
        elif backend == "ray":
            import ray
            from ray.util.joblib import register_ray

            register_ray()
            ray.init(address=address or None, num_cpus=None if address else jobs)
            try:
                with joblib.parallel_config(backend="ray"):
                    yield
            finally:
                ray.shutdown()
        else:
            yield
    except ModuleNotFoundError as error:
        raise InputError(
            f"the {backend} backend needs {error.name}, which is not installed; install it with: "
            f"pip install -e '.[{backend}]'"
        ) from None
