"""How do the documents stay true? The tree, the course and the figures are written from the files themselves.

python scripts/readme.py            write them anew
python scripts/readme.py --check    say whether they are as they would be written
"""

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402

README = ROOT / "README.md"
DOCS = ROOT / "docs"
FOLDERS = ("glasstune", "engine", "visualize", "animations", "lessons", "benchmarks")
REST = (
    ("engine/base/", "the embedded base model: weights, tokenizer, and its card, with what it can and cannot do"),
    ("docs/pictures/", "what the README shows"),
    ("scripts/", "what `make` calls: the set-up, and what writes this tree"),
    ("tests/", "mirrors the tree; lessons, plots, scenes and films are found, not listed"),
)


def question(path: Path) -> str:
    """The question that a file answers: the first sentence of its docstring, or a lesson's title."""
    text = path.read_text(encoding="utf-8")
    opening = ast.get_docstring(ast.parse(text))
    if opening is None:
        title = re.search(r"^# # (.+)$", text, re.MULTILINE)
        return title[1] if title else ""
    sentence = " ".join(opening.split("\n\n")[0].split())
    return re.split(r"(?<=[?.:])\s+(?=[A-Z`])", sentence)[0].rstrip(":")


def tree() -> str:
    rows: list[tuple[str, str]] = []
    for folder in FOLDERS:
        rows.append((f"{folder}/", question(ROOT / folder / "__init__.py")))
        for path in sorted((ROOT / folder).rglob("*.py")):
            inside = path.relative_to(ROOT / folder)
            if path.name == "__main__.py":
                continue  # its package says what it does
            if path.name != "__init__.py":
                rows.append(("  " * len(inside.parts) + path.name, question(path)))
            elif len(inside.parts) > 1:
                rows.append(("  " * (len(inside.parts) - 1) + f"{path.parent.name}/", question(path)))
    # A folder's own line comes before its files' lines, whatever their names.
    rows += [(name, about) for name, about in REST if (ROOT / name).exists()]
    width = max(len(name) for name, _ in rows) + 2
    return "```\n" + "\n".join(f"{name:{width}}{about}".rstrip() for name, about in rows) + "\n```"


def course() -> str:
    """The lessons in their order, each with the film of its name."""
    placed = []
    for path in (ROOT / "lessons").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        if found := re.search(r"^begin\(.*place=(\d+)", text, re.MULTILINE):
            placed.append((int(found[1]), path.stem, question(path)))
    rows = ["| lesson | about | film |", "|---|---|---|"]
    for _, name, title in sorted(placed):
        film = ROOT / "animations" / f"{name}.py"
        about = f"`glasstune film {name}`: {question(film)}" if film.exists() else ""
        rows.append(f"| `glasstune lesson {name}` | {title} | {about} |")
    return "\n".join(rows)


def filled(name: str, make: Callable[[], str]) -> str:
    """docs/<name>.md with what stands between its marks written anew."""
    mark = re.compile(rf"(<!-- {name}: .*? -->\n).*?(\n<!-- end of {name} -->)", re.DOTALL)
    parts = mark.split((DOCS / f"{name}.md").read_text(encoding="utf-8"))  # before, the opening comment, its end, after
    if len(parts) != 4:
        raise SystemExit(f"docs/{name}.md has no place for it: a comment '<!-- {name}: ... -->' and its end")
    return parts[0] + parts[1] + make() + parts[2] + parts[3]


def package_page() -> str:
    """The README as a package index shows it, where nothing lies beside it: without pictures and what is said of
    them, and with the names of other pages instead of links."""
    text = README.read_text(encoding="utf-8")
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)\n\n(\*[^*]+(?:\*[^*]+\*[^*]+)*\*\n\n)?", "", text)
    return re.sub(r"\[([^\]]+)\]\((?!http)([^)]+)\)", r"\1 (`\2`)", text)


def main() -> int:
    made = {"course": course, "tree": tree, "goals": report.table}
    written = {DOCS / f"{name}.md": filled(name, make) for name, make in made.items()}
    written |= {report.PAGE: report.page(), DOCS / "package.md": package_page()}
    behind = [path.name for path, text in written.items() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" in sys.argv[1:]:
        if behind:
            print(f"behind: {', '.join(behind)}; run python scripts/readme.py", file=sys.stderr)
        return int(bool(behind))
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
