"""The house keeps its shape: imports go one way, importing does nothing, and nothing of this machine is in it."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
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


def module_of(file: Path) -> str:
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


def imports(file: Path) -> Iterator[str]:
    """What a file imports, at its top or inside a function; what only a type checker reads is left out."""
    todo: list[ast.AST] = [ast.parse((ROOT / file).read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                todo += node.orelse
                continue
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                assert node.level == 0, "Manim's own command cannot follow relative imports"
                for alias in node.names:
                    inside = f"{node.module}.{alias.name}"
                    yield inside if inside in MODULES else str(node.module)
            case ast.Call(func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"), args=[named, *_]):
                if isinstance(named, ast.Constant):
                    yield named.value
        todo += ast.iter_child_nodes(node)


MODULES = {module_of(file): file for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=str)
def test_imports_go_one_way(file):
    assert {name.split(".")[0] for name in imports(file)} & set(MAY_IMPORT) <= MAY_IMPORT[file.parts[0]]


def circles(edges: dict[str, set[str]]) -> list[set[str]]:
    """The strongly connected components of more than one module (Tarjan 1972): each can reach each other."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found: list[set[str]] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        path.append(name)
        for other in edges[name]:
            if other not in order:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in path:
                lowest[name] = min(lowest[name], order[other])
        if lowest[name] == order[name]:
            start = path.index(name)
            found.append(set(path[start:]))
            del path[start:]

    for name in edges:
        if name not in order:
            visit(name)
    return [component for component in found if len(component) > 1]


def test_a_circle_is_found():
    edges = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": {"e"}, "e": set()}
    assert circles(edges) == [{"a", "b", "c"}] and circles({**edges, "c": set()}) == []


def test_nothing_is_imported_in_a_circle():
    edges = {
        name: {other for other in imports(file) if other in MODULES and other != name} for name, file in MODULES.items()
    }
    assert circles(edges) == []


def test_reading_a_run_and_measuring_it_load_no_model_library():
    names = [name for name in MODULES if name.split(".")[:2] in (["engine", "run"], ["engine", "measure"])]
    code = f"""
import importlib, sys
for name in {names}:
    importlib.import_module(name)
print([name for name in ("torch", "transformers", "peft", "matplotlib") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize("file", FILES, ids=str)
def test_every_file_opens_with_what_it_is_for(file):
    """With a docstring; a lesson, which is read as a notebook too, with its title."""
    text = (ROOT / file).read_text(encoding="utf-8")
    is_lesson = file.parent == Path("lessons") and "\n# %%" in text
    assert ast.get_docstring(ast.parse(text)) or (is_lesson and re.search(r"^# # .+", text, re.MULTILINE))


def test_the_tree_the_course_and_the_figures_are_written_from_the_files():
    done = subprocess.run([sys.executable, ROOT / "scripts" / "readme.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_it_is_made_of_is_written_down_and_files_of_others_are_what_they_were():
    done = subprocess.run([sys.executable, ROOT / "scripts" / "sbom.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_picture_of_the_readme_is_there_and_small():
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    most = {".webp": 1_000_000}  # a moving one; a still, 400 kB
    assert pictures
    assert all((ROOT / picture).stat().st_size < most.get(Path(picture).suffix, 400_000) for picture in pictures)


def test_the_readme_is_read_in_two_minutes_and_stands_alone_as_a_packages_page():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) < 750
    page = (ROOT / "docs" / "package.md").read_text(encoding="utf-8")
    assert "make lora" in page and "](docs" not in page and "![" not in page


def test_importing_the_front_door_is_quick_to_say_what_it_has():
    code = "import glasstune, sys; assert 'torch' not in sys.modules; print(sorted(glasstune.__all__))"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    for name in ("finetune", "Full", "LoRA", "QLoRA", "CaptureCallback", "capture", "Run"):
        assert repr(name) in said
