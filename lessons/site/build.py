"""How is the site built? Lessons are run (or what they gave is taken from where it is kept), pages written, and Sphinx
makes HTML of them, which needs no server and asks for nothing.
"""

import io
import json
import re
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.errors import InputError, first_line
from engine.files import whole
from engine.language.speaking import ENGLISH, in_script, speaking, spoken, tr
from engine.reading import read_json
from engine.terminal import note, progress_bar
from lessons.handout.notebooks import CELL_LIMIT
from lessons.site.cells import Page
from lessons.site.executed import executed
from lessons.site.pages import film_html, write_pages
from lessons.teaching.course import file_of

_STATIC = Path(__file__).with_name("static")
_MARK = ".glasstune-site"
_SYSTEMS = {".DS_Store", "Thumbs.db", "desktop.ini"}  # which file managers leave wherever they have looked
_CONF: dict[str, Any] = {
    "project": "Glasstune",
    "html_title": "Glasstune",
    "extensions": ["myst_nb"],
    "html_theme": "furo",
    "html_css_files": ["course.css"],
    "html_js_files": [("words.js", {"defer": "defer"}), ("course.js", {"defer": "defer"})],
    "html_show_sourcelink": False,
    "html_copy_source": False,
    "html_show_sphinx": False,
    "html_show_search_summary": False,  # which would be fetched, as a page from a file cannot
    "html_show_copyright": False,
    "nb_execution_mode": "off",
    "nb_merge_streams": True,
    "nb_ipywidgets_js": {},
    "myst_heading_anchors": 4,
    "highlight_language": "python",
    # A lesson's first heading may be followed by a third; a terminal's text is not always a language's.
    "suppress_warnings": ["myst.header", "misc.highlighting_failure"],
}

# What the theme and myst-nb leave for those who listen to a page: a heading's level, and a name that is what one sees.
_MENDED = {
    'class="caption" role="heading">': 'class="caption" role="heading" aria-level="2">',
    '<summary aria-label="Toggle hidden content">': "<summary>",
}


def build_site(
    out: Path, lessons: Sequence[str], *, kept: Path, films: Path, quick: bool = False, limit: int = CELL_LIMIT,
    language: str = ENGLISH,
) -> Path:  # fmt: skip
    """Build the site of these lessons into the folder `out`; returns its first page.

    kept: where executions are kept, with the runs of the lessons. films: a folder in which `lora.mp4` is the film of
    that lesson, where there is one. language: of the lessons, their forms and the first page. Raises InputError where
    Sphinx is missing, where `out` holds anything but a site, for a lesson that fails, and for what Sphinx calls wrong;
    then the site of before stands.
    """
    try:
        import furo  # noqa: F401
        import myst_nb  # noqa: F401
        import nbformat
    except ModuleNotFoundError as error:
        raise InputError(
            f"the site needs {error.name}, which is not installed; install it with: pip install -e '.[site]'"
        ) from None
    _check_free(out)
    with tempfile.TemporaryDirectory() as scratch, speaking(language):
        source, static = Path(scratch) / "source", Path(scratch) / "static"
        (source / "lessons").mkdir(parents=True)
        shutil.copytree(_STATIC, static)
        (static / "words.js").write_text(f"globalThis.SAID = {json.dumps(_words())};\n", encoding="utf-8")
        run_page = False
        for lesson in progress_bar(lessons, unit="lesson"):
            notebook, name = executed(lesson, kept, quick=quick, limit=limit, language=spoken()), file_of(lesson).stem
            page = Page(static / "pictures", "../_static/pictures").of(nbformat.read(notebook, 4))
            film = films / f"{name}.mp4"
            if film.is_file():
                (static / "films").mkdir(exist_ok=True)
                shutil.copy(film, static / "films" / film.name)
                page.cells[0].source += f"\n\n{film_html(name, f'../_static/films/{film.name}')}"
            nbformat.write(page, source / "lessons" / f"{name}.ipynb")
            run_page = run_page or _write_run_page(notebook, static / "run.html")
        write_pages(source, list(lessons), run_page)
        with whole(out) as part:
            built = Path(scratch) / "built" / "html"  # myst-nb writes a folder of its own beside it
            _sphinx(source, static, built, Path(scratch) / "trees")
            shutil.move(built, part)
            (part / _MARK).write_text(json.dumps({"files": _files(part)}, indent=1), encoding="utf-8")
            _check_free(out)  # once more: somebody may have put a file there meanwhile
    return out / "index.html"


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def _check_free(out: Path) -> None:
    """A site is replaced, and nothing but a site. Raises InputError where anything else lies."""
    if out.resolve() in (Path.cwd(), *Path.cwd().parents):
        raise InputError(f"a site would take the place of {out.resolve()}, where you are; give another folder with -o")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / _MARK).is_file():
        raise InputError(f"{out} holds something else; give another folder with -o")
    try:
        ours = {_MARK, *map(str, read_json(out / _MARK).get("files", []))}
    except InputError:  # as an earlier Glasstune marked it
        raise InputError(f"what of {out} is its site and what is not cannot be told; delete it, or move it") from None
    if others := [file for file in _files(out) if file not in ours and Path(file).name not in _SYSTEMS]:
        raise InputError(
            f"{out} holds {others[0]}, which is no part of its site; move that away, or give another folder"
        )


def _words() -> dict[str, str]:
    """What `course.js` says, in the language that is spoken."""
    return {text: tr(text) for text in in_script((_STATIC / "course.js").read_text(encoding="utf-8"))}


def _write_run_page(notebook: Path, to: Path) -> bool:
    """The page of the first run that the LoRA lesson captured."""
    from engine.run.run import Run
    from visualize.page import write_page

    found = sorted((notebook.parent / "runs").glob("lora-1/first"))
    if not found:
        return False
    try:
        write_page(Run.load(found[0]), to)
    except InputError as error:
        note(f"without the page of a run: {error}")
        return False
    return True


def _sphinx(source: Path, static: Path, out: Path, trees: Path) -> None:
    from sphinx.application import Sphinx
    from sphinx.errors import SphinxError

    said = io.StringIO()
    conf = {**_CONF, "html_static_path": [str(static)], "language": spoken()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Sphinx's own ways are not the user's to mend
        try:
            app = Sphinx(source, None, out, trees, "html", confoverrides=conf, status=None, warning=said)
            app.build()
        except SphinxError as error:
            raise InputError(f"the site could not be built: {first_line(error)}") from None
    for page in out.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for fault, mended in _MENDED.items():
            text = text.replace(fault, mended)
        page.write_text(text, encoding="utf-8")
    plain = re.sub(r"\x1b\[[\d;]*m", "", said.getvalue()).replace(f"{source}/", "")
    if wrong := [line for line in plain.splitlines() if line.strip()]:
        for line in wrong[1:]:
            note(line)
        raise InputError(f"the site was not built, for its pages are not right: {wrong[0]} ({len(wrong)} such lines)")
