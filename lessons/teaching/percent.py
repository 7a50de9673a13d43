"""What are the cells of a file in the percent format? Text and code, as jupytext and editors read them too.

`# %% [markdown]` begins a cell of text, `# %%` one of code. Two tags mean something here: `# %% tags=["answer"]` is
the student's to fill in, and `# %% tags=["hide-input"]` is plumbing, run but not shown (Jupyter Book's tag for it).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

MARK = "# %%"
HIDDEN = "hide-input"
_TAGS = re.compile(r"tags=\[([^\]]*)\]")


@dataclass(frozen=True)
class Cell:
    """One cell: its kind, its text, the line of the file on which that starts, and the tags of its mark."""

    kind: Literal["markdown", "code", "answer"]
    text: str
    line: int
    tags: tuple[str, ...] = ()


def read_cells(source: str) -> Iterator[Cell]:
    """The cells of a percent-format file; what stands before the first mark is left out."""
    mark, start, lines = "", 0, list[str]()
    for number, line in enumerate([*source.split("\n"), MARK], 1):
        if not line.startswith(MARK):
            lines.append(line)
            continue
        if mark:
            yield _cell(mark, "\n".join(lines).strip("\n"), start + 1)
        mark, start, lines = line, number, []


def _cell(mark: str, text: str, line: int) -> Cell:
    if "[markdown]" in mark:
        return Cell("markdown", re.sub(r"^# ?", "", text, flags=re.MULTILINE), line)
    found = _TAGS.search(mark)
    tags = tuple(re.findall(r'"([^"]+)"', found[1])) if found else ()
    return Cell("answer" if "answer" in tags else "code", text, line, tags)
