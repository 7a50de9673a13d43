"""How does the API come onto a page? From the docstrings, which are prose already: a heading, how it is called, and
what it says of itself.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any


def api_page(title: str, opening: str, named: Mapping[str, Any]) -> str:
    """Markdown of some functions and classes. named: each under the name that a user calls it by."""
    parts = [f"# {title}\n\n{opening}"]
    for name, thing in named.items():
        parts.append("\n\n".join(_entry(f"## {name}", name, thing)))
    return "\n\n".join(parts) + "\n"


def _entry(heading: str, name: str, thing: Any) -> Iterator[str]:
    yield heading
    if signature := _signature(name, thing):
        yield f"```python\n{signature}\n```"
    yield prose(inspect.getdoc(thing) or "")
    if inspect.isclass(thing) and not issubclass(thing, BaseException):
        for method, found in vars(thing).items():
            what = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
            if not method.startswith("_") and inspect.isfunction(what) and inspect.getdoc(what):
                given = found if isinstance(found, property) else what
                yield from _entry(f"### {name.split('.')[-1]}.{method}", method, given)


def _signature(name: str, thing: Any) -> str:
    """How it is called, a line a parameter if it is long; empty for what is not called."""
    if isinstance(thing, property) or not callable(thing):
        return ""
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return ""
    parameters = [
        str(one.replace(annotation=_short(one.annotation)))
        for one in signature.parameters.values()
        if one.name not in ("self", "cls")
    ]
    line = f"{name}({', '.join(parameters)})"
    if len(line) <= 90:
        return line
    return "\n".join([f"{name}(", *(f"    {one}," for one in parameters), ")"])


def _short(annotation: Any) -> Any:
    return annotation if annotation is inspect.Parameter.empty else _Said(inspect.formatannotation(annotation))


class _Said(str):
    """An annotation as it is to be printed: without the modules that its names come from."""

    def __repr__(self) -> str:
        return re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z_])", "", self)


def prose(text: str) -> str:
    """A docstring as Markdown: what is indented is code, and what looks like HTML is text."""
    text = re.sub(r"^( {2,}\S.*)$", lambda line: f"    {line[1].strip()}", text, flags=re.MULTILINE)
    text = re.sub(r"(?m)(?<=\S)\n(?= {4}\S)", "\n\n", text)
    return re.sub(r"(?m)^(?! {4})(.*)$", lambda line: line[1].replace("<", "&lt;").replace("*", "\\*"), text)
