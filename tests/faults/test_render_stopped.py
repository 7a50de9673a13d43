"""A render that is stopped leaves no process, no half file, and a cache that is still good."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RENDER = [sys.executable, "-W", "ignore", "-m", "animations.render", "lora", "--quality", "480p15", "--jobs", "2"]


def as_from_a_terminal() -> None:
    """A shell starts what it runs in the background deaf to Ctrl-C; the suite may be run so, but not what it tries."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def descendants(pid: int) -> set[int]:
    """Every process that this one started, and those started."""
    found, wanted = set(), {pid}
    while wanted:
        parent = wanted.pop()
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent and fields[0] != "Z":
                child = int(stat.parent.name)
                found.add(child)
                wanted.add(child)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc, which is Linux's")
def test_a_stopped_render_leaves_nothing_behind(lora_run, tmp_path):
    environment = {**os.environ, "GLASSTUNE_FILM_CACHE": str(tmp_path / "cache")}
    out = tmp_path / "film.mp4"
    command = [*RENDER, "--run", str(lora_run.path), "--scenes", "Beside,Training", "-o", str(out)]
    for how in (signal.SIGINT, signal.SIGTERM):
        stop(how, command, environment)
        assert not out.exists() and not list(tmp_path.rglob("*.part"))
    videos = list((tmp_path / "cache").rglob("*.mp4"))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and out.stat().st_size > 10_000, done.stderr
    assert all(video.exists() for video in videos), "what was whole in the cache is used again"


def stop(how, command, environment):
    """Begin a render, and end it while it draws: no process is left, and nothing is said of what the code did."""
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=as_from_a_terminal,
    )  # fmt: skip
    deadline, started = time.monotonic() + 120, set()
    while len(started) < 2 and process.poll() is None and time.monotonic() < deadline:
        started = descendants(process.pid)
        time.sleep(0.1)
    time.sleep(1.0)  # into the drawing
    started |= descendants(process.pid)
    process.send_signal(how)
    said, _ = process.communicate(timeout=60)
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in started) and time.monotonic() < deadline:
        time.sleep(0.1)
    alive = [pid for pid in started if Path(f"/proc/{pid}").exists()]
    assert not alive and "Traceback" not in said, said
    assert process.returncode != 0


HELD = """
import os, signal, subprocess, sys
from animations.studio.workers import _interrupts_held
interrupted = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('deaf', flush=True)"
try:
    with _interrupts_held():
        os.kill(os.getpid(), signal.SIGINT)
        subprocess.run([sys.executable, "-c", interrupted], check=True)
        print("started", flush=True)
    print("lost")
except KeyboardInterrupt:
    print("heard")
os.kill(os.getpid(), signal.SIGINT)
"""


def test_an_interrupt_while_processes_start_is_heard_after_it_and_not_by_them():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", HELD], capture_output=True, text=True, preexec_fn=as_from_a_terminal
    )
    assert done.stdout.split() == ["deaf", "started", "heard"]
    assert done.returncode == -signal.SIGINT, "afterwards it hears as before"
