"""How long does a newcomer wait? Every lesson as it is typed, without the film: whole, to its first picture, and for a
first look (`--quick`)."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure
from lessons.teaching.course import WHOLE, lessons

TITLE = "Lessons: python -m lessons.NAME --auto --no-film"


def measure() -> Iterator[Figure]:
    """Of each lesson, once, which takes long enough: seconds from the command to its first picture and to its end, and
    to the end of its quick preset."""
    for lesson in lessons():
        first, whole = _walk(lesson)
        yield Figure(f"{lesson}: until the first picture", "s", [first], goal="at most 12")
        yield Figure(WHOLE.format(lesson=lesson), "s", [whole], goal="at most 90")
        yield Figure(f"{lesson}: quick", "s", [_walk(lesson, "--quick")[1]], goal="at most 15")


def _walk(lesson: str, *options: str) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-u", "-m", f"lessons.{lesson}", "--auto", "--no-film", "--out", folder, *options]
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        first = 0.0
        while process.poll() is None:
            if not first and any(Path(folder).glob("*/pictures/*.png")):
                first = time.perf_counter() - began
            time.sleep(0.02)
        whole = time.perf_counter() - began
    if process.returncode or not first:
        raise RuntimeError(f"lesson {lesson} ended with {process.returncode} after {whole:.0f} s")
    return first, whole
