"""A key changes with everything that a result follows from, and with nothing else."""

import os

import pytest

from engine import derived
from engine.derived import code_of, key, reached


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A project of two files, the first of which needs the second when it is called."""
    monkeypatch.setattr(derived, "ROOT", tmp_path)
    (tmp_path / "engine").mkdir()
    first, second = tmp_path / "engine" / "first.py", tmp_path / "engine" / "second.py"
    first.write_text("def f():\n    from engine.second import g\n    return g()\n")
    second.write_text('"""About g."""\n\ndef g():\n    """One."""\n    return 1\n')
    derived.imported.cache_clear()
    yield first, second
    derived.imported.cache_clear()


def test_what_is_loaded_is_followed(files):
    assert reached(["engine.first"]) == {files[0]}
    assert reached(["engine.first"], lazily=True) == set(files)
    assert reached(["engine.first"], lazily=True, besides=frozenset({"engine.second"})) == {files[0]}


def test_words_about_code_do_not_count_and_code_does(files):
    before = code_of(files)
    files[1].write_text('"""About all."""\n# a comment\ndef g():\n    "A one"\n\n    return 1\n')
    assert code_of(reversed(files)) == before
    files[1].write_text("def g():\n    return 2\n")
    assert code_of(files) != before


def test_a_key_counts_what_was_asked_read_and_installed(files, monkeypatch):
    keys = {key({"a": 1, "b": 2}), key({"a": 1}), key({"a": 1}, code="x"), key({"a": 1}, packages=["numpy"]),
            key({"a": 1}, files=files), key({"a": 1}, files=files[:1])}  # fmt: skip
    assert len(keys) == 6 and key({"b": 2, "a": 1}) in keys
    before = key({}, files=files)
    files[0].write_bytes(files[0].read_bytes()[::-1])
    later = files[0].stat().st_mtime_ns + 10**9
    os.utime(files[0], ns=(later, later))
    assert key({}, files=files) != before, "what a file holds counts, not how long it is"
    monkeypatch.setattr(derived, "version", lambda name: "0")
    assert key({"a": 1}, packages=["numpy"]) not in keys
