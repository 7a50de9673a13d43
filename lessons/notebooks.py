"""How does a lesson become a notebook? jupytext reads the same file, nbclient runs it, and the outputs are kept.

python -m lessons.notebooks            every lesson, run, in lessons/notebooks/
python -m lessons.notebooks lora       one
"""

import argparse
import os
import sys
from pathlib import Path

from tqdm import tqdm

from engine.errors import InputError, command

FOLDER = Path(__file__).parent


def lessons() -> list[str]:
    """The lessons that there are: the files of this folder in the percent format."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if "\n# %%" in path.read_text(encoding="utf-8"))


def make_notebook(lesson: str, out: Path, *, execute: bool = True, quick: bool = False) -> Path:
    """Write `<out>/<lesson>.ipynb`, run from top to bottom unless `execute` is False; returns its path.

    quick: with less training, as in tests. Runs and pictures go to `runs/` in the current folder, or where the
    environment variable GLASSTUNE_RUNS says. Raises InputError for an unknown lesson, where Jupyter is missing, or,
    with the lesson's own message, when a cell fails; then no notebook is left.
    """
    if lesson not in lessons():
        raise InputError(f"no lesson called {lesson!r}; there are: {', '.join(lessons())}")
    try:
        import jupytext
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError
    except ModuleNotFoundError as error:
        raise InputError(
            f"notebooks need {error.name}, which is not installed; install it with: pip install -e '.[notebook]'"
        ) from None
    notebook = jupytext.read(FOLDER / f"{lesson}.py")
    if execute:
        before = os.environ.copy()
        os.environ["GLASSTUNE_QUICK"] = "1" if quick else ""
        # The kernel is this Python, whatever else is called "python3" on the machine.
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{before.get('PATH', '')}"
        client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": "."}})
        try:
            client.execute()
        except CellExecutionError as error:
            said = f"{error.ename}: {error.evalue}"
            raise InputError(f"lesson {lesson}: a cell failed with {said}") from error
        finally:
            os.environ.clear()
            os.environ.update(before)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{lesson}.ipynb"
    beside = path.with_name(path.name + ".part")
    nbformat.write(notebook, beside)
    beside.replace(path)
    return path


@command
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lessons.notebooks", description=__doc__.splitlines()[0])
    parser.add_argument("lesson", nargs="*", help="default: all")
    parser.add_argument("--out", type=Path, default=FOLDER / "notebooks")
    parser.add_argument("--quick", action="store_true", help="less training")
    parser.add_argument("--no-run", action="store_true", help="leave the outputs empty, for students to fill")
    chosen = parser.parse_args(arguments)
    for lesson in tqdm(chosen.lesson or lessons(), unit="lesson"):
        made = make_notebook(lesson, chosen.out, execute=not chosen.no_run, quick=chosen.quick)
        tqdm.write(str(made))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
