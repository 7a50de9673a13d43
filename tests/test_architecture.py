"""What must stay light is light, and a store knows nothing of the Run that is read from it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOUSE = ("glasstune", "engine", "visualize", "animations", "lessons")
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in HOUSE
    for path in (ROOT / folder).rglob("*.py")
}


def imported(path: Path) -> set[str]:
    """The files of the house that one imports, wherever in it; not those for annotations only."""
    tree, found = ast.parse(path.read_text(encoding="utf-8")), set()
    for_types = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    skipped = {id(inside) for node in for_types for line in node.body for inside in ast.walk(line)}
    for node in (node for node in ast.walk(tree) if id(node) not in skipped):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in FILES else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & FILES.keys()


@pytest.mark.parametrize("folder", ["engine/run", "engine/measure"])
def test_reading_and_measuring_a_run_load_no_torch(folder):
    names = [name for name, path in FILES.items() if path.is_relative_to(ROOT / folder)]
    heavy = "{'torch', 'transformers', 'peft', 'datasets', 'matplotlib'}"
    code = (
        f"import sys, importlib\nfor name in {names}: importlib.import_module(name)\nprint({heavy} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_stores_know_no_run():
    stores = [path for name, path in FILES.items() if name.startswith("engine.run.stores")]
    assert len(stores) > 5
    for path in stores:
        assert "engine.run.run" not in imported(path), path.name
