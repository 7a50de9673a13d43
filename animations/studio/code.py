"""Which code does something depend on? The files of ours that it loads; imports are read, not run.

So what was rendered or measured by code that has changed is known to be old.
"""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = ("animations", "engine", "visualize")


def digest_of(files: Iterable[Path]) -> bytes:
    """One digest of what these files hold, as they lie there now."""
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.digest()


def source_without(file: Path, classes: set[str]) -> str:
    """A file's source, less these classes, comments and layout: what else it is made of."""
    tree = ast.parse(file.read_bytes())
    tree.body = [node for node in tree.body if not (isinstance(node, ast.ClassDef) and node.name in classes)]
    return ast.unparse(tree)


def reached(modules: Iterable[str], *, lazily: bool = False, besides: frozenset[str] = frozenset()) -> set[Path]:
    """Every file of ours that is loaded with these modules.

    lazily: also what their functions import when they are called. besides: modules that are left out, with what only
    they load.
    """
    todo, found = list(modules), set[Path]()
    while todo:
        name = todo.pop()
        file = _file(name)
        if file is None or file in found or name in besides:
            continue
        found.add(file)
        todo += imported(file, lazily)
    return found


@cache
def imported(file: Path, lazily: bool = False) -> tuple[str, ...]:
    """The modules that a file imports when it is loaded, or at any time, and names that may be one."""
    tree = ast.parse(file.read_bytes())
    names = []
    for node in ast.walk(tree) if lazily else tree.body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(names)


def _file(module: str) -> Path | None:
    """Where a module of ours lies; None for others' modules, and for names that are no module."""
    path = ROOT.joinpath(*module.split("."))
    found = [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()]
    return found[0] if found and module.split(".")[0] in OURS else None
