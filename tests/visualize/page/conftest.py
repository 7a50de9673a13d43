"""The pages that the tests open, each written once."""

import json

import pytest

from engine.run.run import Run
from glasstune import Full, finetune
from visualize.page import write_page


@pytest.fixture(scope="session")
def lora_page(lora_run, runs):
    return write_page(lora_run, runs / "lora.html")


@pytest.fixture(scope="session")
def both_page(lora_run, full_run, runs):
    return write_page([lora_run, full_run], runs / "both.html")


@pytest.fixture(scope="session")
def sketched_run(runs):
    """A full fine-tuning that kept no more than pictures of its large matrices; one question is graded by a rule."""
    folder = runs / "sketched"
    finetune("embedded", "spanish", Full(), out=folder, steps=4, skills=2, batch_size=8, budget="1MB", progress=False)
    with (folder / "answers.jsonl").open("a", encoding="utf-8") as file:
        for step, correct in ((0, False), (4, True)):
            row = {"step": step, "skill": "instructions", "prompt": "Be brief.", "expected": "", "answer": f"ok {step}"}
            file.write(json.dumps(row | {"correct": correct}) + "\n")
    return Run.load(folder)


@pytest.fixture(scope="session")
def sketched_page(sketched_run, runs):
    return write_page(sketched_run, runs / "sketched.html")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """The tests that share a browser stay in one process."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("browser"))
