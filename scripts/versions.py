"""Does Glasstune work at both ends of the versions that it allows? A virtual environment for each, and the suite in it.

python scripts/versions.py                          newest and oldest, on every Python 3.11 to 3.13 that is here
python scripts/versions.py oldest --keep torch==2.13.0 --tests tests/engine
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Not TRL, which wants newer than our oldest.
TESTING = ("hypothesis", "playwright", "pytest", "pytest-timeout", "pytest-xdist")
PYTHONS = ("3.11", "3.12", "3.13")


def oldest(requirements: list[str]) -> list[str]:
    """The lower bound of every requirement, as a pin: "numpy>=2.0" -> "numpy==2.0"."""
    pins = []
    for requirement in requirements:
        found = re.match(r"([A-Za-z0-9_.-]+)(\[[^\]]*\])?[^>]*>=\s*([0-9.]+)", requirement)
        if found:
            pins.append(f"{found[1]}=={found[3]}")
    return pins


def constraints(end: str, keep: list[str]) -> list[str]:
    """What pip is held to. keep: pins that replace ours, e.g. the one build of torch that is at hand."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    pins = oldest([*project["dependencies"], *extras["film"], *extras["notebook"]]) if end == "oldest" else []
    kept = {re.split(r"[=<>]", pin)[0] for pin in keep}
    return [pin for pin in pins if pin.split("==")[0] not in kept] + keep


def testing() -> list[str]:
    """What the suite itself needs, as the project asks for it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [one for one in project["optional-dependencies"]["dev"] if re.split(r"[^A-Za-z0-9_.-]", one)[0] in TESTING]


def is_here(python: str) -> bool:
    """Whether it starts: of a version manager, only the name may be on the path."""
    name = shutil.which(f"python{python}")
    return name is not None and subprocess.run([name, "-c", ""], capture_output=True).returncode == 0


def try_one(python: str, end: str, keep: list[str], tests: list[str]) -> bool:
    """Install and test in a folder that is thrown away; its output is shown."""
    with tempfile.TemporaryDirectory() as place:
        held = Path(place) / "constraints.txt"
        held.write_text("\n".join(constraints(end, keep)) + "\n", encoding="utf-8")
        print(f"\n== Python {python}, {end}: " + ", ".join(held.read_text().split()), flush=True)
        venv = Path(place) / "venv"
        python_in = venv / "bin/python"
        lenient = ["-W", "default"] if end == "oldest" else []  # what old packages warn of was mended in newer ones
        steps = [
            [f"python{python}", "-m", "venv", venv],
            [python_in, "-m", "pip", "install", "-q", "-c", held, "-e", f"{ROOT}[film,notebook,site]", *testing()],
            [python_in, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", *lenient, *tests],
        ]
        return all(subprocess.run(step, cwd=ROOT).returncode == 0 for step in steps)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ends", nargs="*", default=["newest", "oldest"], metavar="END", help="newest, oldest")
    parser.add_argument("--python", nargs="*", default=PYTHONS)
    parser.add_argument("--keep", nargs="*", default=[], metavar="PIN", help="use this version whatever the end")
    parser.add_argument("--tests", nargs="*", default=["tests"])
    chosen = parser.parse_args()
    results = {}
    for python in chosen.python:
        for end in chosen.ends:
            results[python, end] = try_one(python, end, chosen.keep, chosen.tests) if is_here(python) else None
    said = {True: "works", False: "FAILS", None: "not tried: that Python is not on this machine"}
    for (python, end), result in results.items():
        print(f"Python {python}, {end}: {said[result]}")
    return int(False in results.values())


if __name__ == "__main__":
    sys.exit(main())
