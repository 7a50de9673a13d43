"""Threads: never more than are allowed, none that spin beside a busy process, and the run says how many."""

import os
import subprocess
import sys

import pytest
import torch
from threadpoolctl import threadpool_info

from engine import threads
from glasstune import finetune


def policy(code, **environment):
    asked = (threads.POLICY, threads.SPINS)
    bare = {name: value for name, value in os.environ.items() if name not in asked}
    code += f"\nimport os\nfrom engine.threads import *\nsleep_while_waiting()\nprint(*map(os.environ.get, {asked!r}))"
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env={**bare, **environment}, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_waiting_threads_soon_sleep_if_it_is_said_in_time():
    looks = str(threads._LOOKS)
    assert policy("") == f"PASSIVE {looks}"
    late = "import sys, types; sys.modules['torch'] = types.ModuleType('torch')"
    assert policy(late) == "None None", "it comes too late"
    assert policy("", OMP_WAIT_POLICY="ACTIVE") == "ACTIVE None", "the user's own word"
    assert policy("", GOMP_SPINCOUNT="7") == "PASSIVE 7"


@pytest.mark.parametrize("torchs, allowed, idle, passive, weights, wanted", [
    (2, 2, 0, True, 10**6, 2),  # they sleep, so a busy machine does no harm
    (2, 2, 2, False, 10**6, 2),
    (2, 2, 0.9, False, 10**6, 1),  # they spin, and one core is another's
    (2, 2, 0, False, 10**6, 1),  # never none
    (64, 64, 64, True, 10**6, 4),  # a small model has no use for more
    (64, 64, 64, True, 10**8, 64),
    (64, 3, 64, True, 10**8, 3),  # a container's share
    (1, 64, 64, True, 10**8, 1),  # never more than was told
])  # fmt: skip
def test_as_many_as_suit_model_and_machine(monkeypatch, torchs, allowed, idle, passive, weights, wanted):
    monkeypatch.setattr(torch, "get_num_threads", lambda: torchs)
    monkeypatch.setattr("joblib.cpu_count", lambda: allowed)
    monkeypatch.setattr(threads, "_idle_cores", lambda: idle)
    monkeypatch.setenv(threads.POLICY, "PASSIVE" if passive else "ACTIVE")
    assert threads.suitable(weights) == wanted


def test_workers_compute_alone_and_leave_the_others_as_they_were():
    before = [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]
    with threads.workers(2) as pool:
        inside = pool.submit(lambda: [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"])
        assert before and set(inside.result()) == {1}
    assert [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"] == before


def test_idle_cores_are_some_of_those_that_may_be_used():
    assert 0 <= threads._idle_cores() <= os.cpu_count()


def test_a_run_says_how_many_it_had_and_gives_them_back(monkeypatch, tmp_path):
    before = torch.get_num_threads()
    monkeypatch.setattr("engine.training.finetune.suitable", lambda weights: before + 1)
    run = finetune("embedded", "spanish", out=tmp_path / "run", steps=1, skills=0, answers=False, progress=False)
    assert run.info.host["threads"] == before + 1 and torch.get_num_threads() == before
