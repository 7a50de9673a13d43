"""How does a lesson become a notebook? jupytext reads the same file, nbclient runs it, and the outputs are kept.

Its first cell installs Glasstune where it is not, as in a hosted notebook.

python -m lessons.notebooks            every lesson, run, in lessons/notebooks/
python -m lessons.notebooks lora       one
python -m lessons.notebooks mine.py    a file of one's own
"""

import os
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.files import whole
from lessons.teaching.coding import shown, without_answers
from lessons.teaching.course import file_of
from lessons.teaching.percent import HIDDEN

CELL_LIMIT = 600  # seconds, on a machine that is not very busy
_VIEW, _STATE = "application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json"
_INSTALL = """\
# In a hosted notebook (Colab, Kaggle, ...) this installs Glasstune; where it is installed already, it does nothing.
import importlib.util

found = importlib.util.find_spec("glasstune")
if found is None or found.origin is None:  # nothing, or a mere folder of that name
    %pip install --quiet "{source}"
    importlib.invalidate_caches()
from glasstune.siblings import check

check()  # says so if a folder of your own, called lessons or the like, stands before Glasstune's
"""


def make_notebook(
    lesson: str, out: Path, *, execute: bool = True, quick: bool = False, limit: int = CELL_LIMIT
) -> Path:
    """Write a lesson's notebook to `out`, run from top to bottom unless `execute` is False; returns its path.

    lesson: the name of one of the course, or the path of one's own; the notebook is called like its file. quick: with
    less training, as in tests. limit: the seconds that a cell may take. Runs and pictures go to `runs/` in the current
    folder, or where the environment variable GLASSTUNE_RUNS says. Raises InputError for an unknown lesson, where
    Jupyter is missing, or, with the lesson's own message, when a cell fails or takes too long; then no notebook is
    left.
    """
    source = file_of(lesson)
    try:
        import jupytext
        import nbclient  # noqa: F401
        import nbformat
    except ModuleNotFoundError as error:
        raise InputError(
            f"notebooks need {error.name}, which is not installed; install it with: pip install -e '.[notebook]'"
        ) from None
    notebook = jupytext.read(source)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        holds_answer = without_answers(cell.source) != cell.source
        if holds_answer or HIDDEN in cell.metadata.get("tags", ()):
            cell.metadata["jupyter"] = {"source_hidden": True}  # folded away: a click opens it
        if not holds_answer:
            cell.source = shown(cell.source)
    install = nbformat.v4.new_code_cell(_INSTALL.format(source=_source()).strip(), id="install")
    notebook.cells.insert(next(place for place, cell in enumerate(notebook.cells) if cell.cell_type == "code"), install)
    if execute:
        _execute(lesson, notebook, quick, limit)
        stand_alone(notebook)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{source.stem}.ipynb"
    with whole(path) as part:
        nbformat.write(notebook, part)
    return path


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


def _source() -> str:
    """What a hosted notebook's pip installs: GLASSTUNE_SOURCE when the notebook is written, or the project's own."""
    if given := os.environ.get("GLASSTUNE_SOURCE"):
        return given
    try:
        urls = metadata("glasstune").get_all("Project-URL") or []
    except PackageNotFoundError:
        urls = []
    url = next((url.partition(", ")[2] for url in urls if url.startswith("Source, ")), "")
    return f"glasstune[notebook] @ git+{url}" if url else "glasstune[notebook]"


def _execute(lesson: str, notebook: Any, quick: bool, limit: int) -> None:
    """Run a notebook's cells in place, in a kernel of this Python."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    before = os.environ.copy()
    with tempfile.TemporaryDirectory() as home:
        os.environ["GLASSTUNE_HOME"] = home  # nobody answers here, so nothing is to be kept of it
        os.environ["GLASSTUNE_QUICK"] = "1" if quick else ""
        # The kernel is this Python, whatever else is called "python3" on the machine.
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{before.get('PATH', '')}"
        client = NotebookClient(
            notebook,
            timeout=limit,
            kernel_name="python3",
            resources={"metadata": {"path": "."}},
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
