"""A file or folder is the old one or the new one, whatever goes wrong; and one process at a time makes it."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.files import (
    PART,
    alone,
    append_line,
    aside,
    beside,
    check_new,
    check_ours,
    check_out,
    hold,
    meant,
    whole,
    write_json,
    write_text,
    writing,
)
from engine.reading import read_json
from engine.recording.lock import is_held


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_what_was_there_stays_when_writing_fails(tmp_path, error):
    write_json(tmp_path / "a.json", {"é": 1})
    with pytest.raises(type(error)), writing(tmp_path / "a.json") as file:
        file.write(b"half")
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "é": 1\n}\n'


LONG = {"ascii": "e" * 255, "accents": "é" * 127, "no UTF-8": os.fsdecode(b"\xff" * 250), "a page": "a" * 240 + ".html"}


@pytest.mark.parametrize("name", LONG.values(), ids=LONG)
def test_a_name_as_long_as_any_is_written_held_and_moved_as_others_are(tmp_path, name):
    """Beside it lies what is half written, under a name that has more in it."""
    place = check_out(tmp_path / name)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = [tmp_path / beside(place, f".{gone.pid}{more}{PART}").name for more in ("", ".before")]
    other = beside(place.with_name(name[:-1] + "b"), f".{gone.pid}{PART}")
    for path in (*left, other):
        path.touch()
    with whole(place) as part:
        part.write_text("new")
        assert len(os.fsencode(part.name)) < 143  # what an encrypted folder allows
    assert place.read_text() == "new" and not any(path.exists() for path in left) and other.exists()
    other.unlink()
    place.unlink()
    for _ in range(2):
        with alone(place), whole(place) as part:
            part.mkdir()
    kept = {aside(place).name}
    place.mkdir()
    assert {*kept, aside(place).name} == {path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")}


def test_half_of_a_character_is_written_as_its_escape(tmp_path):
    """A file's name that is no UTF-8 has one; no file can hold it, and no reader of a run takes JSON's for text."""
    named = os.fsdecode(b"b\xff")
    write_json(tmp_path / "a.json", {named: ["\\", named, "é"]})
    assert read_json(tmp_path / "a.json") == {"b\\udcff": ["\\", "b\\udcff", "é"]}
    write_text(tmp_path / "a.html", f"<p>{named}é")
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == "<p>b\\udcffé"


def test_a_folder_appears_when_it_is_whole_and_what_a_kill_left_goes(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for name in (f".run.{gone.pid}.part", f".run.{os.getpid()}.part", f".run.{gone.pid}.before.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "left").touch()
    with whole(tmp_path / "run") as part:
        part.mkdir()
        (part / "new").touch()
        assert not (tmp_path / "run").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "new"]


def test_what_others_write_beside_it_stays(tmp_path):
    """A browser's download, another process's half of the same file, and what happens to be called alike."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as alive:
        names = ("a.mp4.part", f".a.mp4.{alive.pid}.part", ".b.mp4.999999999.part")
        others = [tmp_path / name for name in names]
        for other in others:
            other.write_bytes(b"theirs")
        with writing(tmp_path / "a.mp4") as file:
            file.write(b"ours")
        assert all(other.read_bytes() == b"theirs" for other in others)
        alive.communicate(b"\n")
    assert meant(".a.mp4.12.part") == "a.mp4" and meant("run.json.part") == "run.json" == meant("run.json")


@pytest.mark.parametrize("killed", ["", "replace", "rmtree"])
def test_a_folder_takes_the_place_of_one_whatever_a_kill_has_left(tmp_path, killed, monkeypatch):
    def write(name):
        with whole(tmp_path / "site") as part:
            part.mkdir()
            (part / name).touch()

    def found():
        return [path.name for path in (tmp_path / "site").iterdir()] if (tmp_path / "site").exists() else []

    write("old")
    with monkeypatch.context() as patch:
        if killed:
            owner = Path if killed == "replace" else shutil
            original, calls = getattr(owner, killed), []

            def kill(*given, **named):
                calls.append(given)
                if len(calls) == (2 if killed == "replace" else 1):  # the old one was moved away
                    raise KeyboardInterrupt
                return original(*given, **named)

            patch.setattr(owner, killed, kill)
        with pytest.raises(KeyboardInterrupt) if killed else contextlib.nullcontext():
            write("new")
    assert found() == ([] if killed == "replace" else ["new"])
    write("last")
    assert found() == ["last"] and [path.name for path in tmp_path.iterdir()] == ["site"]


def test_what_is_no_file_is_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        write_json(tmp_path / "pipe", {})
    assert (tmp_path / "pipe").is_fifo() and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("name", "said"), [
    (".", "is no file"), ("folder", "is no file"), ("pipe", "is no file"), ("a\0b.html", "give another name"),
    ("x" * 300 + ".html", "give another name"), ("none/a.html", "none is no folder"), ("a.exe", "end in .html or .htm"),
    ("file.html/a.html", "is no folder"),
])  # fmt: skip
def test_where_something_is_to_be_written_is_asked_first(tmp_path, name, said, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("folder").mkdir()
    Path("file.html").touch()
    with pytest.raises(InputError, match=said):
        check_out(name, (".html", ".htm") if name == "a.exe" else ())
    assert check_out("new.HTML", (".html",)) == Path("new.HTML") and check_out(Path("file.html")).is_file()
    assert not Path("new.HTML").exists()


def test_what_is_not_ours_is_not_written_anew(tmp_path):
    file = tmp_path / "a.html"
    assert check_ours(file, b"<mark>") == check_new(file) == file
    file.touch()
    assert check_ours(file, b"<mark>") == file, "nothing is lost"
    file.write_text("<!doctype html>" + " " * 1000 + "<mark>")
    assert check_ours(file, b"<mark>") == file
    for other in ("mine", " " * 10**6 + "<mark>"):
        file.write_text(other)
        with pytest.raises(InputError, match="not made by this command"):
            check_ours(file, b"<mark>")
    with pytest.raises(InputError, match="already exists"):
        check_new(file)


def test_a_lock_is_held_by_one_process_and_forgotten_when_that_is_gone(tmp_path):
    code = "import sys; from pathlib import Path; from engine.files import hold; hold(Path(sys.argv[1]), wait=False)"
    ask = [sys.executable, "-c", code, str(tmp_path / "a.lock")]
    held = hold(tmp_path / "a.lock", wait=False)
    done = subprocess.run(ask, capture_output=True, text=True)
    assert done.returncode and "BlockingIOError" in done.stderr
    held.release()
    assert subprocess.run(ask).returncode == 0
    hold(tmp_path / "a.lock", wait=False).release()  # that process ended without letting go


def test_a_link_in_a_locks_place_is_not_followed(tmp_path):
    (tmp_path / "thesis").write_text("mine")
    (tmp_path / "run.lock").symlink_to(tmp_path / "thesis")
    with pytest.raises(InputError, match=r"run\.lock is no file"):
        hold(tmp_path / "run.lock", wait=False)
    assert (tmp_path / "thesis").read_text() == "mine" and not is_held(tmp_path)
    (tmp_path / "run.lock").unlink()
    os.mkfifo(tmp_path / "run.lock")
    assert not is_held(tmp_path)


def test_a_run_of_which_nobody_can_say_who_writes_it_opens(tmp_path, monkeypatch):
    def refuse(number):
        def hold(*_, **__):
            raise OSError(number, "no")

        return hold

    (tmp_path / "run.lock").touch()
    for number, held in ((errno.EACCES, True), (errno.EROFS, False)):
        monkeypatch.setattr("engine.recording.lock.hold", refuse(number))
        assert is_held(tmp_path) == held


def test_a_line_is_added_on_a_line_of_its_own(tmp_path):
    for before, after in (("", "é\n"), ("a\n", "a\né\n"), ("a\nhalf", "a\nhalf\né\n")):
        (tmp_path / "lines").write_text(before)
        append_line(tmp_path / "lines", "é")
        assert (tmp_path / "lines").read_text(encoding="utf-8") == after


def test_alone_lets_go_after_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(ValueError), alone(tmp_path / "new" / "thing"):
            raise ValueError
