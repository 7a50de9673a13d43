"""Films in a notebook: in a real kernel, with our function and with Manim's own magic."""

import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")
pytest.importorskip("nbclient", reason="notebooks need the extra 'notebook'")

import nbformat
from nbclient import NotebookClient

import animations
from animations.studio.notebook import show_film, use_runs
from glasstune import InputError

RUNS = "from glasstune import Run\nruns = {name: Run.load(path) for name, path in %r.items()}"
FILM = """from animations.studio.notebook import show_film, use_runs
show_film("lora", runs["lora"], others={"pirate": runs["pirate"]}, scenes=["Beside"], quality="480p15", progress=False)"""
OWN = """%%manim -ql Mine
from animations.studio.film import FilmScene
from visualize.mobjects.text import label
class Mine(FilmScene):
    title = "My own scene"
    def construct(self):
        self.add(self.stamp(0))
        self.say(f"{len(self.run.modules)} matrices.")
        self.finish()"""


def test_show_film_and_manims_magic_work_in_a_kernel(film_runs, tmp_path, monkeypatch, quick_kernel):
    root = str(Path(animations.__file__).parent.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    cells = [
        RUNS % {name: str(run.path) for name, run in film_runs.items()},
        FILM,
        "use_runs(**runs)\nfrom animations.lora import Onto",
        "%manim -ql Onto",
        OWN,
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [cell.outputs for cell in notebook.cells]
    pages = [[out.data["text/html"] for out in shown if "text/html" in out.get("data", {})] for shown in outputs]
    assert 'src="data:video/mp4;base64,' in pages[1][0] and (tmp_path / "films" / "lora-lora.mp4").exists()
    for at in (3, 4):
        assert 'src="data:video/mp4;base64,' in pages[at][-1], "Manim's own magic renders our scenes"
        assert {out.output_type for out in outputs[at]} == {"display_data"}, "and says nothing"


def test_a_theme_that_is_none_is_said(film_runs):
    with pytest.raises(InputError, match="no theme called 'blue'"):
        use_runs(theme="blue", **film_runs)


def test_a_gif_is_shown_as_an_image(film_runs, tmp_path, monkeypatch):
    monkeypatch.setenv("GLASSTUNE_FILM_CACHE", str(tmp_path / "cache"))
    shown = show_film(
        "lora", film_runs["lora"], out=tmp_path / "a.gif", scenes=["Beside"], quality="480p15", progress=False
    )
    assert shown.data.startswith(b"GIF8")
