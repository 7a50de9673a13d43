"""What did a student write? The function that was asked for, with what it needs of its cell, as lines of text.

What is no Python, or too deep for Python, is text like any other: nothing here fails over it.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any

# No syntax; a NUL or half of a character; nested without end.
_NO_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)


def function_name(source: str) -> str:
    """The name of the first function that a piece of code defines."""
    return next(node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))


def names_in(code: str) -> set[str]:
    """The names, not its own variables, that code looks up when it runs; none of what is no Python."""
    return _looked_up(_statements(code))


def source_of(function: Callable[..., Any], name: str) -> str:
    """The lines of a function from a cell or the prompt, after the imports, functions and constants of the same cell
    that it needs. Empty where Python does not know them.

    name: by which it will be called, whatever the student calls it.
    """
    try:
        function = inspect.unwrap(function)
        cell, _ = inspect.findsource(function)
        own = textwrap.dedent(inspect.getsource(function)).strip()
    except (OSError, TypeError, *_NO_PYTHON):  # of them, ValueError: it wraps itself
        return ""
    itself = _statements(own)
    made = _bound(itself)
    before = _needed("".join(cell), _looked_up(itself) - made, made)
    lines = [*before, *["", ""] * bool(before), own]
    called = getattr(function, "__name__", "")
    if name not in made and called in made:
        lines += ["", "", f"{name} = {called}"]
    return "\n".join(lines)


def _needed(cell: str, wanted: set[str], made: set[str]) -> list[str]:
    """The lines of a cell that bind these names, and what those need in turn; not those that make the function."""
    others = [node for node in _statements(cell) if not _bound([node]) & made]
    taken: list[ast.stmt] = []
    while more := [node for node in others if node not in taken and _bound([node]) & (wanted | {"*"})]:
        taken += more
        wanted = wanted | _looked_up(more)
    lines = cell.split("\n")
    spans = {(_first_line(node) - 1, node.end_lineno) for node in taken}
    return [line for start, end in sorted(spans) for line in lines[start:end]]


def _first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])


def _bound(body: Iterable[ast.stmt]) -> set[str]:
    """The names that these statements give something to; "*" for what imports all."""
    found: set[str] = set()
    for node in body:
        match node:
            case ast.Import(names) | ast.ImportFrom(names=names):
                found |= {alias.asname or alias.name.partition(".")[0] for alias in names}
            case ast.FunctionDef(name) | ast.ClassDef(name):
                found.add(name)
            case ast.Assign() | ast.AnnAssign():
                stored = (one for one in ast.walk(node) if isinstance(one, ast.Name))
                found |= {one.id for one in stored if isinstance(one.ctx, ast.Store)}
    return found


def _looked_up(body: Iterable[ast.stmt]) -> set[str]:
    try:
        todo = [compile(ast.Module([*body], []), "", "exec")]
    except _NO_PYTHON:
        return set()
    found: set[str] = set()
    while todo:
        code = todo.pop()
        found |= set(code.co_names)
        todo += [inside for inside in code.co_consts if isinstance(inside, CodeType)]
    return found


def _statements(text: str) -> list[ast.stmt]:
    try:
        return ast.parse(text).body
    except _NO_PYTHON:
        return []  # "return ..." outside a function is none, too


def complete(typed: str, starter: str) -> str:
    """What was typed as a whole function: its body alone, or one expression, is enough.

    A `.check(...)` line is left out. Text that is no Python comes back as it is, for its error to be shown.
    """
    body = _statements(typed)
    if any(isinstance(node, ast.FunctionDef) for node in body) or function_name(starter) in _bound(body):
        kept = [node for node in body if not _is_check(node)]
        try:
            return ast.unparse(ast.Module(kept, [])) if len(kept) < len(body) else typed
        except RecursionError:
            return typed
    head = next(line for line in starter.split("\n") if line.startswith("def "))
    if len(body) == 1 and isinstance(body[0], ast.Expr):
        typed = f"return {typed.strip()}"
    whole = "\n".join([head, *(f"    {line}" for line in typed.split("\n"))])
    return whole if _statements(whole) else typed


def _is_check(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and (isinstance(node.value.func, ast.Attribute) and node.value.func.attr == "check")
    )
