"""A user's mistake is one line on the terminal, with its own exit status, whatever the text in it."""

import errno
import os
import subprocess
import sys

import pytest

from engine.errors import InputError, command


@pytest.mark.parametrize(
    ("raised", "status", "says"),
    [
        (None, 0, ""),
        (InputError("no such \x1b[31mthing\nat all"), 2, "error: no such \\x1b[31mthing\\nat all\n"),
        (OSError(errno.ENOSPC, "No space left on device", "a\nb"), 3, "error: a\\nb: No space left on device\n"),
        (KeyboardInterrupt(), 130, "\nStopped.\n"),
    ],
)
def test_a_command_ends_with_a_status_and_one_line(raised, status, says, capsys):
    @command
    def main(arguments=None):
        if raised is not None:
            raise raised

    assert main([]) == status
    assert capsys.readouterr().err == says


@pytest.mark.parametrize("defect", [OSError("not of the system"), ZeroDivisionError("ours"), KeyError("ours")])
def test_a_defect_of_ours_keeps_its_traceback_and_no_verdicts_status(defect, capsys):
    @command
    def main(arguments=None):
        raise defect

    assert main([]) == 3
    said = capsys.readouterr().err
    assert said.startswith("Traceback") and type(defect).__name__ in said


def test_processes_that_a_command_starts_import_nothing_from_a_strangers_folder(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("print('run')")
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    start = [sys.executable, "-c", "import json"]

    @command
    def main(arguments=None):
        assert subprocess.run(start, cwd=tmp_path, capture_output=True, text=True).stdout == ""

    assert main([]) == 0
    assert "PYTHONSAFEPATH" not in os.environ  # what comes later is not ours
    assert subprocess.run(start, cwd=tmp_path, capture_output=True, text=True).stdout == "run\n"


def test_a_reader_who_has_seen_enough_is_no_error():
    code = "from engine.errors import command\n@command\ndef main(a=None):\n  print('x\\n' * 99999)\nraise SystemExit(main())"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(2)
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait() == 141
