"""What a user gets: the wheel in a new environment, from an empty folder and from one with an `engine` of the user's."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from glasstune.siblings import SIBLINGS

ROOT = Path(__file__).parents[2]
PACKAGES = ("glasstune", *SIBLINGS)
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*", "notebooks", "node_modules", "build", "*.egg-info", "*.mp4")


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The wheel and the source distribution, built from a copy, by setuptools alone: nothing is fetched."""
    copy = tmp_path_factory.mktemp("built") / "glasstune"
    # What is made at the root (runs, films) stays out; a folder of that name elsewhere belongs to the project.
    shutil.copytree(
        ROOT,
        copy,
        ignore=lambda at, names: LEFT_OUT(at, names) | ({"runs", "films"} if Path(at) == ROOT else set()),
    )
    code = "from setuptools import build_meta as b; print(b.build_sdist('dist')); print(b.build_wheel('dist'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next((copy / "dist").glob("*.whl")), next((copy / "dist").glob("*.tar.gz"))


@pytest.fixture(scope="session")
def installed(built, tmp_path_factory):
    """The programs of a new environment that has the wheel, and borrows all the rest from this one."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, symlinks=True)
    bin = home / ("Scripts" if os.name == "nt" else "bin")
    names = {"base": str(home), "platbase": str(home)}
    own = Path(sysconfig.get_path("purelib", "venv", names))
    borrowed = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    (own / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(bin / "python"), "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--ignore-installed", "--quiet", str(built[0])], check=True, capture_output=True)
    return bin


@pytest.fixture
def say(installed, tmp_path, monkeypatch):
    """Runs a program of the new environment in an empty folder."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    folder = tmp_path / "empty"
    folder.mkdir()

    def run(*words, inside=folder):
        return subprocess.run([installed / words[0], *words[1:]], cwd=inside, capture_output=True, text=True)

    return run


def test_the_wheel_holds_every_file_of_its_packages(built):
    inside = set(zipfile.ZipFile(built[0]).namelist())
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            name = path.relative_to(ROOT)
            if path.is_file() and not {"__pycache__", "notebooks"} & set(name.parts) and not path.name.startswith("."):
                assert name.as_posix() in inside
    assert {name.split("/")[0] for name in inside if ".dist-info" not in name} == set(PACKAGES)


def test_the_wheel_says_what_it_is(built):
    archive = zipfile.ZipFile(built[0])
    inside = {Path(name).name: name for name in archive.namelist() if ".dist-info/" in name}
    about = message_from_string(archive.read(inside["METADATA"]).decode())
    assert about["Name"] == "glasstune" and "Typing :: Typed" in about.get_all("Classifier")
    assert (
        about.get_all("Project-URL")
        and "glasstune = glasstune.command:main" in archive.read(inside["entry_points.txt"]).decode()
    )


def test_the_source_holds_what_its_tests_need(built):
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for folder in ("tests", "docs", "benchmarks", "scripts"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
                assert path.relative_to(ROOT).as_posix() in names
    assert {"Makefile", "README.md", "constraints.txt", "CHANGELOG.md", "pyproject.toml"} <= names


def test_installed_it_is_found_from_an_empty_folder(say, lora_run, installed):
    done = say("python", "-c", "import glasstune, engine, lessons; print(glasstune.__file__, engine.__file__)")
    assert all(Path(place).is_relative_to(installed.parent) for place in done.stdout.split()), done.stderr
    for words in (["glasstune", "--help"], ["glasstune", "lesson"], ["glasstune", "film", "--list"],
                  ["glasstune", "inspect", str(lora_run.path)], ["python", "-m", "glasstune", "inspect", str(lora_run.path)],
                  ["python", "-m", "engine.inspect", str(lora_run.path)]):  # fmt: skip
        done = say(*words)
        assert done.returncode == 0 and done.stdout.strip(), done.stderr


@pytest.fixture
def theirs(tmp_path):
    """A folder of a user who has an `engine` with a file in it, and `lessons`, `visualize` that hold no code."""
    folder = tmp_path / "theirs"
    for name in ("engine", "lessons", "visualize"):
        (folder / name).mkdir(parents=True)
    (folder / "engine" / "__init__.py").write_text("raise RuntimeError('the engine of a car')\n")
    return folder


def test_beside_folders_of_the_users_the_command_does_its_work(say, theirs, lora_run):
    for words in (["glasstune", "lesson"], ["glasstune", "inspect", str(lora_run.path)],
                  ["python", "-m", "glasstune", "inspect", str(lora_run.path)]):  # fmt: skip
        done = say(*words, inside=theirs)
        assert done.returncode == 0 and done.stdout.strip(), done.stderr


def test_what_shadows_it_is_said_in_one_sentence(say, theirs):
    done = say("python", "-c", "from glasstune import Run", inside=theirs)
    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith("ImportError: ") and str(theirs / "engine") in said and "car" not in done.stderr
    shutil.rmtree(theirs / "engine")
    assert say("python", "-c", "from glasstune import Run", inside=theirs).returncode == 0, "folders without code lose"


def test_a_folder_without_code_that_stands_before_an_editable_install_is_said(theirs):
    """An editable install is found by a finder that comes after the path: there an empty folder wins."""
    code = f"""
import sys
from importlib.util import spec_from_file_location
from pathlib import Path
class Editable:
    def find_spec(self, name, path=None, target=None):
        place = Path({str(ROOT)!r}) / name / "__init__.py"
        return spec_from_file_location(name, place) if name in {PACKAGES!r} else None
sys.path = [place for place in sys.path if Path(place).resolve() != Path({str(ROOT)!r})]
others = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")]
sys.meta_path[:] = [*others, Editable()]
from glasstune import Run
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=theirs, capture_output=True, text=True, env=clean())
    assert f"ImportError: {theirs / 'engine'} stands before" in done.stderr
    shutil.rmtree(theirs / "engine")
    done = subprocess.run([sys.executable, "-c", code], cwd=theirs, capture_output=True, text=True, env=clean())
    assert f"ImportError: {theirs / 'visualize'} stands before" in done.stderr


def clean():
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def test_installed_the_ledger_is_written_where_the_user_is(say, tmp_path, installed):
    done = say("glasstune", "claims", "specialist", "--no-run")
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "empty" / "runs" / "claims.json").read_text())
    assert kept["decay-shrinks-little"]["verdict"] == "exact"  # arithmetic takes no trial
    assert "runs/claims.md" in done.stdout
