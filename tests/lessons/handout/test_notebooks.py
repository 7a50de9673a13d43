"""A file becomes a notebook, of the course or one's own, with its plumbing folded away; a cell has a time limit."""

import nbformat
import pytest

from glasstune import InputError
from lessons.handout.notebooks import make_notebook


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        '# %% [markdown]\n# # Mine\n\n# %% tags=["hide-input"]\nfrom lessons.teaching.walk import begin\n\n'
        'begin(__name__, lesson="mine")\n\n# %%\nx = [1,  # the first\n     2]  # fmt: skip\n\n'
        "# %%\nimport time\n\ntime.sleep(30)\n"
    )
    return path


def test_a_file_of_ones_own(mine, tmp_path):
    cells = nbformat.read(make_notebook(str(mine), tmp_path / "out", execute=False), 4).cells
    assert [cell.cell_type for cell in cells] == ["markdown", "code", "code", "code", "code"]
    folded = [bool(cell.metadata.get("jupyter", {}).get("source_hidden")) for cell in cells]
    assert folded == [False, True, True, False, False]
    assert cells[3].source == "x = [1,  # the first\n     2]", "what is said to a formatter is not shown"


def test_a_notebook_that_somebody_has_written_into_is_moved_aside(mine, tmp_path, capsys):
    path = make_notebook(str(mine), tmp_path / "out", execute=False)
    made = path.read_text()
    assert make_notebook(str(mine), tmp_path / "out", execute=False).read_text() == made and not capsys.readouterr().out
    for count, text in enumerate((made.replace("time.sleep(30)", "mine"), "no notebook"), 1):
        path.write_text(text)
        assert make_notebook(str(mine), tmp_path / "out", execute=False).read_text() == made
        assert path.with_name(f"mine.ipynb.kept-{count}").read_text() == text
        assert f"mine.ipynb.kept-{count}" in capsys.readouterr().out


def test_a_cell_that_takes_too_long_gets_one_sentence(mine, tmp_path, quick_kernel):
    with pytest.raises(InputError, match=r"took longer than 3 s; give it more time with --timeout"):
        make_notebook(str(mine), tmp_path / "out", limit=3)
    assert not (tmp_path / "out").exists()
