"""What the fuzzer found worth keeping (scripts/fuzz.py) is read again: in silence, or with one sentence."""

import contextlib
from pathlib import Path

import pytest

from engine.errors import InputError
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_of(name):
    kept = sorted((CORPUS / name).iterdir())
    assert kept
    for file in kept:
        with contextlib.suppress(InputError):
            TARGETS[name](file.read_bytes())
