"""The house keeps its shape: imports go one way, importing does nothing, and nothing of this machine is in it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "engine": {"engine"},
    "visualize": {"engine", "visualize"},
    "animations": {"engine", "visualize", "animations"},
    "lessons": {"engine", "visualize", "animations", "lessons"},
    "glasstune": {"engine", "visualize", "animations", "lessons", "glasstune"},
    "benchmarks": {"engine", "visualize", "animations", "lessons", "glasstune", "benchmarks"},
}
FILES = sorted(path.relative_to(ROOT) for folder in MAY_IMPORT for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_imports_go_one_way(file):
    imported = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "Manim's own command cannot follow relative imports"
            imported.add((node.module or "").split(".")[0])
    assert imported & set(MAY_IMPORT) <= MAY_IMPORT[file.parts[0]]


@pytest.mark.parametrize("file", FILES, ids=str)
def test_every_file_opens_with_what_it_is_for(file):
    assert ast.get_docstring(ast.parse((ROOT / file).read_text(encoding="utf-8"))) or file.parts[0] == "lessons"


def test_the_readmes_tree_and_figures_are_written_from_the_files():
    done = subprocess.run([sys.executable, ROOT / "scripts" / "readme.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_picture_of_the_readme_is_there_and_small():
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert pictures and all((ROOT / picture).stat().st_size < 400_000 for picture in pictures)


def test_importing_the_front_door_is_quick_to_say_what_it_has():
    code = "import glasstune, sys; assert 'torch' not in sys.modules; print(sorted(glasstune.__all__))"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    for name in ("finetune", "Full", "LoRA", "QLoRA", "CaptureCallback", "capture", "Run"):
        assert repr(name) in said
