"""How does a lesson become a notebook? Its cells are composed for an edition, nbclient runs it, the outputs are kept.

Its first cell installs Glasstune where it is not, as in a hosted notebook: see `source`.

python -m lessons.notebooks            every lesson, run, in lessons/notebooks/
python -m lessons.notebooks lora       one
python -m lessons.notebooks mine.py    a file of one's own
python -m lessons.notebooks --student  to hand out: not run, without solutions; --teacher has them
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.files import aside, whole
from engine.language.speaking import ENGLISH
from engine.reading import read_json
from engine.terminal import note
from lessons.handout.editions import Edition, compose
from lessons.handout.source import Source
from lessons.teaching.course import FOLDER, file_of, in_checkout
from lessons.teaching.percent import HIDDEN
from lessons.teaching.session import Forms

CELL_LIMIT = 600  # seconds, on a machine that is not very busy
_SPEAK = '\n\nfrom engine.language.speaking import speak\n\nspeak("{language}")'
_VIEW, _STATE = "application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json"


def make_notebook(
    lesson: str,
    out: Path,
    *,
    edition: Edition = "course",
    execute: bool = True,
    quick: bool = False,
    limit: int = CELL_LIMIT,
    forms: Forms = "text",
    source: Source | None = None,
    language: str = ENGLISH,
) -> Path:
    """Write a lesson's notebook to `out`, run from top to bottom unless `execute` is False; returns its path.

    lesson: the name of one of the course, or the path of one's own; the notebook is called like its file, with its
    language if that is not English: lora.de.ipynb. edition: see `editions`; a student's is never run. quick: with less
    training, as in tests. limit: the seconds that a cell may take. forms: what stands for them until a cell is run
    again. source: where a hosted notebook installs from. language: see docs/languages.md. Runs and pictures go to
    `runs/` in the current folder, or where the environment variable GLASSTUNE_RUNS says. Raises InputError for an
    unknown lesson, where Jupyter is missing, where a badge is wanted and `out` is in no repository, or, with the
    lesson's own message, when a cell fails or takes too long; then no notebook is left. One
    that somebody has written into is moved aside.
    """
    file = file_of(lesson)
    try:
        import jupytext  # noqa: F401
        import nbclient  # noqa: F401
        import nbformat
    except ModuleNotFoundError as error:
        raise InputError(
            f"notebooks need {error.name}, which is not installed; install it with: pip install -e '.[notebook]'"
        ) from None
    source = source or Source()
    path = out / name_of(file, language)
    notebook = compose(file, edition, language)
    folded = {"jupyter": {"source_hidden": True}, "tags": [HIDDEN]}
    first = source.install_cell() + ("" if language == ENGLISH else _SPEAK.format(language=language))
    install = nbformat.v4.new_code_cell(first, id="install", metadata=folded)
    notebook.cells.insert(next(place for place, cell in enumerate(notebook.cells) if cell.cell_type == "code"), install)
    if badges := source.badges(path):
        notebook.cells.insert(0, nbformat.v4.new_markdown_cell(badges, id="badges"))
    if execute and edition != "student":
        _execute(lesson, notebook, quick, limit, forms)
        stand_alone(notebook)
    out.mkdir(parents=True, exist_ok=True)
    if path.exists() and not _as_made(path, notebook):
        note(f"{path} was not as it is made; it is now {aside(path).name}")
    with whole(path) as part:
        nbformat.write(notebook, part)
    return path


def _as_made(path: Path, notebook: Any) -> bool:
    """Whether nobody has written into a notebook: its cells' sources are those of this one."""
    try:
        there = read_json(path)["cells"]
        return ["".join(cell["source"]) for cell in there] == [cell.source for cell in notebook.cells]
    except (InputError, LookupError, TypeError):
        return False


def name_of(file: Path, language: str) -> str:
    """What the notebook of a lesson's file is called."""
    return f"{file.stem}.ipynb" if language == ENGLISH else f"{file.stem}.{language}.ipynb"


def stand_alone(notebook: Any) -> None:
    """Of a run's page keep what needs no kernel: the page itself, and not the widget that the kernel had made of it."""
    state = notebook.metadata.get("widgets", {}).get(_STATE, {}).get("state", {})
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.get("metadata", {}).get("glasstune") != "page":
                continue
            if view := output.data.pop(_VIEW, None):
                layout = state.pop(view["model_id"], {}).get("state", {}).get("layout", "")
                state.pop(layout.removeprefix("IPY_MODEL_"), None)


def _execute(lesson: str, notebook: Any, quick: bool, limit: int, forms: Forms) -> None:
    """Run a notebook's cells in place, in a kernel of this Python."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    before = os.environ.copy()
    with tempfile.TemporaryDirectory() as home:
        os.environ["GLASSTUNE_HOME"] = home  # nobody answers here, so nothing is to be kept of it
        os.environ["GLASSTUNE_QUICK"] = "1" if quick else ""
        os.environ["GLASSTUNE_FORMS"] = forms
        own = lesson.endswith(".py")
        if own:
            os.environ.pop("PYTHONSAFEPATH", None)  # one's own may import what lies here
        if in_checkout():  # the kernel's lessons are these, whatever else is installed
            os.environ["PYTHONPATH"] = os.pathsep.join([str(FOLDER.parent), *filter(None, [before.get("PYTHONPATH")])])
        # The kernel is this Python, whatever else is called "python3" on the machine.
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{before.get('PATH', '')}"
        client = NotebookClient(
            notebook,
            timeout=limit,
            kernel_name="python3",
            resources={"metadata": {"path": "."}},
            extra_arguments=[]
            if own
            else ["--InteractiveShellApp.ignore_cwd=True"],  # an older IPython asks this alone
            coalesce_streams=True,  # of a progress bar keep the last state: as a page it would be a line a step
        )
        try:
            client.execute()
        except CellExecutionError as error:
            said = f"{error.ename}: {error.evalue}"
            raise InputError(f"lesson {lesson}: a cell failed with {said}") from error
        except CellTimeoutError:
            raise InputError(
                f"lesson {lesson}: a cell took longer than {limit} s; give it more time with --timeout"
            ) from None
        finally:
            os.environ.clear()
            os.environ.update(before)


def trust(path: Path) -> None:
    """Sign what was run here just now: of a notebook that nobody signed, Jupyter draws no forms and sliders."""
    import nbformat
    from nbformat.sign import NotebookNotary

    NotebookNotary().sign(nbformat.read(path, 4))
