"""The pages that the tests open, each written once."""

import pytest

from visualize.page import write_page


@pytest.fixture(scope="session")
def lora_page(lora_run, runs):
    return write_page(lora_run, runs / "lora.html")


@pytest.fixture(scope="session")
def both_page(lora_run, full_run, runs):
    return write_page([lora_run, full_run], runs / "both.html")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """The tests that share a browser stay in one process."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("browser"))
