"""What the documents show can be typed: their Python compiles, their commands exist, their links lead somewhere."""

import argparse
import ast
import importlib.util
import re
from pathlib import Path

import pytest

from glasstune.command import commands

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MODULE = re.compile(r"python -m ([\w.]+)")
MAKE = re.compile(r"\bmake ([a-z]+)")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_compiles_and_imports_what_there_is(page):
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("engine", "visualize", "lessons"):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    inside = (
                        importlib.util.find_spec(f"{node.module}.{alias.name}") if hasattr(module, "__path__") else None
                    )
                    assert hasattr(module, alias.name) or inside, f"{node.module} has no {alias.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_exists(page, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)  # a reader types them there
    text = page.read_text(encoding="utf-8")
    for name in set(MODULE.findall(text)) - {"lessons.x"}:
        spec = importlib.util.find_spec(name.rstrip("."))
        assert spec is not None, f"python -m {name}"
        if spec.submodule_search_locations is not None:
            assert importlib.util.find_spec(f"{name}.__main__") is not None, f"python -m {name}"
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    shown = {name for block in blocks(page, "sh") for name in MAKE.findall(block)} | set(
        re.findall(r"`make ([a-z]+)`", text)
    )
    assert shown <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_shown_is_one(page):
    """An option of ours stands, as it is written, in the source of the command that it is shown with."""
    for line in page.read_text(encoding="utf-8").splitlines():
        found = MODULE.search(line)
        if not found or found[1].split(".")[0] not in ("engine", "animations", "lessons", "benchmarks"):
            continue
        folder = ROOT / found[1].split(".")[0]
        source = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*.py"))
        for option in re.findall(r"\s(--[a-z-]+)", line.split("#")[0]):
            assert option in source or f'"{option[2:]}"' in source, f"{line.strip()}: {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_glasstune_command_shown_is_one_with_these_options(page):
    known = commands()
    for line in page.read_text(encoding="utf-8").splitlines():
        for found in re.finditer(r"(?:^|`)glasstune ([a-z][a-z-]*)([^`#|]*)", line):
            assert found[1] in known, line
            parser = argparse.ArgumentParser()
            known[found[1]].options(parser)
            options = {option for action in parser._actions for option in action.option_strings}
            assert set(re.findall(r"\s(--?[a-z][a-z-]*)", found[2])) <= options, line
