"""What every test shares: no network, few threads, and real captured runs of the embedded model, made once."""

import gc
import os
from typing import TYPE_CHECKING

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false", MPLBACKEND="Agg")
os.environ["OMP_NUM_THREADS"] = "1"  # two workers share two cores; more threads, BLAS's too, would wait for each other

import pytest

# Of xdist's processes, the one that hands the tests out reads this file too; so what trains is imported by who trains.
if TYPE_CHECKING:
    from engine.training.methods import Method
    from glasstune import Run


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """What is made once stays in one process, with the tests that share it: the walked scenes of films, which take
    minutes, and what a test file makes for several of its tests (a training, a wheel, two processes that train)."""
    for item in items:
        file = item.nodeid.split("::")[0]
        if "animations" in item.path.parts:
            item.add_marker(pytest.mark.xdist_group("films"))
        elif item.get_closest_marker("xdist_group") is None and any(
            made.scope != "function" and made.baseid == file
            for fixture in item._fixtureinfo.name2fixturedefs.values()
            for made in fixture
        ):
            item.add_marker(pytest.mark.xdist_group(file))


def pytest_collection_finish():
    """What was loaded by now stays; so each training's search for garbage need not look through it."""
    _settle()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    """So does what a test file has left: walked films are millions of things, and hundreds of trainings search."""
    result = yield
    if nextitem is None or nextitem.path != item.path:
        _settle()
    return result


def _settle():
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def browser():
    """One for all tests of a process: two would each want an event loop."""
    from tests.visualize.page.browser import chromium

    with chromium() as one:
        yield one


@pytest.fixture
def quick_kernel(monkeypatch):
    """Notebooks are run by a kernel that has imported everything."""
    pytest.importorskip("jupyter_client", reason="notebooks need the extra 'notebook'")
    from tests.programs import ForkedKernel

    monkeypatch.setattr("jupyter_client.provisioning.local_provisioner.launch_kernel", ForkedKernel)


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Makes the session's runs: a folder for all of this process."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory, request):
    """trained_once(name, method, **settings): a run on Spanish, made by the process that needs it first."""
    among = tmp_path_factory.getbasetemp()
    shared = (among.parent if hasattr(request.config, "workerinput") else among) / "made"

    def make(name: str, method: "Method", **settings) -> "Run":
        from engine.files import alone
        from glasstune import Run, finetune

        with alone(shared / name):
            if not (shared / name).exists():
                finetune("embedded", "spanish", method, out=shared / name, progress=False, **settings)
        return Run.load(shared / name)

    return make


@pytest.fixture(scope="session")
def lora_run(trained_once) -> "Run":
    from glasstune import LoRA

    return trained_once("lora", LoRA(r=4), steps=25, skills=3, batch_size=16)


@pytest.fixture(scope="session")
def full_run(trained_once) -> "Run":
    from glasstune import Full

    return trained_once("full", Full(), steps=12, skills=3, batch_size=16)


@pytest.fixture(scope="session")
def qlora_run(trained_once) -> "Run":
    from glasstune import QLoRA

    return trained_once("qlora", QLoRA(r=4), steps=8, skills=2, batch_size=8)


@pytest.fixture(scope="session", params=["lora", "full", "qlora"])
def any_run(request) -> "Run":
    return request.getfixturevalue(f"{request.param}_run")


@pytest.fixture
def base():
    from engine.models import load_model

    return load_model("embedded")


@pytest.fixture(scope="session")
def tokenizer():
    from engine.models import load_tokenizer

    return load_tokenizer("embedded")
