"""How are hundreds of trials run? Each once, several at a time, here or on a cluster, and on from where it stopped."""

import contextlib
import logging
import os
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import joblib

from engine.errors import InputError
from engine.terminal import progress_bar
from lessons.claims.claim import Claim, Results
from lessons.claims.store import Store
from lessons.claims.trials import Result, Trial

Backend = Literal["loky", "dask", "ray"]
BACKENDS: tuple[Backend, ...] = ("loky", "dask", "ray")


def trials_of(claims: Sequence[Claim], seeds: int) -> list[Trial]:
    """Every trial that these claims need, once, with every seed.

    First comes the claim that needs fewest, then the one that needs fewest besides, and so on: stopped early, many
    claims are whole.
    """
    left, ordered = list(claims), dict[Trial, None]()
    while left:
        claim = min(left, key=lambda claim: sum(trial not in ordered for trial in claim.trials))
        left.remove(claim)
        ordered |= dict.fromkeys(trial.with_seed(seed) for seed in range(seeds) for trial in claim.trials)
    return list(ordered)


def finished(store: Store, claim: Claim, seeds: int) -> Results:
    """The claim's finished trials, of the first `seeds` seeds; a seed counts when all its trials have finished."""
    found: dict[Trial, Result] = {}
    whole = []
    for seed in range(seeds if claim.seeded else 1):
        of_seed = {trial.with_seed(seed): store.get(trial.with_seed(seed)) for trial in claim.trials}
        if all(result is not None for result in of_seed.values()):
            found |= {trial: result for trial, result in of_seed.items() if result is not None}
            whole.append(seed)
    return Results(found, whole)


def run_trials(
    trials: Sequence[Trial], store: Store, *, jobs: int = 1, backend: Backend = "loky", address: str = ""
) -> list[str]:
    """Run those that have not finished; each is kept as soon as it has. Returns what went wrong, a line a trial.

    address: of a cluster that is there already; else one of `jobs` processes is started here. Raises InputError if
    the backend's package is missing.
    """
    waiting = [trial for trial in trials if store.get(trial) is None]
    folder = str(store.folder.resolve())
    if jobs == 1 and backend == "loky":
        done: Iterator = (_run(trial, folder) for trial in waiting)
        return [wrong for wrong in progress_bar(done, total=len(waiting), unit="trial") if wrong]
    with _cluster(backend, jobs, address):
        parallel = joblib.Parallel(n_jobs=jobs if backend == "loky" else -1, return_as="generator_unordered")
        done = parallel(joblib.delayed(_run)(trial, folder) for trial in waiting)
        return [wrong for wrong in progress_bar(done, total=len(waiting), unit="trial") if wrong]


def _run(trial: Trial, folder: str) -> str | None:
    """One trial, in whichever process; one thread each, since they are many. What goes wrong is returned, so that the
    others go on."""
    import warnings

    import torch

    warnings.filterwarnings("ignore", ".*kernels.*", UserWarning)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)
    began = time.perf_counter()
    try:
        result = trial.run()
    except Exception:
        return f"{trial}: {traceback.format_exc().strip().splitlines()[-1]}"
    Store(Path(folder)).put(trial, result, seconds=time.perf_counter() - began)
    return None


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
