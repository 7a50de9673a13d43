"""Cells keep their lines, their kinds and their tags."""

import jupytext
import pytest

from lessons.teaching.course import FOLDER, lessons
from lessons.teaching.percent import read_cells


def test_cells_keep_their_lines():
    cells = list(read_cells("# head\n# %% [markdown]\n# # Title\n# text\n\n# %%\nx = 1\n# %%\n\ny = 2\n"))
    assert [(cell.kind, cell.line) for cell in cells] == [("markdown", 3), ("code", 7), ("code", 9)]
    assert cells[0].text == "# Title\ntext" and cells[1].text == "x = 1"


def test_tags_are_read():
    cells = list(read_cells('# %% tags=["answer", "x"]\ndef f(): ...\n# %% tags=["hide-input"]\nimport os\n'))
    assert [(cell.kind, cell.tags) for cell in cells] == [("answer", ("answer", "x")), ("code", ("hide-input",))]


@pytest.mark.parametrize("lesson", lessons())
def test_a_lesson_has_the_cells_that_jupytext_finds(lesson):
    path = FOLDER / f"{lesson}.py"
    ours, theirs = list(read_cells(path.read_text(encoding="utf-8"))), jupytext.read(path).cells
    assert [cell.text.strip() for cell in ours] == [cell.source.strip() for cell in theirs]
