"""How do a few ES modules become one HTML file that asks for nothing? They are joined, and their hash is allowed.

Each module becomes a function that returns what it exports; an import becomes a call. So modules are written in one
plain form (`import { a, b } from "./x.js";`, and `export` before a function, a class or a const), and nothing but
Python is needed to build the page. The content security policy inside the file lets run exactly this script: text of a
run cannot become code, and no request leaves the page.
"""

import base64
import hashlib
import html
import re
from pathlib import Path

from engine.errors import InputError

FOLDER = Path(__file__).parent
_IMPORT = re.compile(r'^import\s*\{([^}]*)\}\s*from\s*"(\.[^"]+)";\n?', re.MULTILINE)
_EXPORT = re.compile(
    r"^export\s+((?:async\s+)?(?:function\*?|class|const|let)\s+([\w$]+|\[[\w$,\s]*\]|\{[\w$,\s]*\}))", re.MULTILINE
)
_OTHER = re.compile(r"^(?:import|export)\b.*$", re.MULTILINE)


def bundle(entry: Path) -> str:
    """The script of `entry` and all that it imports, as one classic script. Raises InputError for a form unknown."""
    order: dict[Path, str] = {}
    _visit(entry.resolve(), order, ())
    return '"use strict";\n(() => {\nconst made = {};\n' + "".join(order.values()) + "})();\n"


def _visit(path: Path, order: dict[Path, str], above: tuple[Path, ...]) -> None:
    if path in above:
        raise InputError(f"{path.name} imports itself through {above[-1].name}; modules of the page form no circle")
    if path in order:
        return
    text, names = path.read_text(encoding="utf-8"), []

    def imported(match: re.Match[str]) -> str:
        other = (path.parent / match[2]).resolve()
        _visit(other, order, (*above, path))
        wanted = ", ".join(part.strip().replace(" as ", ": ") for part in match[1].split(",") if part.strip())
        return f"const {{ {wanted} }} = made[{_name(other)}];\n"

    def exported(match: re.Match[str]) -> str:
        names.extend(re.findall(r"[\w$]+", match[2]))
        return match[1]

    text = _EXPORT.sub(exported, _IMPORT.sub(imported, text))
    if unknown := _OTHER.search(text):
        raise InputError(f"{path}: the page's bundler knows no {unknown[0]!r}; see visualize/page/bundle.py")
    order[path] = f"made[{_name(path)}] = (() => {{\n{text}\nreturn {{ {', '.join(names)} }};\n}})();\n"


def _name(path: Path) -> str:
    return f'"{path.relative_to(FOLDER.resolve()).as_posix()}"'


def page_html(title: str, pieces: list[str], door: str = "") -> str:
    """The whole file. title: plain text. pieces: base64 texts, the first one the manifest.

    door: who else may tell the page something: nobody, "frame" (a notebook's, around it), or "training": the address
    that it came from, the only one that it may then ask.
    """
    script, style = bundle(FOLDER / "main.js"), (FOLDER / "page.css").read_text(encoding="utf-8")
    if "</script" in script.lower() or "</style" in style.lower():
        raise InputError("the page's own script or style would close its element; write '<\\/script' instead")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}' 'wasm-unsafe-eval'; style-src '{_hash(style)}'; "
        "img-src data: blob:; worker-src blob:; base-uri 'none'; form-action 'none'"
        + ("; connect-src 'self'" if door == "training" else "")
    )
    data = "\n".join(
        f'<script type="text/plain" class="glasstune-piece" id="piece-{at}">{text}</script>'
        for at, text in enumerate(pieces)
    )
    parts = {
        "policy": f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy, quote=False)}">',
        "door": f'<meta name="glasstune-door" content="{html.escape(door)}">' if door else "",
        "title": f"<title>{html.escape(title)}</title>",
        "style": f"<style>{style}</style>",
        "data": data,
        "script": f'<script id="glasstune-script">{script}</script>',
    }
    template = (FOLDER / "page.html").read_text(encoding="utf-8")
    return re.sub(r"<!-- (\w+) -->", lambda match: parts[match[1]], template)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
