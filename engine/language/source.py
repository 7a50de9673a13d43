"""How is a program said in another language? Its prose is replaced where it stands, and nothing else of it is touched.

Prose is found by a walk over the syntax tree, and over the Markdown of a percent-format file; so nothing in a lesson
or a film is marked for it. The same walk extracts what is to be translated (`messages`) and replaces it (`translate`),
so that both always agree. Lines stay lines: whatever is replaced takes as many as before, and a traceback stays true.

Markdown: a paragraph, a heading or a point of a list is one text, whatever its line breaks; code blocks are none.

Literals, if they hold a word:
    what a function of `Prose.said` is given, but under the names in `Prose.silent`, in a call of another function, or
    in a condition or an index; and what an assertion says;
    what a class sets under a name in `Prose.titles`, and, where `Prose.returns`, what a function returns as a `str`;
    the same texts wherever else they stand but as another function's argument: an answer is looked up among choices;
    the cells of what makes a table (`_TABLES`). Its headings are keys, which stay: who shows a table translates them.

The text of an f-string is its raw text, {fields} as they are; its translation holds the same fields.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

_TABLES = ("DataFrame", "Series", "Index")  # of pandas
_NAMING = ("rename", "rename_axis")  # which give a heading
_FIELD = re.compile(r"\{\{|\}\}|(\{(?:[^{}'\"]|'[^']*'|\"[^\"]*\"|\{[^{}]*\})+\})")
_WORD = re.compile(r"[^\W\d_]{2}")
_POINT = re.compile(r" {0,3}(?:#{1,6}|[-*+]|\d+\.) +")
_MARKS = re.compile(r" (?=(?:[-+*>]|#+|\d+\.) )")  # which would begin a point or a heading at a line's start
_MARK = "# %%"
Gettext = Callable[[str], str]


@dataclass(frozen=True)
class Prose:
    """Which functions of a program speak. said: their names; silent: of what they are given, what is not said.

    titles: what a class sets under these names is said, too; returns: so is what a function returns as a `str`.
    tables: whether there are any of pandas'.
    """

    said: frozenset[str]
    silent: frozenset[str] = field(default_factory=frozenset)
    titles: frozenset[str] = field(default_factory=frozenset)
    returns: bool = False
    tables: bool = True


@dataclass(frozen=True)
class _Text:
    """A text and where it stands, lines from 0, columns in bytes. kind: how it is written there."""

    text: str
    start: tuple[int, int]
    end: tuple[int, int]
    kind: str  # "plain", "f" or, of Markdown, what stands before it
    hang: str = ""  # before its further lines


def messages(source: str, prose: Prose) -> list[str]:
    """What is to be translated of a program, each text once, in its order."""
    found = [(one.start, one.text) for one in _texts(source, prose)]
    found += headings(ast.parse(source)) if prose.tables else []
    return list(dict.fromkeys(text for _, text in sorted(found)))


def translate(source: str, prose: Prose, gettext: Gettext) -> str:
    """The program with its prose translated. What is not, or has lost one of its fields, stays in English."""
    lines = source.encode().split(b"\n")
    for one in sorted(_texts(source, prose), key=lambda text: text.start, reverse=True):
        said = gettext(one.text)
        if said == one.text or (one.kind == "f" and fields(said) != fields(one.text)):
            continue
        (first, left), (last, right) = one.start, one.end
        new = _written(one, said, last - first + 1, indent=left).encode().split(b"\n")
        new[0] = lines[first][:left] + new[0]
        new[-1] += lines[last][right:]
        lines[first : last + 1] = new
    return b"\n".join(lines).decode()


def fields(text: str) -> list[str]:
    """The {fields} of an f-string's text, sorted."""
    return sorted(found for found in _FIELD.findall(text) if found)


def filled(text: str, count: int) -> list[str]:
    """A text in so many lines, about equally long, broken at spaces outside of fields; as many as its words allow."""
    kept = _FIELD.sub(lambda found: found[0].replace(" ", "\0"), _MARKS.sub("\0", text))
    words = re.findall(r"^\s+|\S+\s*", kept)
    breaks = _even([len(word) for word in words], min(count, len(words)))
    return ["".join(words[left:right]).replace("\0", " ") for left, right in pairwise(breaks)]


def _even(lengths: list[int], count: int) -> list[int]:
    """Where to break words of these lengths into `count` lines: their numbers, from 0 to how many there are."""
    total, reached, breaks = sum(lengths), 0, [0]
    for number, length in enumerate(lengths):
        left = len(lengths) - number  # words, this one too
        full = reached + length / 2 > total * len(breaks) / count
        if number > breaks[-1] and len(breaks) < count and (full or left == count - len(breaks)):
            breaks.append(number)
        reached += length
    return [*breaks, len(lengths)]


# --- finding -------------------------------------------------------------------------------------------


def _texts(source: str, prose: Prose) -> list[_Text]:
    return [*_paragraphs(source.split("\n")), *_literals(ast.parse(source), prose)]


def _paragraphs(lines: list[str]) -> Iterator[_Text]:
    """The texts of Markdown cells."""
    inside = code = False
    begun: list[tuple[int, str]] = []  # the lines of the one that is being read, and what stands before each

    def ended() -> Iterator[_Text]:
        if begun and _WORD.search(text := " ".join(lines[at][len(lead) :].strip() for at, lead in begun)):
            (first, lead), (last, _) = begun[0], begun[-1]
            hang = begun[1][1] if len(begun) > 1 else "#" + " " * (len(lead) - 1)
            yield _Text(text, (first, 0), (last, len(lines[last].encode())), lead, hang)
        begun.clear()

    for number, line in enumerate([*lines, _MARK]):
        if line.startswith(_MARK):
            yield from ended()
            inside, code = "[markdown]" in line, False
            continue
        text = line[2:]
        if fence := text.lstrip().startswith("```"):
            code = not code
        indented = text.startswith("    ") and not begun
        if not inside or not line.startswith("#") or not text.strip() or fence or code or indented:
            yield from ended()
            continue
        point = _POINT.match(text)
        if point or text.startswith("|"):
            yield from ended()
        spaces = len(text) - len(text.lstrip())
        begun.append((number, line[:2] + (point[0] if point else text[:spaces])))
        if "#" in begun[0][1][1:]:  # a heading is one line
            yield from ended()


def _literals(tree: ast.AST, prose: Prose) -> list[_Text]:
    said: list[ast.expr] = []
    given: set[int] = set()  # what other functions are given
    for node in ast.walk(tree):
        match node:
            case ast.Assert(msg=ast.expr() as message):
                said += _spoken(message, prose)
            case ast.Call() if _name(node) in prose.said:
                said += [one for value in _arguments(node, prose.silent) for one in _spoken(value, prose)]
            case ast.Call() if prose.tables and _name(node) in _TABLES:
                said += [one for value in _arguments(node, {"name", "columns"}) for one in _cells(value, prose)]
            case ast.ClassDef():
                said += [one for value in _set(node, prose.titles) for one in _spoken(value, prose)]
            case ast.FunctionDef(returns=ast.Name(id="str")) if prose.returns:
                said += [one for value in _returned(node) for one in _spoken(value, prose)]
            case ast.Call():
                given |= {id(inner) for value in _arguments(node, ()) for inner in ast.walk(value)}
    texts = {_text_of(node) for node in said}
    found = {id(node): node for node in said}
    found |= {id(node): node for node in _strings(tree) if id(node) not in given and _text_of(node) in texts}
    return [_found(node) for node in found.values() if _WORD.search(_FIELD.sub("", _text_of(node)))]


def _found(node: ast.expr) -> _Text:
    last, right = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
    kind = "f" if isinstance(node, ast.JoinedStr) else "plain"
    return _Text(_text_of(node), (node.lineno - 1, node.col_offset), (last - 1, right), kind)


def _spoken(node: ast.AST, prose: Prose) -> Iterator[ast.expr]:
    """The literals in what is said, less those in what only leads to it."""
    match node:
        case ast.Constant(value=str()) | ast.JoinedStr():
            yield node
            return
        case ast.Call() | ast.Subscript() | ast.Compare():
            return
        case ast.IfExp():
            inside: list[ast.AST] = [node.body, node.orelse]
        case ast.DictComp():
            inside = [node.key, node.value]
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
            inside = [node.elt]
        case _:
            inside = list(ast.iter_child_nodes(node))
    for one in inside:
        yield from _spoken(one, prose)


def _cells(node: ast.AST, prose: Prose) -> Iterator[ast.expr]:
    """The literals in a table's cells, less its headings."""
    if isinstance(node, ast.Dict):
        for value in node.values:
            yield from _spoken(value, prose)
    else:
        yield from _spoken(node, prose)


def headings(tree: ast.AST) -> Iterator[tuple[tuple[int, int], str]]:
    """The headings of tables, which are keys; and what is put under a key that has more than one word."""
    for node in ast.walk(tree):
        keys: list[ast.expr | None] = []
        match node:
            case ast.Call() if _name(node) in _TABLES:
                keys = [key for value in node.args if isinstance(value, ast.Dict) for key in value.keys]
                keys += [keyword.value for keyword in node.keywords if keyword.arg == "name"]
            case ast.Call() if _name(node) in _NAMING:
                keys = [*node.args]
            case ast.Subscript(ctx=ast.Store(), slice=ast.Constant(value=str(text))) if " " in text:
                keys = [node.slice]
        for key in keys:
            if isinstance(key, ast.Constant) and isinstance(key.value, str) and _WORD.search(key.value):
                yield (key.lineno - 1, key.col_offset), key.value


def _name(call: ast.Call) -> str:
    return getattr(call.func, "id", "") or getattr(call.func, "attr", "")


def _arguments(call: ast.Call, but: "frozenset[str] | set[str] | tuple[str, ...]") -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg not in but)]


def _set(node: ast.ClassDef, names: frozenset[str]) -> Iterator[ast.expr]:
    """What a class sets under these names."""
    for line in node.body:
        match line:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in names:
                yield value


def _returned(function: ast.FunctionDef) -> Iterator[ast.expr]:
    return (line.value for line in ast.walk(function) if isinstance(line, ast.Return) and line.value)


def _strings(node: ast.AST) -> Iterator[ast.expr]:
    """Every string, but the parts of f-strings."""
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        yield node
        return
    for inside in ast.iter_child_nodes(node):
        yield from _strings(inside)


def _text_of(node: ast.expr) -> str:
    """A string's text; of an f-string its raw text, its expressions written as `ast` writes them."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr():
            return "".join(
                str(part.value).replace("{", "{{").replace("}", "}}")
                if isinstance(part, ast.Constant)
                else _text_of(part)
                for part in node.values
            )
        case ast.FormattedValue():
            converted = f"!{chr(node.conversion)}" if node.conversion > 0 else ""
            spec = f":{_text_of(node.format_spec)}" if node.format_spec else ""
            return f"{{{ast.unparse(node.value)}{converted}{spec}}}"
    raise TypeError(f"no string: {ast.dump(node)}")


# --- writing -------------------------------------------------------------------------------------------


def _written(one: _Text, said: str, count: int, indent: int) -> str:
    """A translation as it stands in a program, in `count` lines."""
    if one.kind in ("plain", "f"):
        prefix = "f" if one.kind == "f" else ""
        parts = [prefix + _quoted(part, raw=bool(prefix)) for part in filled(said, count)]
        return f"\n{' ' * indent}".join(parts) + "\n" * (count - len(parts))
    parts = filled(said, count)
    leads = [one.kind, *[one.hang] * (len(parts) - 1)]
    lines = [f"{lead}{part}".rstrip() for lead, part in zip(leads, parts, strict=True)]
    return "\n".join(lines + ["#"] * (count - len(parts)))


def _quoted(text: str, raw: bool) -> str:
    """A literal of this text. raw: it is an f-string's, whose fields are left as they are."""
    quote = '"""' if raw and any('"' in one for one in fields(text)) else '"'

    def escaped(plain: str) -> str:
        return plain.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")

    ends = [0, *(end for found in _FIELD.finditer(text) for end in found.span()), len(text)] if raw else [0, len(text)]
    parts = [text[left:right] for left, right in pairwise(ends)]  # plain, a field, plain, ...
    return quote + "".join(part if number % 2 else escaped(part) for number, part in enumerate(parts)) + quote
