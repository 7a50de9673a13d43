"""How long does a newcomer wait? Every lesson as it is typed, without the film: whole, and to its first picture."""

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
    """Of each lesson, once, which takes long enough: seconds from the command to its first picture, and to its end."""
    for lesson in lessons():
        first, whole = _walk(lesson)
        yield Figure(f"{lesson}: until the first picture", "s", [first], goal="at most 20")
        yield Figure(WHOLE.format(lesson=lesson), "s", [whole], goal="at most 120")


def _walk(lesson: str) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-u", "-m", f"lessons.{lesson}", "--auto", "--no-film", "--out", folder]
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
