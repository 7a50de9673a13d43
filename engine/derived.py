"""When is something that was computed still good? When nothing that it follows from has changed.

That is the code that computed it (without comments and docstrings; imports of ours are followed by reading them), the
files that it read, what was asked, and the versions of the packages at work. Rendered scenes, what films measured and
the claims' trials are all kept under a `key` of these, or a part of it.
"""

import ast
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
OURS = ("animations", "engine", "lessons", "visualize")


def key(asked: Any, *, code: str = "", files: Iterable[Path] = (), packages: Iterable[str] = ()) -> str:
    """The digest of all that a result follows from, in hexadecimal digits.

    asked: plain JSON. code: see `code_of` and `source_without`. files: what was read, in an order that is always the
    same. packages: whose versions count.
    """
    versions = [f"{name} {version(name)}" for name in packages]
    digest = hashlib.sha256(json.dumps([asked, code, versions], sort_keys=True).encode())
    for file in files:
        known = file.stat()
        digest.update(_content(file, known.st_size, known.st_mtime_ns))
    return digest.hexdigest()


@cache
def _content(file: Path, size: int, changed: int) -> bytes:
    """A file's digest, read once; size and time of change tell it from what was there before."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").digest()


def code_of(files: Iterable[Path]) -> str:
    """A digest of what these files do, in sixteen digits: comments, docstrings and layout apart."""
    digest = hashlib.sha256()
    for file in sorted(files):
        known = file.stat()
        digest.update(_does(file, known.st_size, known.st_mtime_ns))
    return digest.hexdigest()[:16]


@cache
def _does(file: Path, size: int, changed: int) -> bytes:
    """What a file does, read once, for a film has many scenes and a ledger many trials."""
    return ast.dump(_bare(ast.parse(file.read_text(encoding="utf-8")))).encode()


def _bare(tree: ast.Module) -> ast.Module:
    """Without docstrings."""
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef() if ast.get_docstring(node):
                node.body = node.body[1:]
    return tree


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
