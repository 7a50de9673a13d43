"""One door for files: what lies there is read as what it is, or refused in a sentence, and nothing waits or grows."""

import ast
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InputError
from engine.reading import (
    DEPTH,
    DIGITS,
    inside,
    lines,
    opened,
    parse_json,
    read_bytes,
    read_json,
    read_text,
    whole_number,
)
from engine.run.format import read_lines

TRIES = settings(max_examples=60, deadline=None, derandomize=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@TRIES
@given(VALUES)
def test_json_that_python_writes_is_read_as_it_was(value):
    again = parse_json(json.dumps(value).encode())
    assert repr(again) == repr(value)


def nested(depth, kind):
    return "[" * depth + "]" * depth if kind is list else '{"a":' * depth + "1" + "}" * depth


@pytest.mark.parametrize("kind", [list, dict])
def test_json_is_bounded_in_depth(kind):
    assert parse_json(nested(DEPTH, kind))
    for depth in (DEPTH + 1, 900, 100_000):
        with pytest.raises(ValueError, match=f"nested more than {DEPTH} deep"):
            parse_json(nested(depth, kind))
    assert parse_json(json.dumps(["[{" * 1000] * 3)), "brackets in a text are no depth"


@pytest.mark.parametrize("text, said", [
    (f'{{"a": 1{"0" * DIGITS}}}', "a number of 301 digits"), ("1" * 5000, "a number of 5,000 digits"),
    ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' is there twice"), ("{", "Expecting property name"), ("", "Expecting"),
    (r'[{"a\ud83d": 1}]', "the key 'a.ud83d' holds half of a character"),
])  # fmt: skip
def test_json_is_bounded_in_digits_and_its_keys_are_text_and_there_once(text, said):
    with pytest.raises(ValueError, match=said):
        parse_json(text)


def test_a_whole_character_may_be_written_in_halves():
    assert parse_json(r'{"\ud83d\ude00": 1}') == {"😀": 1}


def test_every_whole_number_it_reads_is_a_float_too():
    assert float(parse_json("9" * DIGITS)) < float("inf") and parse_json("-" + "9" * (DIGITS - 1)) < 0
    with pytest.raises(ValueError, match="NaN is not JSON"):
        parse_json("[NaN]", strict=True)


READERS = {
    "bytes": read_bytes, "text": read_text, "json": read_json, "lines": lambda path: list(lines(path)),
    "records": read_lines,
}  # fmt: skip


@pytest.mark.timeout(20)
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_what_is_no_regular_file_is_named_and_nobody_waits(read, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, said in (("pipe", "is a pipe"), ("link", "is a pipe"), (".", "is a folder")):
        with pytest.raises(InputError, match=said):
            read(tmp_path / name)
    with pytest.raises(InputError, match=r"is a device|leads out"):
        read(tmp_path / "zero")


def test_what_is_not_there_or_has_no_name_is_named(tmp_path):
    for name in ("gone", "nul\0", "x" * 300, "file/inside"):
        (tmp_path / "file").touch()
        with pytest.raises(InputError, match="cannot be read"):
            read_bytes(tmp_path / name)


def test_a_file_larger_than_any_is_refused_unread(tmp_path):
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(10**13)  # ten terabytes of nothing
    with pytest.raises(InputError, match=r"has 10,000,000,000,000 bytes; more than 100,000,000 are not read here"):
        read_json(tmp_path / "huge.json")
    with pytest.raises(InputError, match=r"more than 2,000,000,000"):
        read_lines(tmp_path / "huge.json")


def test_a_link_may_lead_around_in_its_folder_and_not_out_of_it(tmp_path):
    home = tmp_path / "home"
    (home / "deep").mkdir(parents=True)
    (home / "deep" / "file").write_text("{}")
    (home / "near").symlink_to(home / "deep" / "file")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("{}")
    (home / "far").symlink_to(tmp_path / "outside" / "file")
    (home / "folder").symlink_to(tmp_path / "outside")
    (home / "round").symlink_to(home / "round")
    assert read_json(home / "near", within=home) == {}
    for name in ("far", "folder/file", "../outside/file"):
        with pytest.raises(InputError, match="leads out of its folder"):
            read_json(home / name, within=home)
    with pytest.raises(InputError, match=r"leads nowhere|cannot be read"):
        read_json(home / "round", within=home)


def test_the_hubs_own_links_count_as_inside(tmp_path):
    snapshot = tmp_path / "models--a--b" / "snapshots" / "123"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--a--b" / "blobs").mkdir()
    (tmp_path / "models--a--b" / "blobs" / "x").write_text("{}")
    (snapshot / "config.json").symlink_to("../../blobs/x")
    assert inside(snapshot, snapshot / "config.json")


def test_an_error_inside_is_not_said_to_be_the_files(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(ValueError, match="mine") as found, opened(tmp_path / "a"):
        raise ValueError("mine")
    assert not isinstance(found.value, InputError)


@TRIES
@given(st.lists(st.binary(max_size=50).filter(lambda b: b"\n" not in b), max_size=8), st.booleans())
def test_lines_are_the_files_own(tmp_path_factory, parts, ends):
    path = tmp_path_factory.mktemp("lines") / "a"
    path.write_bytes(b"\n".join(parts) + b"\n" * ends)
    assert b"".join(lines(path)) == path.read_bytes()
    assert all(line.count(b"\n") == line.endswith(b"\n") for line in lines(path))


@pytest.mark.parametrize("text, number", [("12", 12), ("007", 7), ("²", None), ("١", None), ("", None), ("-1", None),
                                          ("1" * 5000, None), ("1e3", None)])  # fmt: skip
def test_a_number_in_a_name(text, number):
    assert whole_number(text) == number


# Modules that read only what lies in this project, or what this very process has just written.
OWN = {
    "engine/evaluate/probes.py",  # opens the door first, then lets safetensors read
    "engine/derived.py", "engine/reading.py", "engine/school/card.py", "engine/school/pretrain.py", "visualize/page/bundle.py",
    "animations/studio/films.py", "animations/studio/measures.py", "animations/studio/slides.py",
    "animations/studio/notebook.py", "animations/studio/film.py", "animations/studio/ledger.py", "lessons/handout/again.py",
    "lessons/handout/tryout.py", "lessons/handout/editions.py", "lessons/site/build.py", "lessons/site/executed.py",
    "lessons/site/pages.py", "lessons/teaching/course.py", "lessons/teaching/walk.py",
    "lessons/teaching/coding.py", "lessons/teaching/showing.py", "lessons/commands/claims.py", "lessons/claims/store.py",
    "lessons/claims/themes/tuning.py", "lessons/claims/ledger.py", "engine/training/trainer.py", "animations/studio/cache.py",
    "engine/recording/recorder.py", "engine/run/info.py", "engine/training/request.py",
}  # fmt: skip
READS = {
    "read_text",
    "read_bytes",
    "load",
    "loads",
    "safe_open",
    "load_file",
    "fromfile",
    "memmap",
    "genfromtxt",
    "loadtxt",
}


def test_files_of_others_are_read_through_this_door_only():
    root = Path(__file__).parents[2]
    for file in (
        path for folder in ("engine", "visualize", "animations", "lessons") for path in (root / folder).rglob("*.py")
    ):
        if str(file.relative_to(root)) in OWN:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                module, _, last = name.rpartition(".")
                if "__file__" in module or module.startswith("resources.files"):
                    continue  # what lies beside the code
                json_or_path = module in ("json", "np", "numpy") or last not in ("load", "loads")
                assert not (module and last in READS and json_or_path), f"{file}: {name}, not through engine.reading"
                assert last != "expanduser", f"{file}: {name}, not through engine.reading.check_name"
                assert name not in ("safe_open", "load_file", "open"), f"{file}: {name}, not through engine.reading"
