"""Which pages has the site beside the lessons? The first one, the project's own documents, the ledger and the API."""

import html
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from engine.language.speaking import tr
from lessons.site.api import api_page
from lessons.site.ledger import ledger_page
from lessons.teaching.course import FOLDER, About, about, class_minutes, in_checkout, in_fives
from lessons.teaching.language import title_of

_ROOT = FOLDER.parent
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
# In the order of the menu; a document that is not there (in an installed package) is left out.
_DOCUMENTS = {
    "For teachers": ["docs/teaching.md"],
    "For practitioners": ["docs/practitioner.md", "docs/page.md", "engine/base/README.md"],
    "For the sceptical": ["docs/goals.md", "docs/figures.md"],
    "For contributors": ["docs/contributing.md", "docs/languages.md", "docs/tree.md", "CHANGELOG.md"],
}


def write_pages(folder: Path, lessons: list[str], run_page: bool) -> None:
    """All of them, as Markdown, into the folder of sources."""
    texts = {"ledger.md": ledger_page(), **_api()}
    menus = []
    if in_checkout():
        known = {_ROOT / name: _page_of(name) for names in _DOCUMENTS.values() for name in names}
        known[_ROOT / "docs" / "claims.md"] = "ledger"
        for title, names in _DOCUMENTS.items():
            there = [name for name in names if (_ROOT / name).is_file()]
            texts |= {f"{_page_of(name)}.md": document(_ROOT / name, known, folder) for name in there}
            menus.append((title, [_page_of(name) for name in there]))
    menus.append(("API", [name.removesuffix(".md") for name in texts if name.startswith("api-")]))
    texts["index.md"] = _index(lessons, menus, run_page)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _page_of(name: str) -> str:
    return {"engine/base/README.md": "model", "CHANGELOG.md": "changes", "docs/page.md": "run-page"}.get(
        name, Path(name).stem
    )


def document(path: Path, known: dict[Path, str], folder: Path) -> str:
    """A document of the project, its links led to pages of the site; what has none there is said without a link."""

    def led(link: re.Match[str]) -> str:
        picture, text, target = link[1], link[2], link[3]
        if re.match(r"[a-z]+:|#", target):
            return link[0]
        there, _, anchor = target.partition("#")
        file = (path.parent / there).resolve()
        if picture and file.is_file():
            (folder / "pictures").mkdir(exist_ok=True)
            (folder / "pictures" / file.name).write_bytes(file.read_bytes())
            return f"![{text}](pictures/{file.name})"
        if file in known:
            return f"[{text}]({known[file]}.md{f'#{anchor}' if anchor else ''})"
        return text

    return _LINK.sub(led, path.read_text(encoding="utf-8"))


def _api() -> dict[str, str]:
    from engine.errors import InputError
    from engine.preflight.check import preflight
    from engine.recording.callback import CaptureCallback, capture
    from engine.run.run import Run
    from engine.training.finetune import finetune
    from engine.training.methods import Full, LoRA, QLoRA
    from lessons.teaching import stage
    from visualize import plots

    front = (finetune, Full, LoRA, QLoRA, capture, CaptureCallback, Run, preflight, InputError)  # glasstune's own
    named: dict[str, Any] = {thing.__name__: thing for thing in front}
    drawn = {name: getattr(plots, name) for name in plots.__all__}
    called = {name: getattr(stage, name) for name in stage.__all__}
    return {
        "api-glasstune.md": api_page("glasstune", "What is used most: `from glasstune import ...`", named),
        "api-plots.md": api_page("glasstune.plots", "Pictures: each takes a Run or its path.", drawn),
        "api-lessons.md": api_page("For lessons", "What a lesson may call: `lessons.teaching.stage`.", called),
    }


def _index(lessons: list[str], menus: list[tuple[str, list[str]]], run_page: bool) -> str:
    def toctree(title: str, pages: list[str]) -> str:
        return f"```{{toctree}}\n:hidden:\n:caption: {title}\n\n" + "\n".join(pages) + "\n```\n"

    of = {lesson: about(lesson) for lesson in lessons}
    rows = "\n".join(
        _line(number, Path(lesson).stem, title_of(lesson), of[lesson], class_minutes(lesson))
        for number, lesson in enumerate(lessons, 1)
    )
    there = tr("a model that runs, and is trained, in this page.")
    touch = f'<p><a href="_static/run.html">{tr("Touch a fine-tuning")}</a>: {there}</p>'
    said = [
        f"# {tr('Fine-tuning you can see through')}",
        tr(
            "A real language model, small enough to be on the screen whole, is really fine-tuned: in full, with LoRA, "
            "with QLoRA. Every weight change was captured, and is drawn. **Nothing here is invented**: every number "
            "and picture was measured by running it (Glasstune {version}), and no conclusion was written beforehand.",
            version=version("glasstune"),
        ),
        tr("Each lesson asks before it shows. Choose, then open what was measured, and read why."),
        rows,
        tr(
            "[What textbooks say, tried](ledger.md): the sentences that everybody repeats, each tried with several "
            "seeds."
        ),
        touch if run_page else "",
        tr(
            "To run all this yourself, on your own model and data too: `pip install .` in the project's folder, then "
            "`glasstune lesson`."
        ),
        toctree(tr("Lessons"), [f"lessons/{Path(lesson).stem}" for lesson in lessons])
        + toctree(tr("Evidence"), ["ledger"])
        + "".join(toctree(title, pages) for title, pages in menus if pages),
    ]
    return "\n\n".join(said)


def _line(number: int, page: str, title: str, of: About, minutes: float) -> str:
    asked = tr(
        "{predictions} predictions, {exercises} exercises; about {minutes} minutes",
        predictions=of.predictions, exercises=of.exercises, minutes=in_fives(minutes),
    )  # fmt: skip
    return f"{number}. [{title}](lessons/{page}.ipynb) ({asked})"


def film_html(lesson: str, address: str) -> str:
    """The film of a lesson, for its page."""
    name = html.escape(lesson)
    return f'<video controls preload="none" src="{address}" aria-label="The film of the lesson {name}"></video>'
